"""What happened on the floor, event by event: starts, ends, scrap, setups, failures."""

from __future__ import annotations

from ingest.payloads import Event
from sim.plant import STATES
from twin import floor, moves
from twin.crews import mode_of
from twin.floor import Floor
from twin.model import DOWN, SETUP, WORK, Channel, count
from twin.topology import counter_key

MOST = 500
"""More parts than this in one step of a counter are not believed to have been missed (the counter was reset)."""


def delta(f: Floor, key: str, value: int, first: int) -> tuple[int, int]:
    """How many a cumulative count has gone up (`first` when it is new) beyond what was guessed, and how many of those
    guesses it confirms. A drop or a leap is a reset: -1.

    A guess of this very moment is in the count; an older one only where the count has gone up by more than one.
    """
    channel = f.state.channels.get(key)
    if channel is None:
        f.state.channels[key] = Channel(last=value, t=f.t)
        return first, 0
    up, channel.last, channel.t = value - channel.last, value, f.t
    if not 0 <= up <= MOST:
        channel.resets += 1
        channel.guessed = 0
        count(f.state, "counter_resets")
        return -1, 0
    if up == 0:
        return 0, 0
    known = min(channel.guessed, up if channel.guess_t == f.t else up - 1)
    channel.guessed = 0
    if known:
        count(f.state, "guesses_confirmed", known)
    return up - known, known


def happened(f: Floor, event: Event) -> None:
    """Something happened on the floor: parts start, end, are scrapped; units are set up, fail, come up."""
    s = f.topology.station.get(event.thing)
    if s is None:
        count(f.state, "event_unknown_thing")
        return
    station = f.state.stations[s]
    u = (event.unit or 1) - 1
    if u >= len(station.units):
        count(f.state, "event_unknown_unit")
        return
    product = f.topology.product.get(event.product) if event.product else None
    if event.product and not any(p == product for p, _ in f.topology.into[s]):
        count(f.state, "event_unknown_product")  # never made there: that something happened is believed all the same
        product = None
    if event.kind in ("down", "up") or (event.kind == "state" and event.state == "down"):
        _failure(f, s, u, event)
    elif event.kind in ("setup", "setup_end"):
        _setup(f, s, u, event)
    elif event.kind in ("work_start", "work_end", "scrap"):
        _work(f, s, u, event, product)
    elif event.kind not in ("state", "alarm"):
        count(f.state, f"event_{event.kind}")


def _failure(f: Floor, s: int, u: int, event: Event) -> None:
    unit = f.state.stations[s].units[u]
    if event.kind == "up":
        unit.worked, unit.age_known = 0, True
        said = STATES.index(event.state) if event.state in STATES else WORK
        floor.set_state(f, s, u, said if said != DOWN else WORK)
        return
    if event.count is None or delta(f, f"@{event.thing}/down", event.count, 1)[0] != 0:
        f.state.stations[s].failures += 1
    holds = event.product is not None or not f.topology.rests[s]
    if holds and (not unit.parts or (unit.done and not f.topology.rests[s])):
        moves.assume(f, s, u)
    if not unit.mode and any(m.id == event.text for m in f.topology.plant.stations[s].modes):
        unit.mode = event.text or ""
    mode = mode_of(f.topology, s, unit)
    if mode is not None and mode.part == "repeats" and unit.state != SETUP:
        unit.on_part = 0
    floor.set_state(f, s, u, DOWN)


def _setup(f: Floor, s: int, u: int, event: Event) -> None:
    """A setup for the parts in the unit begins or is over."""
    unit = f.state.stations[s].units[u]
    if event.kind == "setup_end":
        if unit.state == SETUP:
            floor.set_state(f, s, u, WORK)
        return
    if not unit.parts or unit.done:
        moves.assume(f, s, u)
    floor.set_state(f, s, u, SETUP)


def _work(f: Floor, s: int, u: int, event: Event, product: int | None) -> None:
    station = f.state.stations[s]
    key = counter_key(f.topology, event.thing, event.kind, event.unit, event.product)
    n = 1 if event.count is None else delta(f, key, event.count, 1)[0]
    if n == 0:
        count(f.state, "events_already_counted")
        return
    if n != 1:
        doubt(f, s)
        count(f.state, "lost_events", max(n - 1, 0))
    step = _step(f, product, event.step)
    if event.kind == "work_start":
        station.events = True
        moves.start(f, s, u, product, step)
        station.units[u].assumed = False
    elif event.kind == "scrap":
        moves.scrap(f, s, product, u if event.unit is not None else None)
    else:
        moves.end(f, s, u, product, step)
        if n > 1:
            ends(f, s, None, product, n - 1)
    station.units[u].odd = 0


def _step(f: Floor, product: int | None, name: str | None) -> int | None:
    """Number of a step of the product's routing, None where it was not said."""
    if product is None or name is None:
        return None
    return next((k for k, step in enumerate(f.topology.plant.products[product].steps) if step.id == name), None)


def doubt(f: Floor, s: int) -> None:
    """Something at `s` was missed: the next level readings there and downstream are believed."""
    f.state.stations[s].suspect = True
    for d, feeds in enumerate(f.topology.feeds):
        if s in feeds:
            f.state.stations[d].suspect = True


def ends(f: Floor, s: int, u: int | None, product: int | None, n: int) -> None:
    """`n` parts ended at `s`, as a counter says."""
    for _ in range(n):
        moves.end(f, s, busy_unit(f, s, product) if u is None else u, product)


def busy_unit(f: Floor, s: int, product: int | None) -> int:
    """The unit that most likely ended: up, of the product, working, started first."""
    units = f.state.stations[s].units

    def order(u: int) -> tuple[bool, bool, bool, bool, int, int]:
        unit = units[u]
        busy = any(not part.done for part in unit.parts)
        fits = any(product in (None, part.product) for part in unit.parts)
        return (not busy, unit.state == DOWN, not fits, unit.said != WORK, unit.started, u)

    return min(range(len(units)), key=order)
