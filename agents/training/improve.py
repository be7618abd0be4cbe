"""The last stage of training on small plants: policy iteration by least squares on branched moments.

PPO learns from how whole stretches of luck turned out after an action was drawn. Near the optimum that is too little:
on `make_to_stock` a failure moves the cost to come by 700 EUR, one step's noise is 40 EUR, and the boundary between two
actions is worth 0.3 EUR. Here the same moment is played with every action and *the same luck* (`agents.envs.branch`),
one decision ahead, so that the differences between actions hold only the noise of what the actions change. What
followed is kept by state and action (`agents.training.states`), and is asked again for every policy that comes up:

- the relative value and the average cost of a policy by least-squares temporal differences (Bradtke and Barto 1996;
  without a discount: Tsitsiklis and Van Roy 1999) on the transitions that its own actions made, branched or played,
- what another action costs more than its own, fitted by least squares to cost - average + value of what followed,
- the next policy takes, control by control, the value that costs least (Lagoudakis and Parr 2003, Least-squares policy
  iteration).

The functions are linear in a hidden layer of random tanh units (Huang et al. 2006, Extreme learning machine): no rate,
no batches, no order in which things are learnt, and the last policy is a network with one hidden layer as any other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from agents.advice.horizon import relaxation_s
from agents.bundles.policy import Network
from agents.envs.branch import branch
from agents.envs.env import PlantVectorEnv
from agents.envs.schema import Floats
from agents.training.states import Counts, Doubles, Indices, Played, States

JOINT = 512
"""Most joint actions of a plant that all are tried."""
MOST = 20_000_000
"""Most pairs of a state and a joint action that are counted: 160 MB for their costs."""
PLACED = 5000
"""Observations that the hidden layer is placed by."""
CONTEXTS = 32
"""At most about so many settings of the other controls are looked at where a control makes no difference."""
SAME = 1e-12
"""Costs that differ by less are alike: the same luck led to the same state."""
LEAST = 0.02
"""Added to the spread of an observed column, so that one that hardly ever moves is not blown up."""


@dataclass(frozen=True, slots=True)
class Improvement:
    """Settings. A round plays `steps` decisions in all lanes. `branched`: imagined steps for each played one, at every
    `every`-th decision. `wander`: share of decisions at which a lane leaves the policy for `stay` decisions on average;
    `slip`: share at which it leaves it once. `units`: of the hidden layer, at most one for `each`
    so many moments (but 100). `sweeps`: of policy iteration after each growth of the moments by `growth`. `ridge`:
    added to the diagonals of least squares, as a share of their mean.
    `further`: with so many moments the sight begins to grow in proportion to them. At first it is the time constant of
    the environment's discount or, where that is longer, the time in which the busiest station forgets
    (`agents.advice.horizon.relaxation_s`). A short sight has another optimum than the average cost (with PPO's it costs
    up to 1.7 % too much, median 0.5 %, on twenty sets of parameters of `make_to_stock`; with seven times less than the
    bottleneck's on `tandem_release` 0.6 % where 0.3 % was possible), a long one needs more moments.
    """

    steps: int = 32
    every: int = 4
    branched: float = 4.0
    wander: float = 0.01
    stay: float = 15.0
    slip: float = 0.05
    units: int = 300
    sweeps: int = 20
    growth: float = 0.5
    ridge: float = 1e-8
    further: float = 150_000.0
    each: int = 600


class Basis:
    """Random tanh units of standardised columns: observations [.., D] to [.., F + 1], the last of them 1."""

    def __init__(self, seen: Floats, use: NDArray[np.bool_], units: int, rng: np.random.Generator) -> None:
        mean, spread = seen.mean(axis=0), seen.std(axis=0) + LEAST
        size = seen.shape[1]
        direction = rng.normal(size=(units, size)) * use
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        steep = np.exp(rng.uniform(np.log(0.3), np.log(3.0), (units, 1)))
        weights = direction * steep
        # each unit turns somewhere among what was met
        through = ((seen[rng.integers(0, len(seen), units)] - mean) / spread * weights).sum(axis=1)
        self.weights = (weights / spread).astype(np.float32)
        self.biases = (-through - (weights * (mean / spread)).sum(axis=1)).astype(np.float32)

    def __call__(self, seen: Floats) -> Doubles:
        """Features [.., F + 1]."""
        hidden = np.tanh(seen @ self.weights.T + self.biases).astype(np.float64)
        return np.concatenate([hidden, np.ones((*hidden.shape[:-1], 1))], axis=-1)


def telling(env: PlantVectorEnv) -> NDArray[np.bool_]:
    """Which observed columns [D] tell states apart: where a control stands that is set anew at every decision does
    not.
    """
    free = {f"control.{name}" for name, every in zip(env.grid.ids, env.ratio.tolist(), strict=True) if every == 1}
    return np.array([field not in free for field in env.observer.fields])


class Improver:
    """Improves the policy `start` (observations [N, D] to grid indices [N, C]) on the environments of `env`; money is
    counted in units of `scale`.
    """

    def __init__(
        self,
        env: PlantVectorEnv,
        scale: float,
        start: Callable[[Floats], Indices],
        settings: Improvement | None = None,
        seed: int = 0,
        spelled: Callable[[Network], Network] = lambda network: network,
    ) -> None:
        self.env, self.scale = env, scale
        self.settings = settings or Improvement()
        self.counts = tuple(int(n) for n in env.grid.counts)
        size = int(np.prod(self.counts))
        self.joint = np.stack(np.unravel_index(np.arange(size), self.counts), axis=1).astype(np.int64)
        self.rng = np.random.Generator(np.random.PCG64(seed))
        self.policy, self._spelled = start, spelled
        self.decisions = self.moments = 0
        self.basis: Basis | None = None
        self._best: Network | None = None
        self.moments_told = 0
        self.seed = seed
        self._table: Indices | None = None
        n = env.num_envs
        self._away = np.zeros(n, dtype=np.bool_)
        self._head, self._value = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
        plant = env.compiled.plant
        memory = relaxation_s(plant) / plant.tick_s if plant.products else 0.0
        self._fades = max(env.pace.constant, memory)
        self.states = States(telling(env))
        self.known, self.played = Counts(self.states, size), Played(size)
        self._seen, _ = env.reset(seed=seed)

    @property
    def network(self) -> Network:
        """The present policy; `improve` comes first."""
        assert self._best is not None, "improve() comes first"
        return self._spelled(self._best)

    @property
    def full(self) -> bool:
        """Are there more states than can be counted?"""
        return len(self.states) * len(self.joint) > MOST

    def sample(self, count: int) -> Floats:
        """Observations [count, D] of the moments that were branched, as often as they came."""
        share = self.known.times / self.known.times.sum()
        return self.states.seen[self.rng.choice(len(share), count, p=share)]

    def round(self) -> None:
        """Play once; improve when enough has come."""
        self._play()
        if self.moments >= (1.0 + self.settings.growth) * self.moments_told:
            self.improve()

    # -- playing -----------------------------------------------------------------------------------------------------
    def _play(self) -> None:
        s, n = self.settings, self.env.num_envs
        per = min(max(round(s.branched * s.every * n / len(self.joint)), 1), n)
        here, steps = self.states.find(self._seen), []
        for t in range(s.steps):
            chosen = self._act(self._seen, here)
            if t % s.every == s.every - 1:
                self._branch(self.rng.permutation(n)[:per])
            action = self._stray(chosen)
            self._seen, _, _, truncated, info = self.env.step(action)
            self._away &= ~truncated
            there, went = self.states.find(self._seen), ~truncated
            joint = np.ravel_multi_index(tuple(action.T), self.counts)
            cost, elapsed = info["cost"] / self.scale, info["elapsed"].astype(np.float64)
            steps.append([x[went] for x in (here, joint, there, elapsed, cost)])
            here = there
        self.played.add(*(np.concatenate(column) for column in zip(*steps, strict=True)))
        self.decisions += s.steps * n

    def _act(self, seen: Floats, ids: Indices) -> Indices:
        """What the policy does, from its table where the state is in it: a network of hundreds of units would take as
        long as the plant.
        """
        if self._table is None:
            return self.policy(seen)
        fresh = ids >= len(self._table)
        action = self.joint[self._table[np.where(fresh, 0, ids)]]
        if fresh.any():
            action[fresh] = self.policy(seen[fresh])
        return action

    def _branch(self, who: NDArray[np.intp]) -> None:
        k, j = len(who), len(self.joint)
        found = branch(self.env, np.repeat(who, j), np.tile(self.joint, (k, 1)))
        cost, elapsed = found.cost / self.scale, found.elapsed.astype(np.float64)
        after = found.observation.reshape(k, j, -1)
        self.known.add(self._seen[who], cost.reshape(k, j), elapsed.reshape(k, j), after)
        self.moments += k

    def _stray(self, chosen: Indices) -> Indices:
        """What is played in place of `chosen` [N, C]."""
        s, rng, n = self.settings, self.rng, len(chosen)
        self._away &= rng.random(n) > 1.0 / s.stay
        begin = ~self._away & (rng.random(n) < s.wander)
        once = ~self._away & ~begin & (rng.random(n) < s.slip)
        draw = begin | once
        head = rng.integers(0, len(self.counts), int(draw.sum()))
        self._head[draw], self._value[draw] = head, rng.integers(0, np.array(self.counts)[head])
        self._away |= begin
        action = chosen.copy()
        who = np.flatnonzero(self._away | once)
        action[who, self._head[who]] = self._value[who]
        return action

    # -- improving ---------------------------------------------------------------------------------------------------
    def improve(self) -> None:
        """Sweeps of policy iteration over all moments, until the policy stays."""
        self.moments_told = self.moments
        self.known.reach()
        # the same directions for the same number of units, placed where the moments are by now
        units = np.random.Generator(np.random.PCG64(self.seed))
        self.basis = Basis(self.sample(PLACED), self.states.use, self._units(), units)
        grid = (self.counts, self.joint)
        task = _Task(self.known, self.basis(self.states.seen), self.settings, grid, self._sight(), self.played)
        chosen = np.ravel_multi_index(tuple(self.policy(self.states.seen).T), self.counts)
        for _ in range(self.settings.sweeps):
            heads = task.heads(chosen, *task.value(chosen))
            again = task.choose(heads)
            same = bool((again == chosen)[task.met].all())
            chosen = again
            if same:
                break
        self._best = self._network(heads)
        self.policy, self._table = self._best.decide, task.choose(heads)

    def _units(self) -> int:
        """Of the hidden layer, with the moments there are."""
        return min(self.settings.units, max(100, self.moments // self.settings.each))

    def _sight(self) -> float:
        """Ticks that are looked ahead with the moments there are."""
        return self._fades * max(1.0, self.moments / self.settings.further)

    def _network(self, heads: list[Doubles]) -> Network:
        assert self.basis is not None
        out = -np.concatenate(heads, axis=1)  # [F + 1, sum(counts)]
        out /= max(float(np.abs(out).max()), 1e-12) / 100.0
        weights = (self.basis.weights, out[:-1].T.astype(np.float32).copy())
        return Network(weights, (self.basis.biases, out[-1].astype(np.float32)), self.counts, "mode")


class _Task:
    """Least squares over what is known: F features `phi` [S, F] of all states, the last of them 1.

    What comes later than about `sight` ticks after a decision counts less (to first order in the length of a step: in
    proportion to 1 - t / sight), and costs are counted against their average.
    """

    def __init__(
        self,
        known: Counts,
        phi: Doubles,
        settings: Improvement,
        grid: tuple[tuple[int, ...], Indices],
        sight: float = np.inf,
        played: Played | None = None,
    ) -> None:
        self.phi, self.settings = phi, settings
        self.counts, self.joint = grid
        n, j = len(phi), len(self.joint)
        self.met = known.times > 0.0
        self.times = np.maximum(known.times, 1.0)
        pair, after, often, took = known.follows()
        kept = np.maximum(often - took / sight, 0.0)
        self.next = sparse.csr_matrix((kept / self.times[pair // j], (pair, after)), shape=(n * j, n))
        self.cost = known.cost / self.times[:, None]
        elapsed = np.bincount(pair, took, minlength=n * j).reshape(n, j) / self.times[:, None]
        unit = max(float(elapsed.mean()), 1e-300)
        self.elapsed = elapsed / unit  # in steps, as it were
        # what a policy is worth is asked of everything that was seen of its actions, branched or played
        cost = np.zeros(len(pair))
        if played is not None:
            both = zip((pair, after, often, took, cost), played.follows(), strict=True)
            pair, after, often, took, cost = (np.concatenate(sums) for sums in both)
        self.tried = np.bincount(pair, often, minlength=n * j)
        each = np.maximum(self.tried, 1.0)
        kept = np.maximum(often - took / sight, 0.0)
        self.walk = sparse.csr_matrix((kept / each[pair], (pair, after)), shape=(n * j, n))
        self.paid = (known.cost.ravel() + np.bincount(pair, cost, minlength=n * j)) / each
        self.lasted = np.bincount(pair, took, minlength=n * j) / each / unit

    def _solve(self, left: Doubles, right: Doubles) -> Doubles:
        left[np.diag_indices_from(left)] += self.settings.ridge * np.trace(left) / len(left)
        try:
            found: Doubles = np.linalg.solve(left, right).astype(np.float64, copy=False)
        except np.linalg.LinAlgError:  # a policy that never leaves some states can do that
            found = np.linalg.lstsq(left, right, rcond=None)[0].astype(np.float64, copy=False)
        return found

    def value(self, chosen: Indices) -> tuple[Doubles, float]:
        """Relative value [S] and average cost of a policy that takes joint actions `chosen` [S]: v = c - g t + P v, P
        with what is left of the weight.
        """
        pairs = np.arange(len(self.phi)) * len(self.joint) + chosen
        rows = np.flatnonzero(self.tried[pairs])
        pairs = pairs[rows]
        weighed = self.phi[rows] * self.tried[pairs, None]
        change = self.phi[rows] - self.walk[pairs] @ self.phi
        change[:, -1] = self.lasted[pairs]  # a constant makes no difference: in its place the average
        found = self._solve(weighed.T @ change, weighed.T @ self.paid[pairs])
        return self.phi[:, :-1] @ found[:-1], float(found[-1])

    def heads(self, chosen: Indices, value: Doubles, average: float) -> list[Doubles]:
        """By control, weights [F, n] of what each of its values costs more than the chosen one."""
        all_ = self.cost - average * self.elapsed + (self.next @ value).reshape(self.cost.shape)
        rows = np.flatnonzero(self.met)
        total, own = all_[rows], self.joint[chosen[rows]]
        found = []
        for c in range(len(self.counts)):
            more, counts = _more(total, own, self.joint, self.counts, c)
            weighed = self.phi[rows] * (self.times[rows] * counts)[:, None]
            found.append(self._solve(weighed.T @ self.phi[rows], weighed.T @ more))
        return found

    def choose(self, heads: list[Doubles]) -> Indices:
        """Joint actions [S] of least cost, control by control."""
        least = [(self.phi @ h).argmin(axis=1) for h in heads]
        return np.ravel_multi_index(tuple(least), self.counts).astype(np.int64)


def _over(total: Doubles, context: Indices, counts: tuple[int, ...], c: int) -> Doubles:
    """Of `total` [S, J] what the values [S, n] of control c cost, the others standing as in `context` [S, C]."""
    action = np.repeat(context[:, None, :], counts[c], axis=1)
    action[:, :, c] = np.arange(counts[c])
    return np.take_along_axis(total, np.ravel_multi_index(tuple(np.moveaxis(action, 2, 0)), counts), axis=1)


def _more(
    total: Doubles, own: Indices, joint: Indices, counts: tuple[int, ...], c: int
) -> tuple[Doubles, NDArray[np.bool_]]:
    """What the values [S, n] of control c cost, of `total` [S, J], less their mean, and in which states they differ.

    The other controls stand where `own` [S, C] puts them. Where control c then makes no difference (what is the base
    stock of a machine that is being maintained?) they stand elsewhere: else what c should be there would never be
    learnt, and the other controls would be compared with whatever it happens to be.
    """
    part = _over(total, own, counts, c)
    alike = np.ptp(part, axis=1) <= SAME
    others = joint[:: max(len(joint) // CONTEXTS, 1)] if len(counts) > 1 else joint[:0]
    for context in others:
        rows = np.flatnonzero(alike)
        if not len(rows):
            break
        found = _over(total[rows], np.broadcast_to(context, (len(rows), len(counts))), counts, c)
        differ = np.ptp(found, axis=1) > SAME
        part[rows[differ]] = found[differ]
        alike[rows[differ]] = False
    return part - part.mean(axis=1, keepdims=True), ~alike
