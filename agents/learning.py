"""What training needs to know that has nothing to do with torch: settings, scales, the choice of a checkpoint, the
card.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agents.controllers import RuleController
from agents.env import PlantVectorEnv
from agents.errors import TrainingError
from agents.grid import Grid
from agents.horizon import scale_s
from agents.policy import Network
from agents.rollout import Span
from agents.rules import Rule
from agents.schema import Observer
from agents.seeds import SELECT, block_seed, draw_parameters
from agents.tune import judge_span
from sim.value import operating_cost, operating_terms

if TYPE_CHECKING:
    from sim.compile import Compiled
    from twin.posterior_file import FilePosterior


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that decides what comes out of training, beside the plant, the seed and the budget.

    `lanes` environments x `steps` decisions make an update, in minibatches of `minibatch`, `epochs` times.
    `horizons`: the discount reaches `horizons` times the plant's slowest time scale. `explore`: standard deviation
    of the first policy about the rule, as a share of a control's range. `select`: replicas for choosing a
    checkpoint, of which there are `checks`.
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
    horizons: float = 1.5
    explore: float = 0.06
    episode_weeks: float = 4.0
    select: int = 64
    checks: int = 12
    epoch_s: float | None = None


@dataclass(frozen=True, slots=True)
class Scales:
    """Numbers measured or derived before training: discount, and the centre and scale of the reward (money an
    interval).
    """

    gamma: float
    centre: float
    scale: float
    epoch: int


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
    """Reward scales from two weeks of the rule, after one week, in the environment's own lanes (which are left as
    they stand).
    """
    compiled = env.compiled
    epoch_s = env.epoch * compiled.plant.tick_s
    gamma = 1.0 - min(epoch_s / (config.horizons * scale_s(compiled.plant)), 0.2)
    action = np.repeat(env.grid.encode(env.grid.vector(rule.values))[None, :], env.num_envs, axis=0)
    env.reset(seed=0)
    week = max(round(7 * 86_400 / epoch_s), 1)
    week = min(week, 400)
    costs = []
    for k in range(3 * week):
        *_, info = env.step(action)
        if k >= week:
            costs.append(info["cost"].copy())
    cost = np.array(costs)
    spread = float(cost.std())
    if not np.isfinite(cost).all():
        raise TrainingError(
            f"plant {compiled.plant.id}: the cost of an interval is not finite; check the prices in the plant file"
        )
    if spread == 0.0:
        raise TrainingError(
            f"plant {compiled.plant.id}: every interval costs {cost.mean():g}; nothing the controls do changes the cost"
        )
    return Scales(gamma, float(cost.mean()), spread * float(np.sqrt(1.0 / (1.0 - gamma))), env.epoch)


class Judge:
    """Mean operating cost an hour of policies and rules on the seeds for choices; the same luck for all, and with a
    `posterior` the same parameters drawn from it.
    """

    def __init__(
        self, compiled: Compiled, replicas: int, epoch: int, threads: int = 1, posterior: FilePosterior | None = None
    ) -> None:
        self.compiled, self.threads, self.replicas, self.posterior = compiled, threads, replicas, posterior
        usual = judge_span(compiled)
        self.span = Span(epoch, usual.warmup, usual.length)
        self.grid, self.observer = Grid(compiled.plant), Observer(compiled)
        self.hours = self.span.length * compiled.plant.tick_s / 3600.0

    def network(self, network: Network) -> float:
        """Cost an hour of a network, deciding without exploration."""
        return self._run(lambda rows: self.grid.decode(network.decide(self.observer(rows))))

    def rule(self, rule: Rule) -> float:
        """Cost an hour of a rule, deciding as often as the policy does."""
        return self._run(RuleController(rule, self.compiled, self.grid).act)

    def _run(self, act: Any) -> float:
        from sim.engine import new_rows, run, set_controls

        seed, drawn = block_seed(SELECT, 1), None
        if self.posterior is not None:
            drawn = draw_parameters(self.posterior, self.compiled, (seed, 0), self.replicas)
        rows = new_rows(self.compiled, seed, self.replicas, scales=drawn)
        before = rows
        end = self.span.warmup + self.span.length
        for now in range(0, end, self.span.epoch):
            if now >= self.span.warmup and before is rows:
                before = rows.copy()
            set_controls(rows, self.compiled, self.grid.limit(act(rows), rows, self.compiled.layout))
            run(rows, self.compiled, min(now + self.span.epoch, end), self.threads)
        return float(operating_cost(before, rows, self.compiled).mean()) / self.hours


def start_bias(compiled: Compiled, rule: Rule, explore: float) -> NDArray[np.float32]:
    """Biases of the last layer that make the untrained policy a bell curve about the rule's setpoint of every
    control.
    """
    grid = Grid(compiled.plant)
    at = grid.encode(grid.vector(rule.values))
    parts = []
    for c, n in enumerate(grid.counts.tolist()):
        width = max(explore * n, 0.7)
        parts.append(-0.5 * ((np.arange(n) - at[c]) / width) ** 2)
    return np.concatenate(parts).astype(np.float32)


def spec(compiled: Compiled, network: Network, epoch: int, seen: NDArray[np.float32]) -> dict[str, Any]:
    """policy.json of a network: what it looks at, what it sets, and the range of observations it has learned from."""
    observer, grid = Observer(compiled), Grid(compiled.plant)
    low, high = np.quantile(seen, [0.001, 0.999], axis=0).astype(np.float32)
    return {
        "plant": compiled.plant.id,
        "plant_hash": compiled.hash,
        "epoch_s": epoch * compiled.plant.tick_s,
        "architecture": {"kind": "mlp", "activation": "tanh", "widths": [w.shape[0] for w in network.weights]},
        "observation": {
            "fields": list(observer.fields),
            "hash": observer.hash,
            "scaling": observer.scaling(),
            "seen": [[float(x) for x in low], [float(x) for x in high]],
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


def _origin(selection: list[dict[str, float]]) -> str:
    """Which checkpoint this is, in a sentence that does not hide a start that nothing beat."""
    chosen = min(selection, key=lambda c: c["cost_per_hour"])
    where = "The checkpoint was chosen on seeds that neither training nor the judgement below used: "
    if chosen["steps"] == 0:
        return (
            where
            + "none after the start was better than the start, so **this policy is the tuned rule in the form of a "
            "network**: training found no improvement."
        )
    return where + f"the one after {chosen['steps']:,.0f} decisions. It started as the tuned rule."


def card(compiled: Compiled, evidence: dict[str, Any]) -> str:
    """card.md: what this policy is for, how it was made, how good it is."""
    versus, drawn = evidence["verdicts"], evidence.get("posterior")
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
        + " once a decision interval, from the observed state alone, without exploration. "
        + _origin(evidence["selection"])
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
