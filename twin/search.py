"""Where a part is that must be somewhere: blocked upstream, in a station without sensors, on another branch."""

from __future__ import annotations

from sim.plant import SCRAP
from twin import supply
from twin.floor import RECALL_MS, Floor, drop, take_out
from twin.model import Part


def recall(f: Floor, target: int, s: int, product: int | None, within: int = RECALL_MS) -> Part | None:
    """Take back the part that last left `s` (in the last `within` ms) and could have gone to `target` (a step, or
    SCRAP); None when there is none.
    """

    def fits(part: Part) -> bool:
        return (
            part.came == s
            and target in part.alts
            and f.t - part.moved <= within
            and (product is None or part.product == product)
        )

    places: list[tuple[Part, list[Part] | tuple[int, int]]] = []
    for i, station in enumerate(f.state.stations):
        places += [(part, station.queue) for part in station.queue]
        for u, unit in enumerate(station.units):
            places += [(part, (i, u)) for part in unit.parts if part.done or not unit.measured]
    places += [(part, f.state.lately) for part in f.state.lately]
    found: tuple[Part, list[Part] | tuple[int, int]] | None = None
    for part, where in places:
        if fits(part) and (found is None or part.moved >= found[0].moved):
            found = part, where
    if found is None:
        return None
    part, where = found
    if isinstance(where, tuple):
        take_out(f, *where, part)
    else:
        drop(where, part)
        if where is f.state.lately:
            undo_leave(f, part)
    return part


def undo_leave(f: Floor, part: Part) -> None:
    """A part that was counted as finished (scrapped) has not gone."""
    meters = f.state.meters
    f.state.wip[part.product] += 1
    if part.step == SCRAP:
        meters.scrapped[part.product] -= 1
        return
    meters.finished[part.product] -= 1
    k = f.topology.fills[part.product]
    if k >= 0 and f.counts(k):
        supply.take(f.state.stocks[k], 1)


def other_branch(f: Floor, s: int, product: int | None, within: int = RECALL_MS) -> Part | None:
    """A part for station `s` that was believed to have gone another way (in the last `within` ms)."""
    for p, k in f.topology.into[s]:
        if product is not None and p != product:
            continue
        for other in sorted(f.topology.feeds[s]):
            found = recall(f, k, other, p, within)
            if found is not None:
                found.step, found.alts = k, []
                return found
    return None


def from_unseen(f: Floor, s: int, product: int | None) -> Part | None:
    """A part out of a station without sensors that feeds `s`."""
    for other in sorted(f.topology.feeds[s]):
        if f.covered(other):
            continue
        station = f.state.stations[other]
        for u, unit in enumerate(station.units):
            for part in unit.parts:
                step = _leads_to(f, part, s, product)
                if step >= 0:
                    take_out(f, other, u, part)
                    return _passed(f, other, part, step)
        for part in station.queue:
            step = _leads_to(f, part, s, product)
            if step >= 0:
                drop(station.queue, part)
                return _passed(f, other, part, step)
    return None


def _passed(f: Floor, s: int, part: Part, step: int) -> Part:
    part.step, part.came, part.moved = step, s, f.t
    f.state.stations[s].ended += 1
    return part


def _leads_to(f: Floor, part: Part, s: int, product: int | None) -> int:
    """The next step of a part (of `product`) that would be done at `s`, or -1."""
    if part.step < 0 or (product is not None and part.product != product):
        return -1
    targets = [f.topology.likely[part.product][part.step], *f.topology.alts[part.product][part.step]]
    return next((k for k in targets if k >= 0 and f.topology.at[part.product][k] == s), -1)


def likely_product(f: Floor, s: int) -> int:
    """The product whose share at `s` lags most behind what was counted there and upstream (deterministic)."""
    totals = [1.0 + f.state.stations[s].ended_of[p] for p in range(len(f.topology.plant.products))]
    here = sorted({p for p, _ in f.topology.into[s]})
    present = [sum(part.product == p for part in f.state.stations[s].queue) for p in range(len(totals))]
    return max(here, key=lambda p: (totals[p] / (present[p] + 1), -p))
