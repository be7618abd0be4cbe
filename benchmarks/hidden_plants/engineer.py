"""What an engineer writes down on the first day: plant file, tag list and mapping, from nameplates and the shift plan.

Nominal times are off by 10 to 40 %, failure data by up to twice, shares of rework are round numbers; what nobody told
him (hand moves, dips, how blocking works, what the shifts really do) is not there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.hidden_plants.field import REASONS, Wired, Wiring
from benchmarks.hidden_plants.spec import Plant, Station


def write(plant: Plant, wiring: Wiring, folder: Path) -> tuple[Path, Path]:
    """Plant file and mapping in `folder`; returns their paths."""
    rng = np.random.default_rng([plant.seed, 0xE261])
    folder.mkdir(parents=True, exist_ok=True)
    files = folder / "plant.yaml", folder / "mapping.yaml"
    sensors, mapping = _tags(plant, wiring)
    content = _head(plant) | _flow(plant, rng) | {"sensors": sensors}
    files[0].write_text("# What will the next shift make?\n" + _dump(content), encoding="utf-8")
    files[1].write_text(_dump(mapping), encoding="utf-8")
    (folder / "tags.csv").write_text(tag_list(mapping), encoding="utf-8")
    return files


def _dump(content: dict[str, Any]) -> str:
    return str(yaml.safe_dump(content, sort_keys=False, width=200))


def _head(plant: Plant) -> dict[str, Any]:
    head = {"plantwin": 1, "site": "hidden", "area": plant.kind, "line": plant.name, "timezone": "UTC", "tick": "1 ms"}
    opens = [f"Mon-Fri {_clock(a)}-{_clock(b)}" for _, a, b in plant.shifts]
    rests = []
    for _, a, _ in plant.shifts:
        days = "Tue-Sat" if a + 4 * 3600 >= 24 * 3600 else "Mon-Fri"
        rests.append(f"{days} {_clock(a + 4 * 3600)}-{_clock(a + 4.5 * 3600)}")
    shifts = {"open": ", ".join(opens), "breaks": ", ".join(rests), "at_close": "finish"}
    return head | {"calendars": {"shifts": shifts}}


def _clock(t: float) -> str:
    minutes = round(t / 60) % 1440
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _off(rng: np.random.Generator) -> float:
    """A nameplate's factor: 10 to 40 % too long or too short."""
    return float((1 + rng.uniform(0.1, 0.4)) ** rng.choice([-1, 1]))


def _flow(plant: Plant, rng: np.random.Generator) -> dict[str, Any]:
    stations = {s.name: _station(plant, s, rng) for s in plant.stations}
    products = {p: {"routing": _routing(plant, p)} for p in plant.routes}
    buffers = {f"b{s.name[1:]}": {"before": s.name, "capacity": s.places} for s in plant.stations}
    found: dict[str, Any] = {"products": products, "stations": stations, "buffers": buffers}
    if any(s.crew and s.mtbf for s in plant.stations):
        found["crews"] = {"fitters": {"size": plant.crew}}
    if plant.hands:
        found["operators"] = {"hands": {"size": plant.hands}}
    return found | _release(plant, rng)


def _station(plant: Plant, s: Station, rng: np.random.Generator) -> dict[str, Any]:
    off = _off(rng)
    work = {p: f"gamma(mean={v * off:.1f} s, cv=0.2)" for p, v in s.work.items() if s.name in plant.routes[p]}
    found: dict[str, Any] = {"work": work if len(set(work.values())) > 1 else next(iter(work.values()))}
    if s.units > 1:
        found["units"] = s.units
    if s.batch > 1:
        found["batch"] = {"min": s.batch, "max": s.batch, "wait": "20 min", "by": "any"}
    if s.setup:
        found["setup"] = {"default": f"gamma(mean={s.setup * _off(rng):.1f} s, cv=0.3)"}
    if s.hands:
        found["operators"] = {"hands": 1}
    if s.mtbf:
        after, repair = (v * float(2 ** rng.uniform(-1, 1)) for v in (s.mtbf, s.repair))
        found["fails"] = {"clock": "odf", "after": f"exponential({after / 60:.0f} min)"}
        found["fails"] |= {"repair": f"lognormal(mean={repair / 60:.1f} min, cv=0.8)"}
        found["fails"] |= {"crew": "fitters"} if s.crew else {}
    return found


def _routing(plant: Plant, product: str) -> list[Any]:
    names = plant.routes[product]
    last = next(s for s in plant.stations if s.name == names[-1])
    steps: list[Any] = [{"step": n, "station": n} for n in names]
    if last.back or last.scrap:
        after = {names[-2]: f"{max(round(100 * last.back), 1)} %", "scrap": "2 %", "done": "rest"}
        steps[-1]["next"] = after
    return steps


