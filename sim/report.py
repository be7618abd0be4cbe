"""What `plantwin validate` says about a plant, as plain lines: counts, conventions, loads, warnings."""

from __future__ import annotations

import importlib.util

from sim import distributions
from sim.deadlock import deadlocks
from sim.plant import UNLIMITED, Dist, Plant, Station
from sim.traffic import Traffic, open_share
from sim.units import TIME_UNITS

_BUSY = 0.95


def heading(plant: Plant) -> list[str]:
    """What the file describes, in numbers."""
    counts = {
        "product": len(plant.products),
        "station": len(plant.stations),
        "supplier": len(plant.suppliers),
        "stock": len(plant.stocks),
        "demand": len(plant.demands),
        "control": len(plant.controls),
        "limit": len(plant.limits),
        "sensor": len(plant.sensors),
    }
    listed = ", ".join(f"{n} {word}{'' if n == 1 else 's'}" for word, n in counts.items() if n)
    start = plant.start.strftime("%a %Y-%m-%d %H:%M")
    lines = [f"{plant.id} ({plant.site}/{plant.area}/{plant.line}): {listed}"]
    if plant.question:
        lines.append(plant.question)
    lines.append(
        f"tick {plant.tick_s * 1000:g} ms, times in {plant.time_unit}, money in {plant.currency}, "
        f"{plant.timezone}, starts {start}"
    )
    return lines


def conventions(plant: Plant) -> str:
    """The conventions in force, on one line."""
    return ", ".join(f"{name} {value}" for name, value in plant.conventions.items())


def station_rows(plant: Plant, loads: Traffic) -> list[tuple[str, ...]]:
    """Rows (station, units, queue, mean work, availability, calendar, utilisation) for a table."""
    rows: list[tuple[str, ...]] = []
    for station, load in zip(plant.stations, loads.loads, strict=True):
        mark = " bottleneck" if load == loads.bottleneck else ""
        rows.append(
            (
                station.id,
                str(station.units),
                "unlimited" if station.capacity == UNLIMITED else str(station.capacity),
                _work(plant, station),
                f"{100 * _availability(station):.1f} %",
                station.calendar or "always",
                f"{100 * load.utilisation:.0f} %{mark}",
            )
        )
    return rows


def _work(plant: Plant, station: Station) -> str:
    """Mean work times of the steps at a station, shortest to longest, in a readable unit."""
    steps = [s for p in plant.products for s in p.steps if s.station == station.id]
    means = [distributions.mean(s.work) * plant.tick_s for s in steps]
    low, high = min(means), max(means)
    unit = next((u for u in ("d", "h", "min", "s", "ms") if high >= float(TIME_UNITS[u])), "us")
    factor = float(TIME_UNITS[unit])
    if high - low <= 1e-9 * high:
        return f"{high / factor:.3g} {unit}"
    return f"{low / factor:.3g} - {high / factor:.3g} {unit}"


def _availability(station: Station) -> float:
    if station.fails is None:
        return 1.0
    up, down = distributions.mean(station.fails.after), distributions.mean(station.fails.repair)
    return up / (up + down)


def throughput_lines(plant: Plant, loads: Traffic) -> list[str]:
    """Release rate of every product over its open hours, and where it comes from."""
    per_unit = float(TIME_UNITS[plant.time_unit]) / plant.tick_s
    lines = []
    for p in plant.products:
        rate = loads.rates[p.id] * per_unit / open_share(plant, _pace_calendar(plant, p.id))
        source = "at most, by the bottleneck alone" if p.id in loads.free else "from demand or arrivals"
        lines.append(f"{p.id}: {rate:.3g} released per {plant.time_unit} of open time, {source}")
    return lines


def _pace_calendar(plant: Plant, product: str) -> str | None:
    """The calendar a product's rate is best read in: that of its first station."""
    steps = next(p.steps for p in plant.products if p.id == product)
    return next(s.calendar for s in plant.stations if s.id == steps[0].station)


def warnings(plant: Plant, loads: Traffic) -> list[str]:
    """What is allowed but probably not meant."""
    result = []
    for load in loads.loads:
        if load.fixed >= 1:
            share = f"{100 * load.fixed:.0f} %"
            result.append(f"{load.station} is asked for {share} of what it can do: backlog grows for ever")
        elif load.fixed > _BUSY:
            result.append(f"{load.station} is loaded to {100 * load.fixed:.0f} %: long queues, slow to settle")
    for group in deadlocks(plant):
        names = ", ".join(group)
        result.append(
            f"parts go round between {names}, whose queues are bounded: they can block each other for ever; "
            "make one queue large enough for all parts the caps admit"
        )
    seen = {s.thing for s in plant.sensors if s.property == "state"}
    blind = [s.id for s in plant.stations if s.id not in seen]
    if plant.sensors and blind:
        result.append(f"no sensor tells the state of {', '.join(blind)}: the twin has to guess it")
    for p in plant.products:
        if p.release.policy == "conwip" and p.release.base_stock is None and p.id in _without_demand(plant):
            result.append(f"{p.id}: released without regard to its stock, which nobody demands: it grows for ever")
    return result


def _without_demand(plant: Plant) -> set[str]:
    demanded = {d.stock for d in plant.demands}
    return {k.item for k in plant.stocks if k.source == "line" and k.id not in demanded}


def all_dists(plant: Plant) -> list[tuple[str, Dist]]:
    """Every distribution of the plant with what it belongs to."""
    found = [(f"work of {p.id}/{s.id}", s.work) for p in plant.products for s in p.steps]
    found += [(f"arrivals of {p.id}", p.release.arrivals) for p in plant.products if p.release.arrivals is not None]
    for s in plant.stations:
        if s.fails is not None:
            found += [(f"time to failure of {s.id}", s.fails.after), (f"repair of {s.id}", s.fails.repair)]
    found += [(f"lead time of {k.id}", k.lead) for k in plant.stocks if k.lead is not None]
    return found + [(f"arrivals of {d.id}", d.arrivals) for d in plant.demands]


def untabled(plant: Plant) -> list[str]:
    """Distributions that the kernel's quantile tables cannot carry; empty where the simulator is not installed."""
    if importlib.util.find_spec("scipy") is None:
        return []
    from sim.quantile import table

    problems = []
    for owner, dist in all_dists(plant):
        try:
            table(dist)
        except ValueError as err:
            problems.append(f"{owner}: {err}")
    return problems


