"""Every number of a plant that a control may set: its path and its present value.

| path | number | action class |
|---|---|---|
| `release.PRODUCT.cap`, `.base_stock` | CONWIP cap, base stock | release |
| `groups.GROUP.cap` | cap of a group | release |
| `buffers.BUFFER.kanban` | kanban | release |
| `stocks.STOCK.level`, `.reorder`, `.express` | ordering | supply |
| `stations.STATION.at_level` | condition at which preventive maintenance begins | maintenance |
| `stations.STATION.dispatch.FEATURE` | dispatching weight | dispatch |
| `calendars.CALENDAR.overtime` | ticks by which a closing is put off | capacity |
"""

from __future__ import annotations

from sim.plant import FEATURES, Plant, Station

PATHS = (
    *("release.PRODUCT.cap", "release.PRODUCT.base_stock", "groups.GROUP.cap", "buffers.BUFFER.kanban"),
    *("stocks.STOCK.level", "stocks.STOCK.reorder", "stocks.STOCK.express", "stations.STATION.at_level"),
    *("stations.STATION.dispatch.FEATURE", "calendars.CALENDAR.overtime"),
)
"""The forms of all paths."""


def action_class(path: str) -> str:
    """The action class of what a path sets; `release` where the path means nothing."""
    section = path.split(".", maxsplit=1)[0]
    if section == "stations":
        return "dispatch" if ".dispatch." in path else "maintenance"
    return {"stocks": "supply", "calendars": "capacity"}.get(section, "release")


def settings(plant: Plant) -> dict[str, int]:
    """Every path of the plant with its present value (overtime in ticks)."""
    result: dict[str, int] = {}
    for p in plant.products:
        if p.release.cap is not None:
            result[f"release.{p.id}.cap"] = p.release.cap
        if p.release.base_stock is not None:
            result[f"release.{p.id}.base_stock"] = p.release.base_stock
    for g in plant.groups:
        result[f"groups.{g.id}.cap"] = g.cap
    for s in plant.stations:
        result |= _of_station(s)
    for k in plant.stocks:
        if k.level is not None:
            result[f"stocks.{k.id}.level"] = k.level
        if k.reorder is not None:
            result[f"stocks.{k.id}.reorder"] = k.reorder
        if k.express is not None:
            result[f"stocks.{k.id}.express"] = k.express.level
    for c in plant.calendars:
        result[f"calendars.{c.id}.overtime"] = c.overtime
    return result


def _of_station(station: Station) -> dict[str, int]:
    result: dict[str, int] = {}
    if station.buffer is not None and station.kanban is not None:
        result[f"buffers.{station.buffer}.kanban"] = station.kanban
    level = next((m.at_level for m in station.modes if m.at_level is not None), None)
    if level is not None:
        result[f"stations.{station.id}.at_level"] = level
    weights = dict(station.dispatch)
    return result | {f"stations.{station.id}.dispatch.{name}": weights.get(name, 0) for name in FEATURES}
