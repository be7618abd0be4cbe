"""Whether one more part is let in: what a free base stock comes down to where parts enter one at a time.

A product that is released into one machine without a place before it needs, at every event, one answer: does that
machine start a part now? A setpoint says more than that, and holds on until the next event: at its highest the machine
would also start the part after, before anyone is asked (on `tandem_release` the best policy of lowest and highest
values is 0.24 % above the optimum). So such a control is learned as a gate: shut is its lowest value, open lets in
exactly one part, by a base stock of one more than there is on hand, less backorders, and in the line. `Gates.spelled`
writes what was learned as a network of setpoints, as any other: a bundle knows nothing of gates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium.spaces import MultiDiscrete
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from agents.bundles.policy import Network
from agents.envs.env import PlantVectorEnv
from agents.envs.epochs import Moves
from agents.envs.grid import Grid
from agents.envs.schema import FREE_S, Floats, Observer
from sim.plant import STATES, Plant, Product

if TYPE_CHECKING:
    from sim.compile import Compiled

Rows = NDArray[np.int64]
Values = NDArray[np.int64]
Doubles = NDArray[np.float64]
SHUT, OPEN = 0, 1
SMALL = 0.1
"""What a whole grid moves a unit by that passes a count on: tanh is a line there, to 0.1 parts in a grid of `MOST`."""
MOST = 128
"""Values of a base stock at most: with more, the logits of an open gate would reach `AHEAD`."""
AHEAD = 1e5
"""By how much a gate that is surely shut, or open, outweighs the setpoints of an open one: of a grid of 20 by so much
that only differences below half a per cent of `STEEP` may be read either way.
"""
STEEP = 100.0
"""The largest weight of what opens a gate: it is mostly surely shut or open."""
HELD = ("work", "setup", "blocked")
"""States of a machine that has a part."""


@dataclass(frozen=True, slots=True)
class Gate:
    """The control of the base stock and that of the cap (None: none), the product, the station that it enters, and the
    stocks that it fills, all as indices.
    """

    base: int
    cap: int | None
    product: int
    station: int
    stocks: tuple[int, ...]


def gates(plant: Plant) -> tuple[Gate, ...]:
    """What may be learned as a gate: base stocks that may move at any time, of products that are let in one part at a
    time only, into a machine that nothing else enters.
    """
    found = (_gate(plant, i, product) for i, product in enumerate(plant.products))
    return tuple(gate for gate in found if gate is not None)


def _gate(plant: Plant, i: int, product: Product) -> Gate | None:
    sets, path, release = [c.sets for c in plant.controls], f"release.{product.id}", product.release
    base, cap = (sets.index(p) if (p := f"{path}.{name}") in sets else None for name in ("base_stock", "cap"))
    if base is None or release.policy != "conwip" or release.stops:
        return None
    if cap is None and release.cap == 1:  # at most one part is on its way: `agents.envs.grid.switches`
        return None
    own = [plant.controls[k] for k in (base, cap) if k is not None]
    free = all(c.every * plant.tick_s < FREE_S for c in own) and max(own[0].step, 1) == 1
    if (
        not free
        or own[0].high - own[0].low >= MOST
        or any(limit.control == c.id for limit in plant.limits for c in own)
    ):
        return None
    into = {s for s, _ in product.steps[0].eligible}
    others = {s for p in plant.products if p is not product for s, _ in p.steps[0].eligible}
    stations = [k for k, s in enumerate(plant.stations) if s.id in into]
    station = plant.stations[stations[0]]
    stocks = tuple(k for k, s in enumerate(plant.stocks) if s.source == "line" and s.item == product.id)
    if len(into) > 1 or into & others or station.units > 1 or station.capacity or station.batch is not None:
        return None
    return Gate(base, cap, i, stations[0], stocks) if stocks else None


class Gates:
    """The gates of a plant. `grid`: two values for each of them and one for its cap, the others as in the plant's own,
    `full`.
    """

    def __init__(self, compiled: Compiled, observer: Observer) -> None:
        self.compiled, self.observer = compiled, observer
        plant, layout = compiled.plant, compiled.layout
        self.all, self.full = gates(plant), Grid(plant)
        controls = list(plant.controls)
        for gate in self.all:
            controls[gate.base] = replace(controls[gate.base], low=SHUT, high=OPEN, step=1)
            if gate.cap is not None:
                controls[gate.cap] = replace(controls[gate.cap], low=controls[gate.cap].high)
        self.grid = Grid(replace(plant, controls=tuple(controls), limits=()))
        held = [STATES.index(s) for s in HELD]
        self._held = [[layout.at("n_state", gate.station, s) for s in held] for gate in self.all]

    def setpoints(self, rows: Rows, values: Values) -> Values:
        """Setpoints [R, C] of values [R, C] of `grid` in rows [R, W]."""
        at, out = self.compiled.layout.at, values.copy()
        for gate, held in zip(self.all, self._held, strict=True):
            there = rows[:, at("wip", gate.product)].copy()
            for stock in gate.stocks:
                there += rows[:, at("on_hand", stock)] - rows[:, at("backorders", stock)]
            lets = (values[:, gate.base] == OPEN) & (rows[:, held].sum(axis=1) == 0)
            low, high = self.full.low[gate.base], self.full.high[gate.base]
            out[:, gate.base] = np.where(lets, np.clip(there + 1, low + 1, high), low)
        return out

    def asked(self, network: Network, seen: Floats) -> Values:
        """Indices [N, C] in `grid` of what a network of setpoints decides where it sees `seen` [N, D]."""
        decided = network.decide(seen)
        setpoints, out = self.full.decode(decided), decided.copy()
        for gate in self.all:
            weights, shift = self._there(gate)
            opened = np.rint(seen @ weights + shift) < setpoints[:, gate.base]
            if gate.cap is not None:
                weights, shift = self._sum([(self._wip(gate), 1.0)])
                opened &= np.rint(seen @ weights + shift) < setpoints[:, gate.cap]
                out[:, gate.cap] = 0
            out[:, gate.base] = np.where(opened, OPEN, SHUT)
        return out

    def _wip(self, gate: Gate) -> str:
        return f"{self.compiled.plant.products[gate.product].id}.wip"

    def _there(self, gate: Gate) -> tuple[Doubles, float]:
        """(weights [D], shift) that make an observation what is on hand, less backorders, and in the line."""
        stocks = [self.compiled.plant.stocks[k].id for k in gate.stocks]
        counted = [
            (f"{name}.{what}", sign) for name in stocks for what, sign in (("on_hand", 1.0), ("backorders", -1.0))
        ]
        return self._sum([(self._wip(gate), 1.0), *counted])

    def _sum(self, parts: list[tuple[str, float]]) -> tuple[Doubles, float]:
        """(weights [D], shift) that make an observation this sum of what is observed, unscaled."""
        seen, weights, shift = self.observer, np.zeros(self.observer.size), 0.0
        for name, sign in parts:
            if name in seen.fields:
                at = seen.fields.index(name)
                weights[at] = sign / float(seen.scale[at])
                shift += sign * float(seen.shift[at]) / float(seen.scale[at])
        return weights, shift

    def spelled(self, network: Network) -> Network:
        """A network of one hidden layer for `grid` as one of two for the plant's own grid, which decides the same."""
        layers = _Layers(network)
        by_base = {gate.base: gate for gate in self.all}
        caps = {gate.cap for gate in self.all}
        for c, count in enumerate(self.full.counts.tolist()):
            if c in caps:
                layers.constant(count)
            elif c in by_base:
                self._spell(by_base[c], layers, count)
            else:
                layers.passed(c)
        return layers.network(tuple(self.full.counts.tolist()))

    def _spell(self, gate: Gate, layers: _Layers, count: int) -> None:
        """Logits of a base stock: the lowest where the gate is shut, where it is open 2 v (there + 1) - v v."""
        weights, shift = self._there(gate)
        low = float(self.full.low[gate.base])
        middle, small = low + 0.5 * (count - 1), SMALL / max(count - 1, 1)
        there = layers.unit(small * weights, small * (shift - middle))
        station = self.compiled.plant.stations[gate.station].id
        held = np.array([float(name in {f"{station}.{s}" for s in HELD}) for name in self.observer.fields])
        lets = layers.difference(gate.base, layers.unit(held, 0.0))
        tells = layers.through(there)
        layers.logit({lets: -AHEAD}, 0.0)
        for v in range(1, count):
            layers.logit({tells: 2.0 * v / small}, 2.0 * v * (middle + 1.0 - low) - v * v)


