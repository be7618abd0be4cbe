"""Whose turn it was: a part that a start has passed over, although the station's rule would have taken it before.

Parts that stood in a queue when the twin began, or that a level showed, have a product only by guess. Nothing
contradicts such a guess by itself: each start finds a part of its product, and one too many of another stays, ever
older, and forecasts give it its turn (on gearmotor four of forty of one size too many, two days long). That it has been
passed over says that it is not what it was taken for.

When a guessed part starts, it may have been one of those that are known instead: then the oldest known one is the guess
from there on (`hand_on`), so that in a queue the guesses of a product are its oldest parts.
"""

from __future__ import annotations

from sim.distributions import mean
from twin.floor import Floor
from twin.model import Part
from twin.topology import setup_ms

MARGIN_MS = 60_000
"""By how much waiting a turn must have been clear: when a part joined is known to some seconds."""
TOLD = frozenset({"waited", "work", "setup", "priority"})
"""Features of docs/plant-file.md that follow from what the twin knows of every part."""


def weights(f: Floor, s: int) -> dict[str, int] | None:
    """The weights of the rule of station `s` as they are set now; first in first out is one of `waited` alone. None
    where the rule looks at what is not known, or more than the rule decides who goes first (components, batches).
    """
    spec = f.topology.plant.stations[s]
    found = dict(spec.dispatch)
    for control in f.topology.plant.controls:
        head, _, feature = control.sets.rpartition(".")
        if head == f"stations.{spec.id}.dispatch":
            found[feature] = f.state.controls.get(control.id, found.get(feature, 0))
    found = {name: w for name, w in found.items() if w}
    needs = any(f.topology.needs[p][k] for p, k in f.topology.into[s])
    if needs or spec.batch is not None or not TOLD.issuperset(found):
        return None
    return found or {"waited": -1}


def passed_over(f: Floor, s: int, u: int, started: Part) -> Part | None:
    """The guessed part in the queue of `s` that should have been taken by unit `u` long before `started`; of several
    the one whose turn was first.
    """
    guessed = [p for p in f.state.stations[s].queue if p.guess and p.product != started.product]
    rule = weights(f, s) if guessed and not started.guess else None
    if rule is None:
        return None
    family, tick_ms = f.state.stations[s].units[u].family, f.topology.plant.tick_s * 1000
    name, products = f.topology.plant.stations[s].id, f.topology.plant.products

    def key(part: Part) -> float:
        """The weighted sum of docs/kernel.md in ms, the least goes first."""
        work = dict(products[part.product].steps[part.step].eligible).get(name)
        values = {
            "waited": float(f.t - part.since),
            "work": mean(work) * tick_ms if work is not None else 0.0,
            "setup": setup_ms(f.topology, s, family, f.topology.family[part.product]),
            "priority": products[part.product].priority * tick_ms,
        }
        return sum(weight * values[feature] for feature, weight in rule.items())

    margin = MARGIN_MS * max(abs(rule.get("waited", 0)), 1)
    first = min(guessed, key=key)
    return first if key(first) + margin < key(started) else None


def hand_on(queue: list[Part], started: Part) -> None:
    """A part starts that was only guessed: whether it was there is as unsure as before, of the next of its product."""
    if started.guess:
        after = next((p for p in queue if p.product == started.product and not p.guess), None)
        if after is not None:
            after.guess = True
