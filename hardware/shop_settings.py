"""The numbers of a plant that a control may set, with what the plant file says for each."""

from __future__ import annotations

from sim.plant import FEATURES, Plant


def first_settings(plant: Plant) -> dict[str, int]:
    """Every path that the virtual plant enforces, with the plant file's value (overtime in ticks)."""
    found: dict[str, int | None] = {}
    for p in plant.products:
        found[f"release.{p.id}.cap"] = p.release.cap
        found[f"release.{p.id}.base_stock"] = p.release.base_stock
    for g in plant.groups:
        found[f"groups.{g.id}.cap"] = g.cap
    for k in plant.stocks:
        found[f"stocks.{k.id}.level"] = k.level
        found[f"stocks.{k.id}.reorder"] = k.reorder
        found[f"stocks.{k.id}.express"] = k.express.level if k.express is not None else None
    for s in plant.stations:
        if s.buffer is not None:
            found[f"buffers.{s.buffer}.kanban"] = s.kanban
        weights = dict(s.dispatch)
        found |= {f"stations.{s.id}.dispatch.{name}": weights.get(name, 0) for name in FEATURES}
    for c in plant.calendars:
        found[f"calendars.{c.id}.overtime"] = c.overtime
    return {k: v for k, v in found.items() if v is not None}
