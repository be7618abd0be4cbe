"""Plans for serial chains by linear programming: with all demand known, re-made every period, or made once.

Variables of period t: units R[t, i] that leave for stage i, stock I[t, i] of stage i at its end, sales S[t], what
customers wait for W[t] at its end. Goods and what waits balance; a stage can send only what it had when the period
began (the kernel's order of events). It is a flow in a network with whole-numbered bounds, so that the vertices that
the simplex method ends at are whole too, and can be played. Orders that are never larger than what can leave leave
nothing owed between the stages. The optimum with all demand known bounds every policy's profit from above.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import csc_matrix, lil_matrix

from agents.envs.schema import Floats
from agents.envs.supply import Chain, SupplyVectorEnv
from agents.errors import AgentError
from agents.rules.supply_rules import Orders, Policy, demand_paths, played


@dataclass(frozen=True, slots=True)
class Situation:
    """A chain at the beginning of a period: on hand [S], what customers wait for, and what will arrive at each stage in
    this and the following periods [T, S].
    """

    on_hand: NDArray[np.int64]
    waiting: int
    coming: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Plan:
    """Profit over the horizon, discounted to its first period, and what leaves for each stage [T, S]."""

    profit: float
    sent: Orders


class Planner:
    """The linear program of a horizon of T periods; only right-hand sides depend on the situation and on the demand."""

    def __init__(self, chain: Chain, periods: int) -> None:
        self.chain, self.periods, self.stages = chain, periods, len(chain.stages)
        self.leads = [round(lead) for lead in chain.leads]
        stocks = [chain.compiled.plant.stocks[i] for i in chain.stages]
        self.vehicles = np.array([k.vehicle for k in stocks])
        self.holding = np.array([k.holding for k in stocks]) * chain.period
        self.backlog = chain.compiled.plant.demands[0].backlog * chain.period
        self._sent = np.arange(periods * self.stages).reshape(periods, self.stages)
        self._stock = self._sent + periods * self.stages
        self._sales = np.arange(periods) + 2 * periods * self.stages
        self._waits = self._sales + periods
        self._cost = self._costs()
        self._balance, self._bounds = self._balances(), self._limits()

    def _costs(self) -> NDArray[np.float64]:
        trade = self.chain.trade
        margins = np.subtract(trade.prices, trade.costs)
        factor = trade.discount ** np.arange(self.periods)
        cost = np.zeros(2 * self.periods * (self.stages + 1))
        cost[self._sent] = -factor[:, None] * margins[1:]
        cost[self._stock] = factor[:, None] * self.holding
        cost[self._sales] = -factor * margins[0]
        cost[self._waits] = factor * self.backlog
        return cost

    def _balances(self) -> csc_matrix:
        """Stock of every stage, then what customers wait for, in every period."""
        a = lil_matrix((self.periods * (self.stages + 1), len(self._cost)))
        for t in range(self.periods):
            for i in range(self.stages):
                row = t * self.stages + i
                a[row, self._stock[t, i]] = 1.0
                if t > 0:
                    a[row, self._stock[t - 1, i]] = -1.0
                if t >= self.leads[i]:
                    a[row, self._sent[t - self.leads[i], i]] = -1.0
                a[row, self._sales[t] if i == 0 else self._sent[t, i - 1]] = 1.0
            row = self.periods * self.stages + t
            a[row, self._waits[t]] = 1.0
            a[row, self._sales[t]] = 1.0
            if t > 0:
                a[row, self._waits[t - 1]] = -1.0
        return csc_matrix(a)

    def _limits(self) -> csc_matrix:
        """What leaves a stage is no more than what it had at the end of the period before."""
        a = lil_matrix((self.periods * (self.stages - 1), len(self._cost)))
        for t in range(self.periods):
            for i in range(self.stages - 1):
                a[t * (self.stages - 1) + i, self._sent[t, i]] = 1.0
                if t > 0:
                    a[t * (self.stages - 1) + i, self._stock[t - 1, i + 1]] = -1.0
        return csc_matrix(a)

    def plan(self, now: Situation, demand: NDArray[np.float64]) -> Plan:
        """The best plan for a demand [T]. Raises `AgentError` where the solver finds none."""
        supply = now.coming[: self.periods].astype(np.float64)
        supply[0] += now.on_hand
        asked = np.array(demand, dtype=np.float64)
        asked[0] += now.waiting
        most = np.zeros(self.periods * (self.stages - 1))
        most[: self.stages - 1] = now.on_hand[1:]
        bounds = np.zeros((len(self._cost), 2))
        bounds[:, 1] = np.inf
        bounds[self._sent.ravel(), 1] = np.tile(self.vehicles, self.periods)
        found = linprog(
            self._cost,
            A_ub=self._bounds,
            b_ub=most,
            A_eq=self._balance,
            b_eq=np.concatenate((supply.ravel(), asked)),
            bounds=bounds,
            method="highs-ds",
        )
        if not found.success:
            raise AgentError(f"plan for {self.periods} periods: expected an optimum, found: {found.message}")
        return Plan(-float(found.fun), np.rint(found.x[self._sent]).astype(np.int64))


def situations(env: SupplyVectorEnv) -> list[Situation]:
    """Where the chain of every environment stands. Raises `AgentError` where orders between stages are owed."""
    chain, view = env.chain, env.compiled.layout.view
    lanes = [env.compiled.lane_index[env.compiled.plant.stocks[i].id, "regular"] for i in chain.stages]
    if view(env.rows, "owed").any():
        raise AgentError("plan: expected no orders owed between stages, found some; let the plans alone place orders")
    places, units = view(env.rows, "transit_due")[:, lanes], view(env.rows, "transit_qty")[:, lanes]
    now = env.rows[:, env.compiled.layout.at("now")]
    after = np.where(units > 0, (places - now[:, None, None]) // chain.period, 0)
    coming = np.zeros((env.num_envs, chain.trade.periods, len(lanes)), dtype=np.int64)
    who, stage, place = np.nonzero((units > 0) & (after < chain.trade.periods))
    np.add.at(coming, (who, after[who, stage, place], stage), units[who, stage, place])
    on_hand, waiting = view(env.rows, "on_hand")[:, chain.stages], view(env.rows, "waiting")[:, 0]
    return [Situation(on_hand[n], int(waiting[n]), coming[n]) for n in range(env.num_envs)]


def perfect_information(env: SupplyVectorEnv, demand: NDArray[np.int64]) -> list[Plan]:
    """The best that anybody could have done on each path of demand [N, T], from where an episode begins."""
    planner = Planner(env.chain, env.trade.periods)
    return [planner.plan(now, path) for now, path in zip(situations(env), demand.astype(np.float64), strict=True)]


def shrinking_horizon(chain: Chain, mean: float) -> Policy:
    """Every period the best plan for the rest of the episode, as if `mean` units were asked for in every period; its
    first orders are placed.
    """
    planners: dict[int, Planner] = {}

    def policy(env: SupplyVectorEnv, _: Floats) -> Orders:
        left = env.periods_left
        if left not in planners:
            planners[left] = Planner(chain, left)
        return np.array([planners[left].plan(now, np.full(left, mean)).sent[0] for now in situations(env)])

    return policy


def made_once(chain: Chain, mean: float) -> Orders:
    """The best plan [T, S] from where an episode begins, as if `mean` units were asked for in every period."""
    env = SupplyVectorEnv(1, chain.compiled, chain.trade)
    env.reset(seed=0)
    return Planner(chain, chain.trade.periods).plan(situations(env)[0], np.full(chain.trade.periods, mean)).sent


def followed(plan: Orders) -> Policy:
    """Order what a plan [T, S] says, whatever happens."""

    def policy(env: SupplyVectorEnv, _: Floats) -> Orders:
        return np.tile(plan[len(plan) - env.periods_left], (env.num_envs, 1))

    return policy


def tuned_plan(chain: Chain, seed: int, paths: int = 256) -> tuple[int, Orders]:
    """The demand of a period for which a plan made once earns most on the paths of `reset(seed=seed)`, of all whole
    numbers within 15 % of the mean demand; and that plan.
    """
    mean = float(demand_paths(chain, seed, paths).mean())
    env = SupplyVectorEnv(paths, chain.compiled, chain.trade)
    plans = {n: made_once(chain, n) for n in range(int(0.85 * mean), int(1.15 * mean) + 2)}
    best = max(plans, key=lambda n: float(played(env, followed(plans[n]), seed).sum(axis=0).mean()))
    return best, plans[best]
