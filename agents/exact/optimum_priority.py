"""Several kinds of parts that arrive by themselves and wait for one machine: the c-mu rule and its exact cost.

With Poisson arrivals and service that is not interrupted, serving the class with the largest (cost of waiting a time
unit) / (mean service time) first is best of all policies (Cox and Smith 1961, Queues; also against policies that let
the machine idle on purpose: Meilijson and Yechiali 1977, Stochastic Processes and their Applications 6). Waiting times
are those of Cobham (1954), Operations Research 2: W_k = R / ((1 - s_{k-1}) (1 - s_k)), s_k the load of the k most
urgent classes, R = sum of (arrival rate x second moment of service) / 2. Service may have any distribution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agents.errors import NotExactError
from agents.exact.optimum_read import Scale, exactly, plain, whole_plant
from sim import distributions
from sim.plant import UNLIMITED, Plant

WHY = "the c-mu rule is best of all policies that do not interrupt a part; its cost is by Cobham's formula"


@dataclass(frozen=True, slots=True)
class Kind:
    """A product: arrivals a time unit, mean and second moment of its work, money a time unit while it waits and while
    it is worked on, money for each that is finished.
    """

    name: str
    rate: float
    mean: float
    square: float
    waiting: float
    working: float
    finished: float


def read(plant: Plant) -> tuple[Kind, ...]:
    """The plant as this kind; `NotExactError` says what does not fit."""
    whole_plant(plant)
    machine, scale = plant.stations[0], Scale(plant)
    if plant.stocks:
        raise NotExactError(f"stocks: found {len(plant.stocks)}, expected none beside several products of one machine")
    plain(machine, machine.id, {"id", "buffer", "capacity", "holding", "dispatch", "priority"})
    exactly(machine.capacity, UNLIMITED, f"{machine.id}, places before it ({UNLIMITED}: without a limit)")
    if not any(c.sets.startswith(f"stations.{machine.id}.dispatch.") for c in plant.controls):
        raise NotExactError(f"controls: expected one that sets stations.{machine.id}.dispatch.FEATURE, found none")
    queue, kinds = scale.money("q_area", 0), []
    for i, p in enumerate(plant.products):
        plain(p, p.id, {"id", "steps", "release", "revenue", "scrap_cost", "family", "priority", "holding"})
        plain(p.release, f"release of {p.id}", {"policy", "arrivals"})
        exactly((p.release.policy, len(p.steps)), ("push", 1), f"{p.id}, its release and number of operations")
        exactly(p.steps[0].next, ((-1, 1.0),), f"{p.id}, what follows its operation")
        exactly((p.steps[0].others, p.steps[0].needs), ((), ()), f"{p.id}, alternatives and components")
        held, work = scale.money("wip_area", i), p.steps[0].work
        mean = distributions.mean(work)
        square = distributions.variance(work) + mean**2
        rate = scale.rate(p.release.arrivals, f"arrivals of {p.id}")
        finished = scale.money("finished", i)
        scale.money("scrapped", i)  # nothing is ever scrapped here
        kinds.append(Kind(p.id, rate, mean / scale.ticks, square / scale.ticks**2, held + queue, held, finished))
    scale.settled()
    load = sum(k.rate * k.mean for k in kinds)
    if load >= 1.0:
        raise NotExactError(
            f"{machine.id}: its load is {load:.3g}, expected less than 1: else the queue grows for ever"
        )
    return tuple(kinds)


def cost(kinds: Sequence[Kind]) -> float:
    """Money a time unit when the kinds are served in this order, the first always before the others."""
    residual, before, total = sum(k.rate * k.square for k in kinds) / 2.0, 0.0, 0.0
    for k in kinds:
        after = before + k.rate * k.mean
        wait = residual / ((1.0 - before) * (1.0 - after))
        total += k.rate * (k.waiting * wait + k.working * k.mean + k.finished)
        before = after
    return total


def best(kinds: Sequence[Kind]) -> tuple[Kind, ...]:
    """The order of the c-mu rule; ties in the order of the plant file."""
    return tuple(sorted(kinds, key=lambda k: -k.waiting / k.mean))


def ordered(kinds: Sequence[Kind], policy: dict[str, str]) -> tuple[Kind, ...]:
    """The kinds in the order of a table {"1": name, "2": name, ..}."""
    by_name = {k.name: k for k in kinds}
    names = [policy.get(str(i + 1)) for i in range(len(kinds))]
    if sorted(map(str, names)) != sorted(by_name) or len(policy) != len(kinds):
        raise NotExactError(f'policy: expected each of {", ".join(by_name)} once, from "1" on, found {policy}')
    return tuple(by_name[str(name)] for name in names)
