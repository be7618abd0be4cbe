"""The plant's environment with its replicas on a CUDA device (or in numba's simulator of one): `PlantDeviceEnv`.

Same meaning and same numbers as `agents.envs.env.PlantVectorEnv`; the rows never leave the device. Two ways to use it:
as a Gymnasium `VectorEnv` (arrays are copied to the host), or by tensors (`frames`, `look`, `play`), as
`agents.training.resident.ResidentPPO` does, where the kernel writes each observation straight into the rollout buffer.
All work is given to torch's current stream, so nobody waits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from agents.envs.env import PlantVectorEnv
from agents.envs.epochs import LONG_AGO, Pace
from agents.envs.grid import Grid
from agents.envs.schema import CLIP, Floats, Observer, Rows
from sim.compile import Compiled
from sim.cuda import Resident
from sim.cuda_kernels import SIMULATED, cuda
from sim.plant import Plant


@dataclass(frozen=True, slots=True)
class Frames:
    """Observations float32 [T, N, D] on the device, as numba's array and as torch's tensor of the same memory."""

    array: Any
    tensor: Tensor


@dataclass(frozen=True, slots=True)
class Interval:
    """What one step gave, on the device: operating cost float64 [N] in money, controls that a limit moved and that were
    kept by their `every`, int64 [N]; ticks that the step took, int64 [N], and what it discounts, float64 [N]
    (`agents.envs.epochs.Pace.discount`); which environments ended (on the host), and the last observations [K, D] of
    those.
    """

    cost: Tensor
    clipped: Tensor
    held: Tensor
    elapsed: Tensor
    discount: Tensor
    accrual: Tensor
    ended: NDArray[np.intp]
    final: Tensor | None


class PlantDeviceEnv(PlantVectorEnv):
    """`num_envs` replicas of a plant on the CUDA device; arguments are those of `PlantVectorEnv`.

    Raises `sim.cuda.NoDeviceError` where there is no device, ValueError for what only the host can do.
    """

    devices = ("cuda",)

    def __init__(
        self, num_envs: int = 1, plant: str | Plant | Compiled = "gearmotor", device: str = "cuda", **settings: Any
    ) -> None:
        super().__init__(num_envs, plant, device, **settings)
        if self.compiled.own is not None:
            raise ValueError(
                f"plant {self.compiled.plant.id} has rules of its own, which run on the host: use device='cpu'"
            )
        self.device = torch.device("cpu" if SIMULATED else "cuda")
        self._device = _Device(self)

    def frames(self, count: int) -> Frames:
        """Memory for `count` observations of all environments."""
        return self._device.frames(count)

    def look(self, frames: Frames, at: int) -> None:
        """Write the present observation into frame `at`."""
        self._device.observe(frames, at)

    def play(self, actions: Tensor, frames: Frames, at: int, between: Callable[[], None] = lambda: None) -> Interval:
        """Apply grid indices int64 [N, C] (on the device) and run to the next decision; the observation after it, of a
        new episode where one ended, goes into frame `at`. `between` is called before episodes that ended begin anew.
        Where events ask for decisions the host waits for the device, to see which episodes are over.
        """
        device = self._device
        clipped, held = device.steer(actions)
        elapsed = device.advance(self.pace)
        money = device.price()
        gained = money - device.money
        device.money.copy_(money)
        self._elapsed += 1
        between()
        truncated = self._elapsed >= self.limit_steps
        if self.pace.by_events:
            truncated |= (device.now >= device.ends).cpu().numpy()
        ended, final = np.flatnonzero(truncated), None
        device.observe(frames, at)
        if self.settings.autoreset == "same_step" and ended.size:
            final = frames.tensor[at].index_select(0, torch.as_tensor(ended, device=self.device))
            self._begin(ended)
            device.observe(frames, at)
        discount, accrual = device.discount(elapsed)
        return Interval(gained, clipped, held, elapsed, discount, accrual, ended, final)

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[Floats, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """As `PlantVectorEnv.step`, through the host."""
        device = self._device
        given = torch.as_tensor(np.ascontiguousarray(actions), device=self.device)
        before, paid = device.cash(), np.zeros(0)

        def pay() -> None:
            nonlocal paid
            paid = device.cash()

        played = self.play(given, device.own, 0, pay)
        self.check()
        truncated = np.zeros(self.num_envs, dtype=np.bool_)
        truncated[played.ended] = True
        observation = device.own.tensor[0].cpu().numpy().copy()
        info = {
            "cost": played.cost.cpu().numpy().copy(),
            "cash": paid - before,
            "clipped": played.clipped.cpu().numpy().copy(),
            "held": played.held.cpu().numpy().copy(),
            "elapsed": played.elapsed.cpu().numpy().copy(),
            "discount": played.discount.cpu().numpy().copy(),
            "accrual": played.accrual.cpu().numpy().copy(),
        }
        if played.final is not None:
            final = observation.copy()
            final[played.ended] = played.final.cpu().numpy()
            info |= {"final_obs": final, "_final_obs": truncated.copy()}
        terminated = np.zeros(self.num_envs, dtype=np.bool_)
        return observation, info["cost"] / -self.reward_unit, terminated, truncated, self._info(info)

    def check(self) -> None:
        """Wait for the device, and raise `KernelError` if a replica has stopped: `play` does not look."""
        self._device.resident.check()

    def to_host(self) -> Rows:
        """The rows [N, W] as they stand, copied to the host."""
        return self._device.resident.to_host()

    # what the environment on the host does with its rows, done with those on the device

    def _make_buffers(self) -> None:
        super()._make_buffers()
        self.rows = np.zeros((0, self.compiled.layout.width), dtype=np.int64)  # those of the host are not used

    def _observe(self) -> Floats:
        self._device.observe(self._device.own, 0)
        return self._device.own.tensor[0].cpu().numpy().copy()

    def _begin(self, who: NDArray[np.intp], state: Rows | None = None) -> None:
        rows = self._new(who, state)
        self._device.put(who, rows)
        self._episode[who] += 1
        self._elapsed[who] = 0
        self._ends[who] = rows[:, self._now] + self.pace.limit
        self._device.ends.copy_(torch.as_tensor(self._ends))

    def _stagger(self) -> None:
        super()._stagger()
        self._device.ends.copy_(torch.as_tensor(self._ends))


class _Device:
    """The rows, and the small arrays that an environment works with, on the device."""

    def __init__(self, env: PlantDeviceEnv) -> None:
        compiled, observer, n = env.compiled, env.observer, env.num_envs
        self.env = env
        stream = None if SIMULATED else torch.cuda.current_stream().cuda_stream
        self.resident = Resident(np.zeros((n, compiled.layout.width), dtype=np.int64), compiled, stream)
        self.rows = self._tensor(self.resident.rows)  # [W, N]
        self._seen = self.resident.selection(observer.positions, observer.factors)
        self._arrivals = Arrivals(observer, env.device)
        self._shift = torch.as_tensor(observer.shift, device=env.device)
        operating, cash = (self.resident.selection(where, weights) for where, weights in env.money_weights)
        self._operating, self._cash = operating, cash
        self._sum = cuda.device_array((n,), np.float64)
        self._sum_tensor = self._tensor(self._sum)
        self.money = torch.zeros(n, dtype=torch.float64, device=env.device)
        self._until = cuda.device_array((n,), np.int64)
        self._ticks = self._tensor(self._until)
        self._values = cuda.device_array((n, env.grid.size), np.int64)
        self._setpoints = self._tensor(self._values)
        self._grid = DeviceGrid(env.grid, compiled, env.device)
        self.ends = torch.zeros(n, dtype=torch.int64, device=env.device)
        self._moved = torch.full((n, env.grid.size), LONG_AGO, dtype=torch.int64, device=env.device)
        self._every = torch.as_tensor(env.moves.every, device=env.device)
        self._same: tuple[Tensor, ...] | None = None  # of all steps: ticks and what they discount
        if not env.pace.by_events:
            ticks = np.full(n, env.epoch, dtype=np.int64)
            self._same = tuple(torch.as_tensor(x, device=env.device) for x in (ticks, *env.pace.discount(ticks)))
        self.own = self.frames(1)

    def _tensor(self, array: Any) -> Tensor:
        found: Tensor = from_dlpack(self.resident.share(array))
        return found

    def frames(self, count: int) -> Frames:
        array = cuda.device_array((count, self.env.num_envs, self.env.observer.size), np.float32)
        return Frames(array, self._tensor(array))

    def observe(self, frames: Frames, at: int) -> None:
        """As `agents.envs.schema.Observer`, into frame `at`."""
        self.resident.gather(self._seen, frames.array[at])
        observer, seen, n = self.env.observer, frames.tensor[at], self._shift.shape[0]
        self._arrivals.write(self.rows, self.now, seen)
        seen[:, :n].sub_(self._shift).clamp_(-CLIP, CLIP)
        if not observer.clock:
            return
        day = (observer.start_s + self.now.double() * observer.tick_s) * (2.0 * np.pi / 86_400.0)
        seen[:, n:] = torch.stack([day.sin(), day.cos(), (day / 7.0).sin(), (day / 7.0).cos()], dim=1)

    @property
    def now(self) -> Tensor:
        """Present ticks int64 [N]."""
        return self.rows[self.env.compiled.layout.at("now")]

    def steer(self, actions: Tensor) -> tuple[Tensor, Tensor]:
        """As `PlantVectorEnv._choose`, and set them."""
        now, by_events = self.now, self.env.pace.by_events
        early = now[:, None] - self._moved < self._every if by_events else None
        admitted, clipped, held = self._grid.admitted(actions, self.rows, now // self.env.epoch, self.env.ratio, early)
        if by_events:
            torch.where(admitted != self._grid.present(self.rows), now[:, None], self._moved, out=self._moved)
        self._setpoints.copy_(admitted)
        self.resident.set_controls(self._values, always=False)
        return clipped, held

    def advance(self, pace: Pace) -> Tensor:
        """Run to the next decision; the ticks int64 [N] that it took."""
        torch.add(self.now, pace.epoch, out=self._ticks)
        if self._same is not None:
            self.resident.advance(self._until)
            return self._same[0]
        before = self.now.clone()
        self._ticks.copy_(torch.where(self.ends > before, self._ticks.minimum(self.ends), self._ticks))
        self.resident.advance_events(self._until, pace.kinds)
        return self.now - before

    def price(self) -> Tensor:
        """Operating cost since the beginning, float64 [N]; overwritten by the next call."""
        self.resident.linear(self._operating, self._sum)
        return self._sum_tensor

    def cash(self) -> NDArray[np.float64]:
        """Cash cost since the beginning, float64 [N], on the host."""
        found: NDArray[np.float64] = self.resident.linear(self._cash).copy_to_host(stream=self.resident.stream)
        self.resident.synchronize()
        return found

    def put(self, who: NDArray[np.intp], rows: Rows) -> None:
        self.resident.put(who, rows)
        at = torch.as_tensor(who, device=self.env.device)
        self.money[at] = self.price()[at]
        self._moved[at] = LONG_AGO

    def discount(self, elapsed: Tensor) -> tuple[Tensor, Tensor]:
        """As `agents.envs.epochs.Pace.discount`, of a tensor."""
        if self._same is not None:
            return self._same[1], self._same[2]
        x = elapsed.double() / self.env.pace.constant
        lost = -torch.expm1(-x)
        return 1.0 - lost, torch.where(x > 0.0, lost / x.clamp(min=1e-300), 1.0)


class Arrivals:
    """`agents.envs.pipeline.Pipeline` in tensors: when what is under way arrives."""

    def __init__(self, observer: Observer, device: torch.device) -> None:
        self._lanes: list[list[int]] = observer.pipeline.lanes.tolist()
        self._first = observer.offsets.size
        self._scale = torch.as_tensor(observer.scale[self._first :].astype(np.float64), device=device)

    def write(self, rows: Tensor, now: Tensor, seen: Tensor) -> None:
        """Into their columns of observations float32 [N, D], from rows int64 [W, N] at ticks int64 [N]."""
        begin = 0
        for dues, quantities, places, _, _, length, count in self._lanes:
            wait = (rows[dues : dues + places] - now).clamp(min=0)
            ahead = wait.div(length, rounding_mode="floor").clamp(max=count - 1)
            units = torch.zeros((count, rows.shape[1]), dtype=torch.int64, device=rows.device)
            units.scatter_add_(0, ahead, rows[quantities : quantities + places])  # places that are empty hold no units
            at = self._first + begin
            seen[:, at : at + count] = (units.T * self._scale[begin : begin + count]).float()
            begin += count


class DeviceGrid:
    """`agents.envs.grid.Grid` in tensors: what an action means, and the nearest setpoints that no limit forbids."""

    def __init__(self, grid: Grid, compiled: Compiled, device: torch.device) -> None:
        self._low, self._step, self._counts, self._high = (
            torch.as_tensor(x, device=device) for x in (grid.low, grid.step, grid.counts, grid.high)
        )
        self._where = torch.as_tensor(compiled.controls, device=device)
        self._limits = [
            (
                c,
                None if watched is None else compiled.layout.at("n_state", *watched),
                torch.as_tensor(nearest, device=device),
            )
            for c, watched, nearest in grid.nearest()
        ]

    def present(self, rows: Tensor) -> Tensor:
        """Setpoints int64 [N, C] in rows int64 [W, N]."""
        return rows.index_select(0, self._where).T

    def admitted(
        self, actions: Tensor, rows: Tensor, decision: Tensor, ratio: NDArray[np.int64], early: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Setpoints int64 [N, C] of grid indices [N, C] in rows int64 [W, N] at decision number int64 [N], and how many
        of them a limit moved and their `every` kept, int64 [N]. `early` [N, C], in place of decision and ratio: which
        may not move yet.
        """
        present = self.present(rows)
        wanted = self._low + actions.clamp(min=0).minimum(self._counts - 1) * self._step
        if early is None:
            early = decision[:, None] % torch.as_tensor(ratio, device=rows.device) != 0
        kept = early & (wanted != present)
        wanted = torch.where(kept, present, wanted)
        out = wanted.maximum(self._low).minimum(self._high)
        if self._limits:
            index = ((out - self._low + self._step // 2) // self._step).clamp(min=0).minimum(self._counts - 1)
            for c, watched, nearest in self._limits:
                moved = nearest[index[:, c]]
                index[:, c] = moved if watched is None else torch.where(rows[watched] > 0, moved, index[:, c])
            out = self._low + index * self._step
        return out, (out != wanted).sum(dim=1), kept.sum(dim=1)