class _Layers:
    """A network of one hidden layer, and the two that are being built from it: units of the first, those of the second
    by their weights over the first, logits by their weights over the second.
    """

    def __init__(self, given: Network) -> None:
        (first, self.last), (biases, self.last_biases) = given.weights, given.biases
        self.starts, self.counts = given.starts, given.counts
        self.first: list[tuple[Doubles, float]] = [(w, float(b)) for w, b in zip(first, biases, strict=True)]
        self.second: list[tuple[dict[int, float], float]] = []
        self.logits: list[tuple[dict[int, float], float]] = []
        self.bound = float(np.abs(self.last).sum(axis=1).max() + np.abs(self.last_biases).max())

    def unit(self, weights: Doubles, bias: float) -> int:
        """A unit more of the first layer."""
        self.first.append((weights, bias))
        return len(self.first) - 1

    def _own(self, weights: Doubles, bias: float) -> tuple[dict[int, float], float]:
        return dict(enumerate(weights.astype(float).tolist())), bias

    def through(self, unit: int) -> int:
        """A unit of the second layer that passes a small one of the first on."""
        self.second.append(({unit: 1.0}, 0.0))
        return len(self.second) - 1

    def difference(self, control: int, held: int) -> int:
        """A unit of the second layer: above 0 where a gate is open, unless the unit `held` is."""
        shut, opened = self.starts[control] + SHUT, self.starts[control] + OPEN
        weights = (self.last[opened] - self.last[shut]).astype(np.float64)
        bias = float(self.last_biases[opened] - self.last_biases[shut])
        scale = STEEP / max(float(np.abs(weights).max()), abs(bias), 1e-300)
        bound = scale * (float(np.abs(weights).sum()) + abs(bias))
        own, bias = self._own(scale * weights, scale * bias)
        self.second.append((own | {held: -4.0 * bound}, bias))
        return len(self.second) - 1

    def logit(self, weights: dict[int, float], bias: float) -> None:
        """The next logit."""
        self.logits.append((weights, bias))

    def constant(self, count: int) -> None:
        """A control that stands at its highest value."""
        for v in range(count):
            self.logit({}, float(v == count - 1))

    def passed(self, control: int) -> None:
        """A control's logits as they were: tanh keeps their order."""
        for v in range(self.counts[control]):
            at = self.starts[control] + v
            self.second.append(self._own(self.last[at] / self.bound, float(self.last_biases[at]) / self.bound))
            self.logit({len(self.second) - 1: 100.0}, 0.0)

    def network(self, counts: tuple[int, ...]) -> Network:
        """What has been built."""
        weights, biases = [np.stack([w for w, _ in self.first])], [np.array([b for _, b in self.first])]
        for width, layer in ((len(self.first), self.second), (len(self.second), self.logits)):
            matrix = np.zeros((len(layer), width))
            for k, (row, _) in enumerate(layer):
                matrix[k, list(row)] = list(row.values())
            weights.append(matrix)
            biases.append(np.array([b for _, b in layer]))
        return Network(
            tuple(w.astype(np.float32) for w in weights), tuple(b.astype(np.float32) for b in biases), counts
        )


