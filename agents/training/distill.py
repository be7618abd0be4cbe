"""The last stage of training on plants too large to count states: rollouts, distilled into a network, and so again.

Rollout over a policy (`agents.control.lookahead`) looks at what each control might do by simulation: a good step of
policy improvement, but it costs a tenth of a second of CPU a decision, and one step is all. Here the same question is
asked in many states, of only a few futures each, and the answers are averaged over states instead of over futures
(`agents.training.regress`): a network that decides in microseconds, with the noise of all moments together. That
network is the policy of the next round (Lagoudakis and Parr 2003, Reinforcement learning as classification; Bertsekas
2019, ch. 4).

A round: the cost to go of the present policy (`agents.control.costtogo`); then states of disturbed runs of it, at each
of which every control that may move is moved up and down by random amounts, for one interval or until it may move
again, all with the same luck; then the regression; then proof by simulation, control by control. What comes out is
judged by `agents.training.finish` on other seeds.

The cost to go is the same estimate in all moments of a round, so its errors do not average out. Half of the simulation
therefore goes into fewer moments whose futures go on for longer, and what these say otherwise is a regression of its
own, added to the first: a multilevel estimate (Giles 2008, Multilevel Monte Carlo path simulation) with two levels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agents.bundles.policy import Network
from agents.control.controllers import Controller, RuleController
from agents.control.costtogo import Disturbed, Fit, said
from agents.control.lookahead import Luck, Plan, Rollout, interval
from agents.control.over import Moves, unmoved
from agents.control.rollout import Operation, cost_over
from agents.envs.grid import Grid
from agents.envs.schema import Floats, Observer
from agents.rules.keep import PROOFS, Fresh, proves
from agents.rules.tune import judge_span
from agents.seeds import TRAIN, block_seed
from agents.training.learning import Untold
from agents.training.regress import Moments, Regression
from sim import state as st
from sim.engine import new_rows

if TYPE_CHECKING:
    from sim.compile import Compiled

Rows = NDArray[np.int64]
Values = NDArray[np.int64]
Trials = list[tuple[Values, Values, Values, NDArray[np.float64]]]
"""Of each: the moments, the control, its values, the gains."""
DISTILLING, SETTLING = 1 << 20, 1 << 21
"""Seeds of the block for training from here on are for this stage's moments, and for its proofs."""
LOOKED, KEPT = 20_000, 40_000
"""Moments after which a round proposes, however long the budget is, and the latest that it proposes from: their
features take half a gigabyte on a plant of a hundred columns.
"""


@dataclass(frozen=True, slots=True)
class Distillation:
    """Settings. `rows`: plants that run side by side; `futures` of each trial; trials lie up to `reach` sixteenths of a
    control's range (of the grid's steps at least) away, half as far whenever nothing of a proposal proves good (a
    parabola fits only so far); `skip`: up to so many intervals pass between two looks, since states that follow each
    other say the same; `runs`: that a proof begins with (`agents.rules.keep.proves`); `fit`: of the cost to go.
    """

    rows: int = 64
    futures: int = 2
    reach: int = 4
    skip: int = 3
    longer: int = 9
    runs: int = 64
    fit: Fit = field(default_factory=lambda: Fit(replicas=512, steps=84))


@dataclass(frozen=True, slots=True)
class Proven:
    """What is known, its policy, and the controls of which something new was taken."""

    known: Regression
    network: Network
    taken: tuple[str, ...]


