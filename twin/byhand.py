"""What people do with parts by hand, told as a manual reading: moved on, or quarantined. Both conserve parts."""

from __future__ import annotations

from sim.plant import SCRAP
from twin import moves
from twin.floor import Floor, drop
from twin.model import Contradiction, Part, Refit, TwinState, count
from twin.supply import contradict

ACTS = ("moved", "quarantined")


def act(f: Floor, thing: str, what: str, n: int, to: str) -> bool:
    """Apply one of `ACTS`; False where the things are not known (nothing has changed then)."""
    places = f.topology.station | f.topology.buffers
    if what == "moved" and thing in places and to in places:
        _moved(f, (thing, places[thing]), (to, places[to]), n)
    elif what == "moved" and thing in f.topology.stock and to in f.topology.stock:
        _restocked(f, thing, to, n)
    elif what == "quarantined" and thing in places:
        _quarantined(f, (thing, places[thing]), n)
    elif what == "quarantined" and thing in f.topology.stock:
        taken = _take(f, thing, n)
        count(f.state, "quarantined", taken)
    else:
        return False
    return True


def _moved(f: Floor, source: tuple[str, int], target: tuple[str, int], n: int) -> None:
    """`n` parts from one queue to another; only such as are worked on there, the last ones first."""
    queue, into = f.state.stations[source[1]].queue, f.topology.into[target[1]]
    fits = [part for part in reversed(queue) if any(p == part.product for p, _ in into)][:n]
    for part in fits:
        drop(queue, part)
        part.came, part.alts = -1, []
        moves.join(f, part, _step(f, part, target[1]))
    count(f.state, "moved_by_hand", len(fits))
    _short(f, source[0], f"{n} moved to {target[0]}", n - len(fits))


def _step(f: Floor, part: Part, s: int) -> int:
    """The step at station `s` that is next for a part (or the last one there, where all are behind it)."""
    steps = sorted(k for p, k in f.topology.into[s] if p == part.product)
    return next((k for k in steps if k >= part.step), steps[-1])


def _quarantined(f: Floor, place: tuple[str, int], n: int) -> None:
    """`n` parts taken out of a queue: booked as scrap, since nobody will work on them until they are released anew."""
    queue = f.state.stations[place[1]].queue
    taken = list(reversed(queue))[:n]
    for part in taken:
        drop(queue, part)
        part.alts = []
        moves.leave(f, part, SCRAP)
    count(f.state, "quarantined", len(taken))
    _short(f, place[0], f"{n} quarantined", n - len(taken))


def _restocked(f: Floor, source: str, target: str, n: int) -> None:
    f.state.stocks[f.topology.stock[target]].on_hand += _take(f, source, n)


def _take(f: Floor, stock: str, n: int) -> int:
    found = f.state.stocks[f.topology.stock[stock]]
    taken = min(n, found.on_hand)
    found.on_hand -= taken
    _short(f, stock, f"{n} taken away", n - taken)
    return taken


def _short(f: Floor, thing: str, what: str, by: int) -> None:
    """More was told than is believed to be there: named, and not made up."""
    if by > 0:
        text = f"{thing}: {what} by hand, {by} more than are believed to be there"
        contradict(f.state, f"byhand/{thing}", Contradiction(text, [f"{thing} by hand"], by, f.t, f.t))


def refit(state: TwinState, name: str, made: Refit) -> None:
    """An approved refit of a parameter holds from now on; one whose text says that it is withdrawn, no more."""
    said, now = made.said, state.refits.get(name)
    if not said.get("withdrawn"):
        state.refits[name] = made
    elif now is not None and now.said.get("id") == said.get("id"):
        del state.refits[name]
