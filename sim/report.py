"""What `plantwin validate` says about a plant, as plain lines: counts, conventions, loads, warnings."""

from __future__ import annotations

import importlib.util
from typing import Any

from sim import distributions
from sim.capacity import capacity_of
from sim.plant import UNLIMITED, Dist, Plant, Station
from sim.plantdraft import WARNING
from sim.settings import settings
from sim.traffic import Traffic, open_share, traffic
from sim.units import TIME_UNITS

_BUSY = 0.95


def heading(plant: Plant) -> list[str]:
    """What the file describes, in numbers."""
    counts = {
        "product": len(plant.products),
        "station": len(plant.stations),
        "group": len(plant.groups),
        "pool of operators": len(plant.pools),
        "supplier": len(plant.suppliers),
        "stock": len(plant.stocks),
        "demand": len(plant.demands),
        "control": len(plant.controls),
        "limit": len(plant.limits),
        "sensor": sum(s.signal is None for s in plant.sensors),
        "signal": sum(s.signal is not None for s in plant.sensors),
    }
    listed = ", ".join(f"{n} {word if n == 1 else _plural(word)}" for word, n in counts.items() if n)
    start = plant.start.strftime("%a %Y-%m-%d %H:%M")
    lines = [f"{plant.id} ({plant.site}/{plant.area}/{plant.line}): {listed}"]
    if plant.question:
        lines.append(plant.question)
    lines.append(
        f"tick {plant.tick_s * 1000:g} ms, times in {plant.time_unit}, money in {plant.currency}, "
        f"{plant.timezone}, starts {start}"
    )
    return lines


def _plural(word: str) -> str:
    return "pools of operators" if word.startswith("pool") else f"{word}s"


def conventions(plant: Plant) -> str:
    """The conventions in force, on one line."""
    return ", ".join(f"{name} {value}" for name, value in plant.conventions.items())


STATION_COLUMNS = ("station", "units", "queue", "mean work", "technical availability", "calendar", "utilisation")
"""Columns of `station_rows`."""


def station_rows(plant: Plant, loads: Traffic) -> list[tuple[str, ...]]:
    """A row of `STATION_COLUMNS` for every station; utilisation names the part that setups have in it."""
    rows: list[tuple[str, ...]] = []
    for station, load in zip(plant.stations, loads.loads, strict=True):
        mark = " bottleneck" if load == loads.bottleneck else ""
        setups = f" (setups {100 * load.setups:.0f} %)" if load.setups > 0 else ""
        rows.append(
            (
                station.id,
                str(station.units),
                _queue(station),
                _work(plant, station),
                f"{100 * technical_availability(plant, station):.1f} %",
                station.calendar or "always",
                f"{100 * load.utilisation:.0f} %{setups}{mark}",
            )
        )
    return rows


def _queue(station: Station) -> str:
    places = "unlimited" if station.capacity == UNLIMITED else str(station.capacity)
    kanban = f", kanban {station.kanban}" if station.kanban is not None else ""
    batch = f", batch {station.batch.least}-{station.batch.most}" if station.batch is not None else ""
    return places + kanban + batch


def _means(plant: Plant, station: Station) -> list[float]:
    """Mean work times of the steps at a station, in ticks."""
    steps = [step for p in plant.products for step in p.steps]
    return [distributions.mean(work) for step in steps for k, work in step.eligible if k == station.id]


def _work(plant: Plant, station: Station) -> str:
    """Mean work times of the steps at a station, shortest to longest, in a readable unit."""
    means = [mean * plant.tick_s for mean in _means(plant, station)]
    low, high = min(means), max(means)
    unit = next((u for u in ("d", "h", "min", "s", "ms") if high >= float(TIME_UNITS[u])), "us")
    factor = float(TIME_UNITS[unit])
    if high - low <= 1e-9 * high:
        return f"{high / factor:.3g} {unit}"
    return f"{low / factor:.3g}-{high / factor:.3g} {unit}"


def technical_availability(plant: Plant, station: Station) -> float:
    """Share of the time that it could work, with failures, tools and maintenance, for the mean of its operations."""
    means = _means(plant, station)
    return capacity_of(station).share(sum(means) / len(means)) if means else 1.0


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
            setups = f", {100 * load.setups:.0f} % for setups with lots in random order" if load.setups > 0 else ""
            share = f"{100 * load.fixed:.0f} %{setups}"
            result.append(f"{load.station} is asked for {share} of what it can do: backlog grows for ever")
        elif load.fixed > _BUSY:
            result.append(f"{load.station} is loaded to {100 * load.fixed:.0f} %: long queues, slow to settle")
    seen = {s.thing for s in plant.sensors if s.property == "state"}
    blind = [s.id for s in plant.stations if s.id not in seen]
    if blind and any(s.signal is None for s in plant.sensors):
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
    found = [(f"work of {p.id}/{s.id}", work) for p in plant.products for s in p.steps for _, work in s.eligible]
    found += [(f"arrivals of {p.id}", p.release.arrivals) for p in plant.products if p.release.arrivals is not None]
    found += [(f"due of {p.id}", p.due) for p in plant.products if p.due is not None]
    for s in plant.stations:
        for m in s.modes:
            what = "repair" if m.id == "failure" else m.id
            found += [(f"time to failure of {s.id}", m.after)] if m.after is not None else []
            found.append((f"{what} of {s.id}", m.repair))
        found += [(f"setup {a} to {b} of {s.id}", time) for a, b, time in s.setups]
        if s.condition is not None:
            found += [(f"wear of {s.id}", d) for d in (*s.condition.wear, *s.condition.fails) if d is not None]
    found += [(f"lead time of {k.id}", k.lead) for k in plant.stocks if k.lead is not None]
    found += [(f"express lead time of {k.id}", k.express.lead) for k in plant.stocks if k.express is not None]
    found += [(f"lateness of {v.id}", v.late) for v in plant.suppliers if v.late is not None]
    return found + [(f"arrivals of {d.id}", d.arrivals) for d in plant.demands if d.arrivals is not None]


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


def as_json(plant: Plant, notes: list[str]) -> dict[str, Any]:
    """Everything `validate` says, as plain data. Rates are per time unit of the plant, mean over the week."""
    loads = traffic(plant)
    per_unit = float(TIME_UNITS[plant.time_unit]) / plant.tick_s
    said = [n.removeprefix(WARNING) for n in notes if n.startswith(WARNING)]
    return {
        "plant": plant.id,
        "question": plant.question,
        "valid": True,
        "problems": [],
        "conventions": dict(plant.conventions),
        "stations": [
            {
                "station": s.id,
                "units": s.units,
                "places": None if s.capacity == UNLIMITED else s.capacity,
                "technical_availability": technical_availability(plant, s),
                "calendar": s.calendar,
                "utilisation": load.utilisation,
                "setups": load.setups,
                "bottleneck": load == loads.bottleneck,
            }
            for s, load in zip(plant.stations, loads.loads, strict=True)
        ],
        "products": [
            {"product": p.id, "rate": loads.rates[p.id] * per_unit, "per": plant.time_unit, "free": p.id in loads.free}
            for p in plant.products
        ],
        "settings": settings(plant),
        "notes": [n for n in notes if not n.startswith(WARNING)],
        "warnings": [*said, *warnings(plant, loads)],
    }