class GatedEnv(PlantVectorEnv):
    """Environments whose gates are asked: one more part, or none?"""

    def __init__(self, num_envs: int, compiled: Compiled, **settings: Any) -> None:
        super().__init__(num_envs, compiled, **settings)
        self.gates = Gates(self.compiled, self.observer)
        self.grid = self.gates.grid
        self.single_action_space = MultiDiscrete(self.grid.counts)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def admit(
        self, rows: Rows, actions: NDArray[np.integer[Any]], moves: Moves
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """As `PlantVectorEnv.admit`, for indices of `Gates.grid`."""
        now, present = rows[:, self._now], rows[:, self.compiled.controls]
        wanted = self.gates.setpoints(rows, self.grid.decode(np.asarray(actions, dtype=np.int64)))
        kept = moves.kept(now, wanted, present)
        wanted = np.where(kept, present, wanted)
        return self.gates.full.limit(wanted, rows, self.compiled.layout), wanted, kept


def as_asked(
    env: PlantVectorEnv,
) -> tuple[PlantVectorEnv, Callable[[Network], Network], Callable[[Network, Floats], Values]]:
    """Environments like these as they are learned on where states are counted: with gates, if there are any. And what
    makes a network for them one of setpoints, and what a network of setpoints decides there.
    """
    if not gates(env.compiled.plant):
        return env, lambda network: network, lambda network, seen: network.decide(seen)
    given = {f.name: getattr(env.settings, f.name) for f in fields(env.settings)}
    gated = GatedEnv(env.num_envs, env.compiled, **given)
    return gated, gated.gates.spelled, gated.gates.asked
