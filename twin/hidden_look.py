"""What the ends of a stretch without sensors show at one moment: counts as they were sent, states, levels."""

from __future__ import annotations

from twin.floor import Floor
from twin.hidden_kernel import STATION
from twin.hidden_model import Stretch
from twin.hidden_state import Hidden, Seen
from twin.model import BLOCKED, DOWN, IDLE, OFF, SETUP, STARVED, WORK

MOST_LOST, RESET_AT_MOST = 500, 50
"""A register that goes up by more was set; one that goes down has counted so many since its reset, if not more."""


def look(f: Floor, stretch: Stretch, hidden: Hidden) -> Seen:
    """What is seen at the ends of a stretch at the end of this moment: counts as they were sent, not as the tracker has
    made up for them, since it does so by its own guess of what is inside.
    """
    state, plant = f.state, f.topology.plant
    entered = sum(tally(f, hidden, plant.stations[s].id, "out") or 0 for s in stretch.before)
    entered += sum(tally(f, hidden, plant.products[p].id, "in") or 0 for p in stretch.enter)
    least = most = 0
    for s in stretch.before:
        for unit in state.stations[s].units:
            if unit.measured and unit.said not in (DOWN, OFF):
                least, most = least + (unit.said == BLOCKED), most + (unit.said == BLOCKED)
            elif unit.done or not unit.parts or not f.starts_seen(s):
                most += 1
    willing = 0
    if stretch.behind == STATION:
        served, willing = _behind(f, stretch.next, hidden)
    elif stretch.stock >= 0:
        served = _received(f, stretch, hidden)
    elif stretch.pulled:
        served = _let_in(f, stretch, hidden)
    else:
        served = tally(f, hidden, plant.stations[stretch.stations[-1]].id, "out") or 0
    levels = []
    for k, s in enumerate(stretch.places):
        station = state.stations[s]
        if station.level is not None and station.level_t == state.t:
            levels.append((k, max(station.level - station.bias, 0)))
    return Seen(entered, served, willing, least, most, tuple(levels))


def _behind(f: Floor, s: int, hidden: Hidden) -> tuple[int, int]:
    """(starts so far, units that would take a part) of the station behind a stretch."""
    units = f.state.stations[s].units
    name = f.topology.plant.stations[s].id
    told, ends = f"@{name}/work_start", tally(f, hidden, name, "out") or 0
    first = told in channels_of(f, name, "in") and told not in hidden.counts and not hidden.empty
    starts = tally(f, hidden, name, "in")
    if first and starts is not None and all(unit.measured for unit in units):
        # until now starts were told by states, that of the part in work when all began among them: go on from there
        starts = ends + sum(not part.done for unit in units for part in unit.parts)
        hidden.counts[told] = (hidden.counts[told][0], starts)
    if starts is None and all(unit.measured for unit in units):
        rests = f.topology.rests[s]
        starts = ends + sum(unit.said in (WORK, SETUP) or (unit.said == DOWN and not rests) for unit in units)
    elif starts is None:
        starts = f.state.stations[s].started
    starts = max(starts, ends)
    if f.topology.patient[s]:
        return starts, 0
    free = sum(u.said in (IDLE, STARVED) if u.measured else not u.parts and u.state in (IDLE, STARVED) for u in units)
    return starts, min(free, len(units) - min(starts - ends, len(units)))


def channels_of(f: Floor, thing: str, what: str) -> list[str]:
    """The channels that count what comes to (`in`) or ends at (`out`) a thing: its registers, else its events."""
    tags = f.topology.tags
    found = [tag for tag in f.state.channels if tag in tags and tag in f.topology.counters
             and (tags[tag].thing, tags[tag].property) == (thing, what)]  # fmt: skip
    key = f"@{thing}/{'work_end' if what == 'out' else 'work_start'}"
    return found or ([key] if key in f.state.channels else [])


def tally(f: Floor, hidden: Hidden, thing: str, what: str) -> int | None:
    """How many have come to (ended at) a thing since the ensemble began, as counted; None where nothing counts them."""
    keys = channels_of(f, thing, what)
    total = 0
    for key in keys:
        now = f.state.channels[key].last
        last, n = hidden.counts.get(key, (None, 0))
        if last is None:
            n = now if hidden.empty else int(key.startswith("@") and hidden.step > 0)
        elif now > last:
            n += now - last if now - last <= MOST_LOST else 0
        elif now < last:
            n += now if now <= RESET_AT_MOST else 0  # the register began anew, and has counted so many since
        hidden.counts[key] = (now, n)
        total += n
    return total if keys else None


def _received(f: Floor, stretch: Stretch, hidden: Hidden) -> int:
    """What has come to the stock behind a stretch: by how much what it holds, less what it owes, has risen beyond what
    was asked of it.
    """
    name = f.topology.plant.stocks[stretch.stock].id
    shown = {x.property: f.state.tags[x.tag].value for x in f.topology.plant.sensors
             if x.thing == name and x.tag in f.state.tags}  # fmt: skip
    if "on_hand" not in shown:
        return hidden.served
    net = int(shown["on_hand"] - shown.get("backorder", 0.0))
    asked = sum(f.state.demands[d].demanded for d in f.topology.claims[stretch.stock] if f.state.demands[d].counted)
    if not hidden.known:
        hidden.net, hidden.asked, hidden.known = net, asked, True
    came = max(net - hidden.net + asked - hidden.asked, 0)
    hidden.net, hidden.asked = net, asked
    return hidden.served + came


def _let_in(f: Floor, stretch: Stretch, hidden: Hidden) -> int:
    """How many have gone, since each of them has let one more in: all that came beyond the first `cap`."""
    products = [f.topology.plant.products[p] for p in stretch.pulled]
    came = sum(tally(f, hidden, product.id, "in") or 0 for product in products)
    first = sum(product.release.cap or 0 for product in products) if hidden.empty else 0
    return max(came - first, 0)
