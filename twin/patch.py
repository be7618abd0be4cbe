"""The plant file with refits written in: round trip, comments and order kept; what cannot be written is said."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from sim.plant import Plant
from sim.plantfile import PlantError, load, resolve
from twin.calibrate import Row
from twin.parameters import parameters


class PatchError(ValueError):
    """The patched file would not be a plant file; the message says why."""


def patch(plant: Plant, rows: list[Row], out: Path) -> list[str]:
    """Write the plant's file with the refits of `rows` to `out`; returns the names of those that it could not place.

    The new file is read again: a refit counts as placed only where its parameter has changed, and no other has.
    """
    trip = YAML(typ="rt")
    trip.preserve_quotes = True
    trip.width = 4096
    trip.indent(mapping=2, sequence=4, offset=2)  # as all plant files here are written
    source = resolve(plant.path or plant.id)
    document = trip.load(source.read_text())
    before = {p.name: p.dist or p.size for p in parameters(plant)}
    unplaced = []
    for row in rows:
        if not row.refit:
            continue
        undo = _text(trip, document)
        if not _place(document, plant, row):
            unplaced.append(row.name)
            continue
        after = _read(_text(trip, document), out)
        changed = {name for name, value in before.items() if after.get(name) != value}
        if changed != {row.name}:
            document = trip.load(undo)
            unplaced.append(row.name)
        else:
            before = after
    out.write_text(_text(trip, document))
    return unplaced


def _text(trip: YAML, document: Any) -> str:
    buffer = io.StringIO()
    trip.dump(document, buffer)
    return buffer.getvalue()


def _read(text: str, out: Path) -> dict[str, Any]:
    out.write_text(text)
    try:
        return {p.name: p.dist or p.size for p in parameters(load(str(out)))}
    except PlantError as error:
        raise PatchError(
            f"{out}: the refitted plant file cannot be read ({error}); nothing else was changed"
        ) from error


def _place(document: Any, plant: Plant, row: Row) -> bool:
    """Put a refit's text where the file has the parameter; False where it has no place of its own."""
    kind, thing, *more = row.name.split("/")
    stations = document.get("stations") or {}
    if kind == "work":
        return _work(stations.get(thing), plant, thing, more[0], row.refit)
    if kind in ("fail", "repair"):
        return _mode((stations.get(thing) or {}).get("fails"), more[0], "after" if kind == "fail" else "repair", row)
    if kind == "setup":
        return _setup((stations.get(thing) or {}).get("setup"), more[0], more[1], row.refit)
    if kind == "demand":
        return _set(document.get("demand", {}).get(thing), "arrivals", row.refit)
    if kind == "arrival":
        return _set(document.get("release", {}).get(thing), "arrivals", row.refit)
    if kind == "lead":
        stock = next(s for s in plant.stocks if s.id == thing)
        source = stock.express.source if more[0] == "express" and stock.express else stock.source
        entry = document.get("stocks", {}).get(thing)
        entry = entry.get("express") if more[0] == "express" else entry
        return _set(entry, "lead", row.refit) or _set((document.get("suppliers") or {}).get(source), "lead", row.refit)
    return _yield(document, plant, thing, more[0], row.refit)


def _set(entry: Any, key: str, text: str) -> bool:
    if not isinstance(entry, dict) or key not in entry:
        return False
    entry[key] = text
    return True


def _work(entry: Any, plant: Plant, station: str, product: str, text: str) -> bool:
    if not isinstance(entry, dict) or "work" not in entry:
        return False
    users = {p.id for p in plant.products for s in p.steps if s.station == station}
    if isinstance(entry["work"], dict):
        entry["work"][product] = text
    elif users == {product}:
        entry["work"] = text
    else:
        entry["work"] = {product: text, "default": entry["work"]}
    return True


def _mode(entry: Any, mode: str, key: str, row: Row) -> bool:
    if isinstance(entry, list):
        entry = next((e for e in entry if isinstance(e, dict) and e.get("id") == mode), None)
    elif isinstance(entry, dict) and isinstance(entry.get(mode), dict):
        entry = entry[mode]
    return _set(entry, key, row.refit)


def _setup(entry: Any, before: str, after: str, text: str) -> bool:
    if not isinstance(entry, dict):
        return False
    matrix = entry.setdefault("matrix", {})
    matrix.setdefault(before, {})[after] = text
    return True


def _yield(document: Any, plant: Plant, product: str, step: str, text: str) -> bool:
    """Where the routing says it, in `next`; else the yield of the step's station."""
    entry = document.get("products", {}).get(product)
    for one in entry.get("routing", []) if isinstance(entry, dict) else []:
        named = isinstance(one, dict) and one.get("step", one.get("station")) == step
        if named and isinstance(one.get("next"), dict) and "scrap" in one["next"]:
            one["next"]["scrap"] = text
            return True
    station = next(s.station for p in plant.products if p.id == product for s in p.steps if s.id == step)
    share = float(text.removesuffix("%"))
    return _set(document.get("stations", {}).get(station), "yield", f"{100 - share:.6g} %")
