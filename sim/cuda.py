"""The kernel on a CUDA device (or in numba's simulator of one), one thread a replica: `Resident` rows that stay there.

This module imports numba's CUDA target, so import it only where a device is wanted.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba.core.errors import NumbaPerformanceWarning
from numpy.typing import ArrayLike, NDArray

from sim import cuda_kernels as ck
from sim import kernel
from sim.compile import Compiled
from sim.cuda_kernels import SIMULATED, cuda
from sim.dlpack import CPU, CUDA, MemoryView
from sim.kernel import KernelError
from sim.state import ERROR, EVERY_KIND, NOW, REPLICA, SEED, Array

THREADS = 32
"""Threads in a block: a warp. Replicas differ in what they do next, so bigger blocks gain nothing."""


class NoDeviceError(KernelError):
    """There is no CUDA device; says what to do instead."""


def available() -> bool:
    """Is there a device, or is numba's simulator of one switched on (NUMBA_ENABLE_CUDASIM=1)?"""
    return bool(cuda.is_available())


def simulated() -> bool:
    """Is the device numba's simulator? Then kernels are Python, and slow."""
    return SIMULATED


def device_name() -> str:
    """Name of the present device."""
    if SIMULATED:
        return "numba's CUDA simulator"
    name = cuda.get_current_device().name
    return name.decode() if isinstance(name, bytes) else str(name)


@dataclass(frozen=True, slots=True)
class Selection:
    """Positions in the row and a factor for each, both on the device: what `gather` and `linear` read."""

    positions: Any
    factors: Any

    def __len__(self) -> int:
        return int(self.positions.shape[0])


