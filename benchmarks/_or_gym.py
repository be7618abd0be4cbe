"""The serial chain of or-gym-inventory 1.0.0 beside ours: its environment, and episodes of it that tests replay.

`python -m benchmarks._or_gym` plays the cases below with the package and writes what it asked, ordered and paid to
`tests/data/or_gym_supply.json`, so that the comparison needs no peer. `benchmarks/install_peers.sh` installs it.

The package keeps its prices as float32; here they are given to it as float64, as they are written. And one of its lines
takes from a stage's stock what was sent *to* that stage instead of what it sent on, so that goods come from nowhere and
stocks fall below 0. Its source (or-gym 0.5.0, Hubbs et al. 2020) does not. Cases "as published" are such that the two
are equal: a single stock, or the same quantity sent to every stage. In the others `conserving` puts the stock right.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.envs.supply import OR_GYM, Chain, Trade
from agents.rules.supply_rules import demand_paths
from sim.compile import compile_plant
from sim.plantfile import load

ROOT = Path(__file__).parents[1]
VERSION = "1.0.0"
PEERS = ROOT / "build" / "peers"
FIXTURE = ROOT / "tests" / "data" / "or_gym_supply.json"
SHORT = {
    "stocks.factory.lead": "constant(4 d)", "stocks.factory.vehicle": "20", "stocks.factory.initial": "30",
    "stocks.wholesaler.lead": "constant(2 d)", "stocks.wholesaler.vehicle": "25", "stocks.wholesaler.initial": "20",
    "stocks.retailer.lead": "constant(1 d)", "stocks.retailer.vehicle": "30", "stocks.retailer.initial": "10",
    "controls.retailer_order.to": "30", "controls.wholesaler_order.to": "25", "controls.factory_order.to": "20",
}  # fmt: skip
"""`serial_backlog4` with short lead times and so little of everything that orders are owed all the time."""


@dataclass(frozen=True)
class Case:
    """Episodes of a chain: `seed` of our environment's reset, whose demand is replayed; `how` the stages order."""

    name: str
    plant: str
    changes: dict[str, str]
    trade: Trade
    how: str  # "random", "equal", or "base stock 91 218 446"
    conserving: bool
    seed: int
    paths: int = 2

    def chain(self) -> Chain:
        """Our chain of this case."""
        plant = load(ROOT / self.plant if self.plant.endswith(".yaml") else self.plant, self.changes)
        return Chain(compile_plant(plant), self.trade)


ONE = Trade((2.0, 1.5), (1.5, 1.0), (0.075,), 0.97, 30)
PATIENT = replace(OR_GYM, discount=1.0, periods=40)
CASES = (
    Case("one stock, as published", "tests/plants/serial_one.yaml", {}, ONE, "random", False, 1),
    Case("equal orders, as published", "serial_backlog4", {}, OR_GYM, "equal", False, 2),
    Case("random orders", "serial_backlog4", {}, OR_GYM, "random", True, 3, 4),
    Case("base stock", "serial_backlog4", {}, OR_GYM, "base stock 91 218 446", True, 4),
    Case("much stock", "serial_backlog4", {}, OR_GYM, "base stock 150 320 700", True, 5),
    Case("short of everything, random", "serial_backlog4", SHORT, PATIENT, "random", True, 6),
    Case("short of everything, base stock", "serial_backlog4", SHORT, PATIENT, "base stock 60 120 200", True, 7),
)


def source() -> Path | None:
    """The package's module, where `install_peers.sh` puts it or in the environment; None where it is not installed."""
    found = find_spec("or_gym_inventory")
    folders = [PEERS / "or_gym_inventory", *([Path(found.origin).parent] if found and found.origin else [])]
    return next((f / "inventory_management.py" for f in folders if (f / "inventory_management.py").exists()), None)