def _release(plant: Plant, rng: np.random.Generator) -> dict[str, Any]:
    if plant.release in ("push", "demand"):
        gaps = {p: plant.gap / f * float(rng.uniform(0.85, 1.15)) for p, f in plant.share.items()}
        return {"release": {p: {"policy": "push", "arrivals": f"exponential({g:.1f} s)"} for p, g in gaps.items()}}
    if plant.release == "saturated" and len(plant.share) == 1:
        return {"release": {"a": {"policy": "saturated"}}}
    cap = plant.cap if plant.release == "conwip" else sum(s.places for s in plant.stations)
    if len(plant.share) == 1:
        return {"release": {"a": {"policy": "conwip", "cap": cap}}}
    release = {p: {"policy": "conwip", "cap": cap} for p in plant.share}
    return {"release": release, "groups": {"all": {"cap": cap, "mix": {"a": 3, "b": 2}}}}


# tags ----------------------------------------------------------------------------------------------


def _tags(plant: Plant, wiring: Wiring) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    sensors: list[dict[str, Any]] = []
    rules: dict[str, Any] = {}
    events: list[dict[str, Any]] = []
    for w in wiring.wired.values():
        station = next(s for s in plant.stations if s.name == w.station)
        _counters(plant, station, w, (sensors, rules, events))
        for unit in range(station.units):
            of = {"unit": unit + 1} if station.units > 1 else {}
            if w.word != "none":
                tag = f"{w.station}/{unit + 1}/state" if of else f"{w.station}/state"
                sensors.append({"thing": w.station, **of, "property": "state", "tag": tag, "type": "enum"})
                rules[tag] = _state_rule(w, unit)
            if w.cycle and len(plant.routes) == 1 and station.batch == 1:
                begins = {"event": "work_start", "thing": w.station, **of, "product": "a"}
                events.append(begins | {"from": w.bit(unit), "edge": "rising"})
        if w.level:
            tag = f"b{w.station[1:]}/level"
            sensors.append({"thing": f"b{w.station[1:]}", "property": "level", "tag": tag, "type": "int"})
            rules[tag] = {"from": w.queue, "debounce": "2 s"}
    if wiring.released:
        for k, p in enumerate(plant.routes):
            sensors.append({"thing": p, "property": "in", "tag": f"{p}/in", "type": "counter", "bits": 16})
            rules[f"{p}/in"] = {"from": f"holding/{900 + k}:uint16", "counter": 16, "resets": "never"}
    return sensors, {"mapping": 1, "tags": rules, "events": events}


def _counters(
    plant: Plant, s: Station, w: Wired, found: tuple[list[dict[str, Any]], dict[str, Any], list[dict[str, Any]]]
) -> None:
    sensors, rules, events = found
    resets: Any = {"never": "never", "shift": "shift", "day": "06:00", "told": {"on": w.reset}}[w.counter]
    for product in [p for p in plant.routes if w.station in plant.routes[p]]:
        for unit in range(s.units if w.each_unit else 1):
            of = {"unit": unit + 1} if w.each_unit else {}
            tag = f"{w.station}/{unit + 1}/count/{product}" if of else f"{w.station}/count/{product}"
            sensor = {"thing": w.station, **of, "property": "out", "product": product, "tag": tag}
            sensors.append(sensor | {"type": "counter", "bits": 16})
            rules[tag] = {"from": w.count(product, unit), "counter": 16, "resets": resets}
            events.append({"event": "work_end", "thing": w.station, **of, "product": product, "each": tag})


def _state_rule(w: Wired, unit: int) -> dict[str, Any]:
    source = w.state(unit)
    more: dict[str, Any] = {"microstop": "20 s"}
    if w.reasons:
        more["reason"] = {"from": w.reason(unit), "codes": dict(REASONS), "within": "15 min"}
    if w.word == "packml":
        return {"from": source, "bits": "0..4", "packml": True, **more}
    lines: list[dict[str, Any]] = [{"state": "off", "from": source, "bit": 7, "not": True}]
    bits = (("down", 3), ("blocked", 2), ("starved", 1), ("setup", 4), ("work", 0))
    lines += [{"state": state, "from": source, "bit": bit} for state, bit in bits]
    return {"priority": [*lines, {"state": "idle"}], **more}


def tag_list(mapping: dict[str, Any]) -> str:
    """The raw names as the integrator's list has them."""
    rows = ["name,feeds"]
    for tag, rule in mapping["tags"].items():
        source = rule["from"] if "from" in rule else rule["priority"][0]["from"]
        rows.append(f"{source},{tag}")
    rows += [f"{e['from']},{e['event']} of {e['thing']}" for e in mapping["events"] if "from" in e]
    return "\n".join(rows) + "\n"