class Resident:
    """Replicas of a plant that stay on the device: device array `rows` int64[W, R], worked on by one stream.

    Nothing here waits for the device except `check`, `to_host`, `synchronize` and a DLPack export; so an error in a
    replica (it stops by itself) is seen at the next `check`. Where an array is taken, a host array is copied, and
    whatever speaks the CUDA array interface (a torch tensor on the device) is used where it lies: it must be ready on
    this object's stream, which it is when both work on the same one (`stream=torch.cuda.current_stream().cuda_stream`).
    """

    def __init__(self, rows: Array, compiled: Compiled, stream: Any = None) -> None:
        """Take host rows int64[R, W]. `stream`: a numba stream, a stream's address, or None for the default one.

        Raises NoDeviceError where there is no device, ValueError for rows of another plant.
        """
        require_device()
        if rows.ndim != 2 or rows.shape[1] != compiled.layout.width or not len(rows):
            raise ValueError(
                f"plant {compiled.plant.id}: rows of shape {rows.shape}; expected [R, {compiled.layout.width}], R >= 1"
            )
        self.compiled = compiled
        self.stream = as_stream(stream)
        self.replicas = len(rows)
        self.rows = self._up(rows.T)
        self.params = self._up(compiled.params)
        self._controls = self._up(compiled.controls)
        self._until = self._up(np.zeros(self.replicas, dtype=np.int64))
        self._behind = self._up(np.zeros(self.replicas, dtype=np.int64))
        self._zeroed, self._stamped = (self._up(positions) for positions in cleared(compiled))
        stocks = range(len(compiled.plant.stocks))
        pairs = [(compiled.layout.at("seen", k), compiled.layout.at("demanded", k)) for k in stocks]
        self._lowered = self._up(np.array(pairs, dtype=np.int64).reshape(-1, 2))

    @classmethod
    def new(cls, compiled: Compiled, seed: int, replicas: int, stream: Any = None) -> Resident:
        """Replicas of the empty plant at tick 0, as `sim.kernel.new_rows`."""
        return cls(kernel.new_rows(compiled, seed, replicas), compiled, stream)

    @property
    def nbytes(self) -> int:
        """Bytes of the rows on the device."""
        return self.replicas * self.compiled.layout.width * 8

    def advance(self, until: int | np.integer[Any] | Any) -> None:
        """Advance all replicas to a tick, or each to its own tick int64[R] (host or device).

        A replica that stands past its tick stays where it is, and `check` raises.
        """
        self._launch(ck.advance, self.rows, self.params, self._ticks(until), self._behind)

    def advance_events(self, last: int | np.integer[Any] | Any, kinds: int = EVERY_KIND) -> None:
        """Advance each replica to its next decision, as `sim.batch.play` with `kinds`: to the next tick with an event
        of these kinds, at most to tick `last` (one for all, or int64[R], host or device), with all events of that tick.
        """
        self._launch(ck.step, self.rows, self.params, self._ticks(last), np.int64(kinds), self._behind)

    def set_controls(self, values: Any, always: bool = True) -> None:
        """Set all controls, values int64[R, C] (host or device) or [C] (host); the plant reacts at its present tick: in
        every replica, or in those in which a control moves, as in a turn of `sim.batch`.
        """
        shape = (self.replicas, len(self.compiled.controls))
        if not on_device(values):
            values = np.broadcast_to(np.asarray(values, dtype=np.int64), shape)
        given = self._in(values, shape, np.int64, "controls")
        self._launch(ck.steer, self.rows, self.params, self._controls, given, np.int64(always))

    def selection(self, positions: ArrayLike, factors: ArrayLike) -> Selection:
        """Positions [J] of the row and factors [J], kept on the device for `gather` and `linear`."""
        where = np.asarray(positions, dtype=np.int64)
        factor = np.asarray(factors, dtype=np.float64)
        if where.shape != factor.shape or where.ndim != 1:
            raise ValueError(f"positions {where.shape} and factors {factor.shape}: expected one shape [J]")
        if where.size and not (where.min() >= 0 and where.max() < self.compiled.layout.width):
            raise ValueError(f"positions {where.min()}..{where.max()}: a row has {self.compiled.layout.width} numbers")
        return Selection(self._up(where), self._up(factor))

    def gather(self, what: Selection, out: Any = None) -> Any:
        """Observations as `sim.kernel.gather_rows`, into a device array float32[R, J] (a new one where None)."""
        out = self._out(out, (self.replicas, len(what)), np.float32)
        self._launch(ck.gather, self.rows, what.positions, what.factors, out)
        return out

    def linear(self, what: Selection, out: Any = None) -> Any:
        """Weighted sums as `sim.kernel.linear_rows`, equal to the last bit, into a device array float64[R]."""
        out = self._out(out, (self.replicas,), np.float64)
        self._launch(ck.linear, self.rows, what.positions, what.factors, out)
        return out

    def clear_stats(self) -> None:
        """As `sim.kernel.clear_stats`."""
        self._launch(ck.clear, self.rows, self._zeroed, self._stamped, self._lowered)

    def put(self, which: ArrayLike, rows: Array) -> None:
        """Replace the replicas `which` [K] by host rows int64[K, W] (or [W] for all of them)."""
        places = self._places(which)
        given = np.broadcast_to(np.asarray(rows, dtype=np.int64), (len(places), self.compiled.layout.width))
        if len(places):
            self._launch(ck.put, self.rows, self._behind, self._up(places), self._up(given.T), count=len(places))

    def restore(self, mask: Any, source: Resident) -> None:
        """Copy from `source` the replicas r with mask[r], bool[R] (host or device)."""
        if source.rows.shape != self.rows.shape:
            raise ValueError(f"source of {source.replicas} replicas; expected the same plant and {self.replicas}")
        wanted = self._in(mask, (self.replicas,), np.bool_, "mask")
        after(self.stream, source.stream)
        self._launch(ck.restore, self.rows, self._behind, source.rows, wanted)

    def copy(self) -> Resident:
        """A second, independent set of the same rows on the device, on the same stream."""
        other = object.__new__(Resident)
        other.__dict__.update(self.__dict__)
        for name in ("rows", "_until", "_behind"):
            old = getattr(self, name)
            new = cuda.device_array(old.shape, old.dtype)
            new.copy_to_device(old, stream=self.stream)
            setattr(other, name, new)
        return other

    def to_host(self, which: ArrayLike | None = None) -> Array:
        """Rows int64[R, W] on the host, or those of the replicas `which` [K]; errors in them are not looked at."""
        if which is None:
            return np.ascontiguousarray(self._down(self.rows).T)
        places = self._places(which)
        out = cuda.device_array((self.compiled.layout.width, len(places)), np.int64)
        if len(places):
            self._launch(ck.take, self.rows, self._up(places), out, count=len(places))
        return np.ascontiguousarray(self._down(out).T)

    def check(self) -> None:
        """Wait, and raise KernelError if a replica stopped, ValueError if one was to go back in time."""
        head = np.ascontiguousarray(self._down(self.rows[: max(NOW, SEED, REPLICA, ERROR) + 1]).T)
        kernel.check(head, self.compiled)
        behind = np.flatnonzero(self._down(self._behind))
        if behind.size:
            raise ValueError(
                f"plant {self.compiled.plant.id}: replica {behind[0]} was to advance to a tick before its own "
                f"({behind.size} of {self.replicas} replicas); time never runs backwards"
            )

    def view(self, name: str) -> MemoryView:
        """Field `name` of all replicas, [R, *shape of the field], where it lies: for torch.from_dlpack and others."""
        layout = self.compiled.layout
        part = layout.view(np.arange(layout.width, dtype=np.int64), name)
        first = int(part.flat[0]) if part.size else 0
        strides = (8, *(stride * self.replicas for stride in part.strides))
        return self._memory(self.rows, first * self.replicas * 8, (self.replicas, *part.shape), strides)

    def share(self, array: Any) -> MemoryView:
        """A device array of this object (what `gather` and `linear` gave, or `rows`), for torch.from_dlpack."""
        return self._memory(array, 0, tuple(array.shape), tuple(array.strides))

    def use(self, stream: Any) -> None:
        """Work on another stream from now on, after what the present one has been given."""
        new = as_stream(stream)
        after(new, self.stream)
        self.stream = new

    def synchronize(self) -> None:
        """Wait until all that was asked for is done."""
        wait(self.stream)

    def _ticks(self, given: int | np.integer[Any] | Any) -> Any:
        """A tick for all replicas, or one for each, on the device."""
        if isinstance(given, (int, np.integer)):
            self._launch(ck.fill, self._until, np.int64(given))
            return self._until
        return self._in(given, (self.replicas,), np.int64, "ticks", self._until)

    def _memory(self, array: Any, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> MemoryView:
        if SIMULATED:
            address, device = int(array.ctypes.data), (CPU, 0)
        else:
            address = int(array.__cuda_array_interface__["data"][0])
            device = (CUDA, int(cuda.get_current_device().id))
        return MemoryView(
            owner=array,
            address=address + offset,
            shape=shape,
            strides=strides,
            dtype=np.dtype(array.dtype),
            device=device,
            stream=stream_address(self.stream),
            ready=self.synchronize,
        )

    def _up(self, array: NDArray[Any]) -> Any:
        # always a copy: the simulator would write into a host array, and a device array must be contiguous
        # numba would go on using the stream that an array was made on wherever 0, the default stream, is named
        return cuda.to_device(np.array(array, order="C"), stream=self.stream).bind(0)

    def _down(self, array: Any) -> NDArray[Any]:
        found: NDArray[Any] = array.copy_to_host(stream=self.stream)
        wait(self.stream)
        return found

    def _places(self, which: ArrayLike) -> Array:
        places = np.asarray(which)
        if places.dtype == np.bool_ and places.shape == (self.replicas,):
            places = np.flatnonzero(places)
        places = places.astype(np.int64)
        wrong = places.ndim != 1 or len(np.unique(places)) != len(places)
        if wrong or (places.size and (places.min() < 0 or places.max() >= self.replicas)):
            raise ValueError(f"replicas {places}: expected different numbers from 0 to {self.replicas - 1}")
        return places

    def _in(self, given: Any, shape: tuple[int, ...], dtype: Any, what: str, into: Any = None) -> Any:
        """`given` on the device; a host array goes `into` a resident one where there is one."""
        if on_device(given):
            return self._same(given, shape, dtype, what)
        host = np.asarray(given, dtype=dtype)
        if host.shape != shape:
            raise ValueError(f"{what} of shape {host.shape}; expected {shape}")
        if into is None:
            return self._up(host)
        into.copy_to_device(np.array(host, order="C"), stream=self.stream)
        return into

    def _out(self, out: Any, shape: tuple[int, ...], dtype: Any) -> Any:
        if out is None:
            return cuda.device_array(shape, dtype)
        if not on_device(out):
            raise TypeError(f"out is a {type(out).__name__}; expected a device array {np.dtype(dtype)} of {shape}")
        return self._same(out, shape, dtype, "out")

    @staticmethod
    def _same(given: Any, shape: tuple[int, ...], dtype: Any, what: str) -> Any:
        array = given if hasattr(given, "__cuda_ndarray__") else cuda.as_cuda_array(given)
        if tuple(array.shape) != shape or array.dtype != dtype:
            found = f"{array.dtype} of {tuple(array.shape)}"
            raise ValueError(f"{what} on the device: {found}; expected {np.dtype(dtype)} of {shape}")
        return array

    def _launch(self, function: Any, *arguments: Any, count: int | None = None) -> None:
        launch(function, count or self.replicas, self.stream, *arguments)


def cleared(compiled: Compiled) -> tuple[Array, Array]:
    """Positions that `sim.kernel.clear_stats` sets to 0, and those that it sets to the present tick.

    Found by watching it on a row of marks, so it is told in one place only what is forgotten.
    """
    mark, tick = -7, -9
    row = np.full((1, compiled.layout.width), mark, dtype=np.int64)
    row[0, NOW] = tick
    kernel.clear_stats(row, compiled)
    compiled.layout.view(row, "seen")[...] = mark  # lowered by what `demanded` loses: see `Resident.clear_stats`
    zeroed, stamped = np.flatnonzero(row[0] == 0), np.flatnonzero(row[0] == tick)
    assert len(zeroed) + len(stamped) + np.count_nonzero(row[0] == mark) == compiled.layout.width
    return zeroed, stamped[stamped != NOW]


def on_device(array: Any) -> bool:
    """Is this an array in the memory of a device (numba's, or any that speaks the CUDA array interface)?"""
    return hasattr(array, "__cuda_ndarray__") or hasattr(array, "__cuda_array_interface__")


def as_stream(stream: Any) -> Any:
    """A numba stream of a stream's address, of a numba stream, or the default stream (None, 0)."""
    if stream is None or (isinstance(stream, int) and stream == 0):
        return 0
    if not isinstance(stream, int):
        return stream
    if SIMULATED:
        raise ValueError(f"stream {stream}: numba's CUDA simulator has none of other libraries")
    return cuda.external_stream(stream)


def stream_address(stream: Any) -> int:
    """The address for the CUDA array interface, where 1 is the default stream."""
    return 1 if SIMULATED or (isinstance(stream, int) and stream == 0) else int(stream) or 1


def wait(stream: Any) -> None:
    """Wait for a stream."""
    if isinstance(stream, int):
        cuda.synchronize()
    else:
        stream.synchronize()


def after(later: Any, earlier: Any) -> None:
    """Let the stream `later` go on only after what `earlier` has been given so far; the host does not wait."""
    if SIMULATED or later is earlier:
        return
    event = cuda.event(timing=False)
    event.record(earlier)
    event.wait(later)


def launch(function: Any, count: int, stream: Any, *arguments: Any) -> None:
    """Start `count` threads of a kernel."""
    with warnings.catch_warnings():
        # a few replicas leave most of a device idle; that is the caller's business
        warnings.simplefilter("ignore", NumbaPerformanceWarning)
        function[-(-count // THREADS), min(THREADS, count), stream](*arguments)


def require_device() -> None:
    """Raise NoDeviceError where there is no device, ValueError for the simulator without pure Python rules."""
    if not available():
        raise NoDeviceError("no CUDA device was found; use --engine kernel, or see what `plantwin doctor` says")
    if SIMULATED and os.environ.get("NUMBA_DISABLE_JIT") != "1":
        raise ValueError("NUMBA_ENABLE_CUDASIM=1 works only with NUMBA_DISABLE_JIT=1; set both, or neither")


def run_device(rows: Array, compiled: Compiled, until: int) -> Array:
    """The rows [R, W] advanced to tick `until` on the device, as new rows on the host.

    Raises NoDeviceError where there is none, ValueError for the simulator without NUMBA_DISABLE_JIT=1 (it cannot call
    compiled functions) and for a replica past `until`, KernelError as `sim.kernel.run`.
    """
    resident = Resident(rows, compiled)
    resident.advance(until)
    resident.check()
    return resident.to_host()


def trace_device(rows: Array, compiled: Compiled, until: int, limit: int = 65_536) -> tuple[Array, list[Array]]:
    """As `run_device`, with the events of every replica, int64[n, 3] of tick, slot, kind.

    Raises OverflowError where a replica has `limit` events or more.
    """
    resident = Resident(rows, compiled)
    events = cuda.to_device(np.zeros((len(rows), limit, 3), dtype=np.int64))
    launch(ck.record, len(rows), 0, resident.rows, resident.params, np.int64(until), events)
    resident.check()
    found = events.copy_to_host()
    ends = [np.flatnonzero(one[:, 0] < 0) for one in found]
    if any(len(end) == 0 for end in ends):
        raise OverflowError(
            f"plant {compiled.plant.id}: {limit} events or more before tick {until}; allow more of them or run less far"
        )
    return resident.to_host(), [one[: end[0]] for one, end in zip(found, ends, strict=True)]