def peer_class(conserving: bool) -> Any:
    """The package's environment, as published or with the stocks put right (see above).

    Only its module is loaded: the package imports pandas and networkx for another one. Raises FileNotFoundError.
    """
    path = source()
    if path is None:
        raise FileNotFoundError("or-gym-inventory: not installed; run benchmarks/install_peers.sh")
    spec = spec_from_file_location("or_gym_inventory_management", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    published: Any = module.InvManagementBacklogEnv
    if not conserving:
        return published

    class Conserving(published):  # type: ignore[misc]
        def step(self, action: Any) -> Any:
            t = self.period
            observation, reward, terminated, truncated, info = super().step(action)
            wrong = self.I[t + 1].copy()
            self.I[t + 1, 1:] += self.R[t, 1:] - self.R[t, :-1]
            held = np.maximum(wrong, 0) - self.I[t + 1]
            reward += self.discount**t * float((self.holding_cost[:-1] * held).sum())
            observation[: len(wrong)] = self.I[t + 1]
            return observation, reward, terminated, truncated, info

    return Conserving


def peer(chain: Chain, conserving: bool, demand: list[int] | None = None) -> Any:
    """The package's environment with the numbers of our chain; with a given demand, or its own, Poisson(20)."""
    plant, trade = chain.compiled.plant, chain.trade
    stocks = [plant.stocks[i] for i in chain.stages]
    given: dict[str, Any] = {} if demand is None else {"dist": 5, "user_D": demand}
    env = peer_class(conserving)(
        periods=trade.periods,
        I0=[k.initial for k in stocks],
        p=trade.prices[0],
        r=list(trade.costs),
        k=[round(plant.demands[0].backlog * chain.period, 9), *trade.owed],
        h=[round(k.holding * chain.period, 9) for k in stocks],
        c=[k.vehicle for k in stocks],
        L=[round(k.lead.args[0] / chain.period) for k in stocks if k.lead is not None],
        alpha=trade.discount,
        **given,
    )
    assert np.allclose(env.unit_price, trade.prices), "a stage sells at what the one before it pays"
    env.unit_price, env.unit_cost = np.array(trade.prices), np.array(env.r)
    env.demand_cost, env.holding_cost = np.array(env.k), np.append(env.h, 0.0)
    return env


def positions(env: Any) -> NDArray[np.int64]:
    """Echelon inventory positions [S], from the package's own arrays."""
    t = env.period
    way = [int(env.R[max(t - lead, 0) : t, i].sum()) for i, lead in enumerate(env.lead_time)]
    owed = env.B[t, 1:]
    return np.asarray(np.cumsum(env.I[t] + way) + owed - env.B[t, 0], dtype=np.int64)


def orders(case: Case, env: Any, rng: np.random.Generator) -> NDArray[np.int64]:
    """What the stages of the package's environment order now."""
    most = env.supply_capacity
    if case.how == "random":
        return np.asarray(rng.integers(0, most + 1), dtype=np.int64)
    if case.how == "equal":
        return np.full(len(most), rng.integers(0, 16))
    levels = np.array([int(word) for word in case.how.split()[2:]])
    return np.asarray(np.clip(levels - positions(env), 0, most), dtype=np.int64)


def record(case: Case) -> dict[str, Any]:
    """Demand [N][T], orders [N][T][S] and rewards [N][T] of the package's episodes."""
    chain = case.chain()
    demand = demand_paths(chain, case.seed, case.paths)
    rng = np.random.Generator(np.random.PCG64(case.seed))
    ordered: list[list[list[int]]] = []
    rewards: list[list[float]] = []
    for path in demand.tolist():
        env = peer(chain, case.conserving, path)
        env.reset(seed=0)
        ordered.append([])
        rewards.append([])
        for _ in range(chain.trade.periods):
            now = orders(case, env, rng)
            ordered[-1].append(now.tolist())
            rewards[-1].append(float(env.step(now)[1]))
    return {"demand": demand.tolist(), "orders": ordered, "rewards": rewards}


def main() -> int:
    """Record all cases."""
    kept = {case.name: record(case) for case in CASES}
    FIXTURE.parent.mkdir(exist_ok=True)
    FIXTURE.write_text(json.dumps(kept, separators=(",", ":")).replace('},"', '},\n"') + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
