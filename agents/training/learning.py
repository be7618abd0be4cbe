"""What training needs to know that has nothing to do with torch: settings, scales, the choice of a checkpoint, the
card.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agents.advice.horizon import scale_s
from agents.bundles.familiar import fit as fit_familiar
from agents.bundles.policy import Network
from agents.control.controllers import Controller, RuleController
from agents.control.over import decided
from agents.control.rollout import Span, cost_over, default_epoch
from agents.envs.env import PlantVectorEnv
from agents.envs.epochs import EVENTS, HORIZONS, INTERVAL, decision_kinds
from agents.envs.grid import Grid, Values, switches
from agents.envs.schema import FREE_S, Observer, Rows
from agents.errors import TrainingError
from agents.rules.rule import Rule, content_of
from agents.rules.tune import judge_span
from agents.seeds import SELECT, block_seed, draw_parameters
from sim.value import operating_terms

if TYPE_CHECKING:
    from sim.compile import Compiled
    from twin.posterior_file import FilePosterior


SMALL = 6_600
"""Numbers in the row of a plant that is judged with `Config.select` replicas."""
COMPARED = 1
"""Seed of the block for choices on which checkpoints are compared."""
ROWS = 4096
"""Replicas judged together; bounds memory."""


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that decides what comes out of training, beside the plant, the seed and the budget.

    `lanes` environments x `steps` decisions make an update, in minibatches of `minibatch`, `epochs` times.
    `horizons`: the discount reaches `horizons` times the plant's slowest time scale. `explore`: standard deviation
    of the first policy about the rule, as a share of a control's range. `select`: replicas for choosing a
    checkpoint, of which there are `checks`. `decide`: at equal intervals, at events, or auto: at events where all
    controls are free to move at any time (`agents.envs.schema.FREE_S`), so that an interval would only come too late.
    `trainer`: resident (`agents.training.resident.ResidentPPO`) or stock (Stable-Baselines3's PPO; intervals only).
    `masks`: controls that may not move yet have no part in an action's probability (`ResidentPPO`; not stock).
    `improve`: share of the budget for the stage after PPO (`agents.training.finish`) on plants that there is one for
    (None: as much as has proved good, `agents.training.finish.share_of`); 0: none.
    """

    lanes: int = 1024
    steps: int = 32
    minibatch: int = 16_384
    epochs: int = 4
    rate: float = 4.0e-4
    gae: float = 0.97
    clip: float = 0.2
    entropy: float = 0.0
    hidden: tuple[int, ...] = (64, 64)
    horizons: float = HORIZONS
    explore: float = 0.06
    episode_weeks: float = 4.0
    select: int = 64
    checks: int = 12
    epoch_s: float | None = None
    decide: str = "auto"
    trainer: str = "resident"
    masks: bool = False
    improve: float | None = None

    def replicas(self, compiled: Compiled) -> int:
        """Replicas for choosing a checkpoint: `select`, and more of a small plant, whose cost is as uncertain and which
        is quickly simulated.
        """
        return self.select * min(max(SMALL // compiled.layout.width, 1), 32)

    def decides(self, compiled: Compiled) -> str:
        """`interval` or `events` on this plant. Raises TrainingError for what cannot be."""
        for what, known in (("decide", ("auto", INTERVAL, EVENTS)), ("trainer", ("resident", "stock"))):
            if getattr(self, what) not in known:
                raise TrainingError(f"{what} {getattr(self, what)!r}: expected one of {', '.join(known)}")
        free = all(c.every * compiled.plant.tick_s < FREE_S for c in compiled.plant.controls)
        chosen = self.decide if self.decide != "auto" else EVENTS if free and self.trainer == "resident" else INTERVAL
        if chosen == EVENTS and self.trainer == "stock":
            raise TrainingError(
                "stock PPO discounts every step alike, and steps between events last differently long: use "
                "--trainer resident, or --decide interval"
            )
        return chosen


@dataclass(frozen=True, slots=True)
class Scales:
    """Numbers measured or derived before training: discount of an interval, and the centre and scale of the reward
    (money an interval).
    """

    gamma: float
    centre: float
    scale: float
    epoch: int


def longest_s(compiled: Compiled, config: Config) -> float | None:
    """Longest time between two decisions where nothing is stated: at events, an eighth of the plant's slowest time
    scale, since what matters happens at events; None (what is usual) at intervals.
    """
    if config.decides(compiled) == INTERVAL:
        return None
    return max(scale_s(compiled.plant) / 8.0, default_epoch(compiled) * compiled.plant.tick_s)


def check_learnable(compiled: Compiled) -> None:
    """`TrainingError` when the plant offers nothing to decide or nothing to gain."""
    plant = compiled.plant
    if not plant.controls:
        raise TrainingError(
            f"plant {plant.id} has no controls: there is nothing to learn; add `controls:` to the plant file"
        )
    if not operating_terms(plant):
        raise TrainingError(
            f"plant {plant.id} has no costs: every decision is as good as another; add holding, backlog or "
            f"revenue to the plant file"
        )


def measure(env: PlantVectorEnv, rule: Rule, config: Config) -> Scales:
    """Reward scales from the rule in the environment's own lanes (which are left as they stand): two thirds of three
    weeks, or of 1,200 decisions where that is shorter.

    The scale is about the standard deviation of the discounted cost to come, so that a critic's targets are of order
    one: money that accrues with variance v a time unit and is discounted with time constant T has variance v T / 2.
    """
    compiled = env.compiled
    epoch_s = env.epoch * compiled.plant.tick_s
    horizon = config.horizons * scale_s(compiled.plant) / epoch_s
    if env.pace.by_events:
        horizon = env.pace.constant / env.epoch
    gamma = 1.0 - min(1.0 / horizon, 0.2)
    action = np.repeat(env.grid.encode(env.grid.vector(rule.values))[None, :], env.num_envs, axis=0)
    env.reset(seed=0)
    week = min(max(round(7 * 86_400 / epoch_s), 1), 400)
    costs, intervals = [], []
    for k in range(3 * week):
        *_, info = env.step(action)
        if k >= week:
            costs.append(info["cost"].copy())
            intervals.append(info["elapsed"] / env.epoch)
    cost, took = np.array(costs), np.array(intervals)
    if not np.isfinite(cost).all():
        raise TrainingError(
            f"plant {compiled.plant.id}: the cost of an interval is not finite; check the prices in the plant file"
        )
    centre = float(cost.sum() / took.sum())
    away = cost - centre * took
    if not away.any():
        raise TrainingError(
            f"plant {compiled.plant.id}: every interval costs {centre:g}; nothing the controls do changes the cost"
        )
    rate = float((away.sum(axis=0) ** 2 / took.sum(axis=0)).mean())
    return Scales(gamma, centre, float(np.sqrt(rate / (1.0 - gamma) / 2.0)), env.epoch)


@dataclass(frozen=True, slots=True)
class Untold:
    """A network that no bundle holds yet as a controller, deciding without exploration; `over`: the rule whose
    setpoints it moves.
    """

    network: Network
    observer: Observer
    grid: Grid
    kinds: int
    name: str = "candidate"
    static: bool = False
    epoch_s: float | None = None
    over: RuleController | None = None

    def act(self, rows: Rows) -> Values | None:
        """Setpoints [R, C]."""
        return decided(self.network, self.grid, self.over, self.observer(rows), rows)


class Judge:
    """Mean operating cost an hour of policies and rules on the seeds for choices; the same luck for all, and with a
    `posterior` the same parameters drawn from it. `kinds`: of events at which a policy decides (0: at intervals).
    """

    def __init__(
        self,
        compiled: Compiled,
        config: Config,
        epoch: int,
        threads: int = 1,
        posterior: FilePosterior | None = None,
    ) -> None:
        self.compiled, self.threads, self.posterior = compiled, threads, posterior
        self.replicas, self.checks = config.replicas(compiled), config.checks
        usual = judge_span(compiled)
        self.span = Span(epoch, usual.warmup, usual.length)
        self.kinds = decision_kinds(config.decides(compiled), None)
        self.grid, self.observer = Grid(compiled.plant), Observer(compiled)
        self.hours = self.span.length * compiled.plant.tick_s / 3600.0

    def network(self, network: Network) -> float:
        """Cost an hour of a network, deciding without exploration."""
        return float(self.costs(network).mean())

    def costs(
        self, network: Network, which: tuple[int, int] | None = None, over: RuleController | None = None
    ) -> NDArray[np.float64]:
        """Cost an hour [replicas] of a network, alone or `over` a rule; `which`: (seed, replicas) of the block for
        choices in the place of those that checkpoints are compared on.
        """
        return self._costs(Untold(network, self.observer, self.grid, self.kinds, over=over), which)

    def _costs(self, who: Controller, which: tuple[int, int] | None) -> NDArray[np.float64]:
        seed, replicas = which or (COMPARED, self.replicas)
        return np.concatenate([self._cost(who, seed, at, min(ROWS, replicas - at)) for at in range(0, replicas, ROWS)])

    def rule(self, rule: Rule) -> float:
        """Cost an hour of a rule."""
        return float(self.rule_costs(rule).mean())

    def rule_costs(self, rule: Rule, which: tuple[int, int] | None = None) -> NDArray[np.float64]:
        """Cost an hour [replicas] of a rule; `which` as in `costs`."""
        return self._costs(RuleController(rule, self.compiled, self.grid), which)

    def _cost(self, who: Controller, seed: int, first: int, replicas: int) -> NDArray[np.float64]:
        from sim.engine import new_rows

        at, drawn = block_seed(SELECT, seed), None
        if self.posterior is not None:
            drawn = draw_parameters(self.posterior, self.compiled, (at, first), replicas)
        rows = new_rows(self.compiled, at, replicas, first, scales=drawn)
        return cost_over(rows, self.compiled, who, self.span, self.threads) / self.hours


def start_bias(compiled: Compiled, rule: Rule, explore: float) -> NDArray[np.float32]:
    """Biases of the last layer that make the untrained policy a bell curve about the rule's setpoint of every control;
    a control that is a switch (`agents.envs.grid.switches`) is as often on as off, since no constant is a rule.
    """
    grid, undecided = Grid(compiled.plant), switches(compiled.plant)
    at = grid.encode(grid.vector(rule.values))
    parts = []
    for c, n in enumerate(grid.counts.tolist()):
        width = max(explore * n, 0.7)
        bell = -0.5 * ((np.arange(n) - at[c]) / width) ** 2
        parts.append(np.zeros(n) if grid.ids[c] in undecided else bell)
    return np.concatenate(parts).astype(np.float32)


def spec(
    compiled: Compiled,
    network: Network,
    epoch: int,
    seen: NDArray[np.float32],
    decide: str = INTERVAL,
    over: Rule | None = None,
) -> dict[str, Any]:
    """policy.json of a network: what it looks at, what it sets, the rule that it is over, and the range of observations
    it has learned from.
    """
    observer, grid = Observer(compiled), Grid(compiled.plant)
    low, high = np.quantile(seen, [0.001, 0.999], axis=0).astype(np.float32)
    familiar = fit_familiar(seen)
    return {
        "plant": compiled.plant.id,
        "plant_hash": compiled.hash,
        "epoch_s": epoch * compiled.plant.tick_s,
        "decide": decide,
        "decode": network.decode,
        **({} if over is None else {"rule": content_of(over)}),
        "architecture": {"kind": "mlp", "activation": "tanh", "widths": [w.shape[0] for w in network.weights]},
        "observation": {
            "fields": list(observer.fields),
            "hash": observer.hash,
            "scaling": observer.scaling(),
            "seen": [[float(x) for x in low], [float(x) for x in high]],
            **({} if familiar is None else {"familiar": familiar.as_json()}),
        },
        "action": {
            "hash": grid.hash,
            "controls": [
                {
                    "id": c.id,
                    "low": c.low,
                    "high": c.high,
                    "step": c.step,
                    "count": int(n),
                    "every_s": c.every * compiled.plant.tick_s,
                }
                for c, n in zip(grid.controls, grid.counts, strict=True)
            ],
        },
    }


def _origin(selection: list[dict[str, float]], as_rule: bool, improved: str, over: bool = False) -> str:
    """Which checkpoint this is, in a sentence that does not hide a start that nothing beat."""
    if over and not improved:
        return (
            "Nothing that was learned is surely better than the tuned rule, so **this policy is the tuned rule**, "
            "asked once a decision interval: training found no improvement."
        )
    if improved == "distilled":
        inside = "The tuned rule is inside, and the network says by how much its setpoints are moved. " if over else ""
        return (
            f"{inside}Rollouts over the rule, and over the policy that came of them, were distilled into it "
            "(`agents/training/distill.py`); of those policies it cost least on seeds that neither training nor the "
            "judgement below used."
        )
    if improved:
        last = selection[-1]["steps"]
        return (
            f"PPO's best checkpoint was improved by policy iteration on branched moments "
            f"(`agents/training/improve.py`): this is its last policy, after {last:,.0f} decisions in all."
        )
    chosen = min(selection, key=lambda c: c["cost_per_hour"])
    start = "the tuned rule" if as_rule else "the tuned rule's constants, its switches undecided"
    where = "The checkpoint was chosen on seeds that neither training nor the judgement below used: "
    if chosen["steps"] == 0:
        return (
            where + f"none after the start was better than the start, so **this policy is {start} in the form of a "
            "network**: training found no improvement."
        )
    return where + f"the one after {chosen['steps']:,.0f} decisions. It started as {start}."


def _as_rule(compiled: Compiled, evidence: dict[str, Any]) -> bool:
    """Is the untrained policy the rule itself?"""
    return not switches(compiled.plant) and ":fixed:" in evidence["rule"]


def against_rule(lo: float, hi: float) -> str:
    """What to do with a policy whose cost differs from its rule's by so much, 95 % interval; "" where it is better."""
    if hi < 0.0:
        return ""
    found = "costs more than the rule that it began with" if lo > 0.0 else "is not shown to be better than its rule"
    return f"it {found}: keep the rule, or train for longer (--budget)"


def card(compiled: Compiled, evidence: dict[str, Any]) -> str:
    """card.md: what this policy is for, how it was made, how good it is."""
    versus, drawn = evidence["verdicts"], evidence.get("posterior")
    advice = against_rule(versus["rule"]["lo"], versus["rule"]["hi"])
    lines = [
        f"# Policy for {compiled.plant.id}",
        "",
        "Name: `{name}`",
        "",
        (
            f"Made by `{evidence['command']}` on {evidence['hardware']}: {evidence['steps']:,} decisions of "
            f"{evidence['epoch_s'] / 3600:g} h in {evidence['seconds']:.0f} s, seed {evidence['seed']}, "
            f"{evidence['versions']}."
        ),
        "",
        "It sets "
        + ", ".join(f"`{c.id}`" for c in compiled.plant.controls)
        + (" at events" if evidence.get("decide") == EVENTS else " once a decision interval")
        + ", from the observed state alone, without exploration. "
        + _origin(
            evidence["selection"],
            _as_rule(compiled, evidence),
            str(evidence.get("improved") or ""),
            bool(evidence.get("over")),
        )
        + (f" Parameters of each episode were drawn from posterior `{drawn}`." if drawn else ""),
        "",
        "## How good it is",
        "",
        (
            f"Paired runs on the same random numbers ({versus['rule']['pairs']} pairs of "
            f"{versus['rule']['length_s'] / 86_400:g} days after "
            f"{versus['rule']['warmup_s'] / 86_400:g} days of warm-up, seeds of their own); operating cost, less is "
            f"better:"
        ),
        "",
        (
            f"- against the tuned rule: {versus['rule']['sentence']}; worse in "
            f"{100 * versus['rule']['p_worse']:.0f} % of the pairs"
        ),
        (
            f"- against the setpoints of the plant file: {versus['nothing']['sentence']}; worse in "
            f"{100 * versus['nothing']['p_worse']:.0f} % of the pairs"
        ),
        "",
        *([f"**In short: {advice}.**", ""] if advice else []),
        "(A is this policy.) One training seed is one draw: another seed may do better or worse.",
        "",
        "## Not for",
        "",
        (
            "Plants whose file names other stations, stocks or controls: it is refused there. States far from those "
            "it learned from: advice says so. "
            "It never acts by itself: what it proposes is checked by the twin and approved by a person."
        ),
        "",
    ]
    return "\n".join(lines)