class Distiller:
    """Improves the policy `base`, which decides every `epoch_s` seconds, round by round. Where `base` is a rule that is
    more than constants, its policies are over that rule (`over`): they move its setpoints.
    """

    def __init__(
        self,
        compiled: Compiled,
        base: Controller,
        epoch_s: float | None,
        settings: Distillation | None = None,
        seed: int = 0,
        threads: int = 1,
    ) -> None:
        self.compiled, self.threads = compiled, threads
        self.epoch_s = interval(compiled, epoch_s) * compiled.plant.tick_s
        self.settings = settings or Distillation()
        self.observer, self.seed, self.round, self.settled = Observer(compiled), seed, 0, 0
        self.over = base if isinstance(base, RuleController) and not base.static and not base.kinds else None
        self.decisions = 0
        """Intervals that were simulated."""
        self.rng = np.random.Generator(np.random.PCG64([seed, DISTILLING]))
        self.reach = self.settings.reach
        if self.over is not None:  # as the policies over it are asked: once an interval
            base = self.controller(unmoved(self.over.grid, self.observer.size))
        self.begin(base, None)

    def begin(self, base: Controller, known: Regression | None) -> None:
        """A round with another policy, which is that of what is `known` (None: nothing); trials under the policy before
        are forgotten.
        """
        self._known = known
        s, fit = self.settings, self.settings.fit
        self.base = base
        self.look = Rollout(base, self.compiled, Plan(self.epoch_s, fit=fit), self.threads)
        epoch = self.look.epoch
        self._seen: list[Floats] = []
        self._base: list[Values] = []
        self._trials: Trials = []
        self._later: Trials = []  # by how much the gains of longer futures differ
        self._spent = [0, 0]  # intervals of simulation: as usual, and in addition where futures go on
        self.moments = 0
        self.rows = new_rows(self.compiled, block_seed(TRAIN, DISTILLING + self.seed), s.rows, self.round * s.rows)
        self.runs = Disturbed(Operation(self.compiled, base, epoch, self.threads), epoch, self.rng)
        warm = -(-judge_span(self.compiled).warmup // epoch)
        Operation(self.compiled, base, epoch, self.threads).run(self.rows, warm * epoch)
        self.decisions += fit.replicas * (fit.steps + warm) + s.rows * warm
        self.round += 1

    def look_once(self) -> None:
        """Try every control that may move now in all rows, and go on to other states."""
        s, grid, now = self.settings, self.look.grid, int(self.rows[0, st.NOW])
        base, free = self.look.standing(self.rows, now)
        middle, own = self._moves(base, free)
        who = np.repeat(np.flatnonzero(free), 2)
        moves = [base]
        for k, c in enumerate(who.tolist()):
            by = self.rng.integers(1, self.reach + 1, len(base)) * self.look.unit[c] * (1 if k % 2 else -1)
            moved = base.copy()
            moved[:, c] = np.clip(base[:, c] + by, grid.low[c], grid.high[c])
            moves.append(grid.limit(moved, self.rows, self.compiled.layout))
        if len(who):
            values = np.stack(moves, axis=1)
            luck = Luck(self.look.unseen.marks(self.rows), 0, s.futures)
            runs = len(base) * len(moves) * s.futures
            more = s.longer if self._spent[1] <= self._spent[0] else 0
            gains, later = (g.mean(axis=2) for g in self.look.longer(self.rows, values, luck, more * self.look.epoch))
            at = self.moments + np.arange(len(base))
            for k, c in enumerate(who.tolist()):
                tried = values[:, k + 1, c] - middle[:, c]
                self._trials.append((at, np.full(len(base), c), tried, gains[:, k + 1]))
                if more:
                    self._later.append((*self._trials[-1][:3], (later - gains)[:, k + 1]))
            self._seen.append(self.observer(self.rows))
            self._base.append(own)
            self.moments += len(base)
            self._spent[0] += 2 * runs
            self._spent[1] += more * runs
            self.decisions += (2 + more) * runs
        for _ in range(int(self.rng.integers(1, s.skip + 1))):
            self.runs.step(self.rows)
            self.decisions += len(base)

    def _moves(self, base: Values, free: NDArray[np.bool_]) -> tuple[Values, Values]:
        """What setpoints count from in the rows [R, C], and where the policy's own lie from there: the rule's setpoints
        and the moves from them, else 0 and the setpoints.
        """
        if self.over is None:
            return np.zeros_like(base), base
        rule = self.over.act(self.rows)
        return rule, np.where(free, base, said(self.base, self.rows, self.compiled)) - rule

    def collect(self, enough: Callable[[], bool]) -> None:
        """Look until there is enough, and something at all: there are moments at which no control may move."""
        while True:
            self.look_once()
            if self.moments and enough():
                return

    @property
    def seen(self) -> Floats:
        """Observations [N, D] of this round's moments."""
        return np.concatenate(self._seen)

    def sample(self, count: int) -> Floats:
        """At most so many of them, drawn at random."""
        seen = self.seen
        return seen[self.rng.permutation(len(seen))[:count]]

    def propose(self) -> list[Regression]:
        """What this round's moments say, in addition to what is known: first corrected by longer futures, then as it
        is without them, since these are few.
        """
        moments = self._taken(self._trials)
        if self._known is None:
            grid = self.look.grid if self.over is None else Moves(self.look.grid)
            self._known = Regression(moments, self.observer.fields, grid)
        found = self._known.after(moments)
        return [found.corrected(self._taken(self._later)), found] if self._later else [found]

    def _taken(self, trials: Trials) -> Moments:
        """Those of the trials that are near enough and not too old, with all moments."""
        at, control, value, gain = (np.concatenate(parts) for parts in zip(*trials, strict=True))
        base = np.concatenate(self._base)
        near = np.abs(value - base[at, control]) <= self.reach * self.look.unit[control]
        near &= at >= self.moments - KEPT
        return Moments(self.seen, base, at[near], control[near], value[near], gain[near])

    def settle(self, proposals: list[Regression]) -> Proven:
        """Of what is proposed what proves good, control by control, in runs on luck of its own; of a control the first
        proposal that does.

        A regression of gains can be sure and wrong: the cost to go is an estimate, and the controls are tried one at a
        time. On `gearmotor` the base stocks of a first round alone were worth more than the whole of it.
        """
        assert self._known is not None, "propose() comes first"
        grid, taken, kept, best = self.look.grid, [], self._known, "base"
        policies = {best: self.base}
        fresh = Fresh(lambda name, first, count: self._costs(policies[name], first, count))
        order = sorted(range(grid.size), key=lambda c: -proposals[-1].heads[c].explained)
        for c in order:
            tried = [self._known.heads[c]]
            for proposed in proposals:
                head = proposed.heads[c]
                if not head.sure or any(head is other for other in tried):
                    continue
                tried.append(head)
                mixed = kept.with_head(proposed, c)
                name = f"{grid.ids[c]}, proposal {len(tried)}"
                policies[name] = self.controller(mixed.network())
                if proves(fresh, best, name, self.settings.runs):
                    kept, best = mixed, name
                    taken.append(grid.ids[c])
                    break
        self.settled += 1
        if not taken:
            self.reach = max(self.reach // 2, 1)
        return Proven(kept, kept.network(), tuple(taken))

    def controller(self, network: Network) -> Controller:
        """A network as a controller."""
        return Untold(network, self.observer, Grid(self.compiled.plant), 0, epoch_s=self.epoch_s, over=self.over)

    def _costs(self, who: Controller, first: int, count: int) -> NDArray[np.float64]:
        """Operating cost [count] of a controller after a warm-up, from the run `first` of these proofs' luck on."""
        span = judge_span(self.compiled)
        first += self.settled * (self.settings.runs << (PROOFS - 1))
        rows = new_rows(self.compiled, block_seed(TRAIN, SETTLING + self.seed), count, first)
        self.decisions += count * (span.warmup + span.length) // self.look.epoch
        return cost_over(rows, self.compiled, who, span, self.threads)
