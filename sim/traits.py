"""Questions to a plant file: what a station needs of the kernel's rules, what leaves the plant."""

from __future__ import annotations

from sim import distributions
from sim.plant import Dist, Plant, Station


def is_eager(plant: Plant, s: Station) -> bool:
    """Can the station's room grow, or a part be refused, without a start (docs/kernel.md, handling a station)?"""
    needs = any(step.needs and s.id in dict(step.eligible) for p in plant.products for step in p.steps)
    planned = any(m.planned for m in s.modes)
    first = [p for p in plant.products if s.id in dict(p.steps[0].eligible)]
    lots = any(p.lot > p.transfer or len(p.steps[0].eligible) > 1 for p in first)
    special = s.batch is not None or s.operators is not None or s.kanban is not None
    return s.capacity == 0 or special or needs or planned or lots or before_service(plant) or kanban_control(plant, s)


def kanban_control(plant: Plant, s: Station) -> bool:
    return any(c.sets == f"buffers.{s.buffer}.kanban" for c in plant.controls)


def before_service(plant: Plant) -> bool:
    return plant.conventions.get("blocking") == "before_service"


def planned_ticks(plant: Plant, station: str) -> set[int]:
    """Mean ticks of the operations at a station, each of a whole part (transfer batch)."""
    return {
        mean_ticks(work, p.transfer)
        for p in plant.products for step in p.steps for name, work in step.eligible if name == station
    }  # fmt: skip


def mean_ticks(dist: Dist | None, units: int = 1) -> int:
    """Rounded mean of a duration, of the whole operation for a transfer batch of `units`."""
    return 0 if dist is None else round(distributions.mean(dist) * units)


def picks(plant: Plant, s: Station) -> bool:
    """Is any other part than the first one chosen, now or once a control says so?"""
    return bool(s.dispatch) or any(c.sets.startswith(f"stations.{s.id}.dispatch.") for c in plant.controls)


def counts(s: Station) -> bool:
    """Does a mode strike after operations?"""
    return any(m.clock == "parts" for m in s.modes)


def varies(plant: Plant, s: Station) -> bool:
    """Are the planned times of its operations not all the same?"""
    return len(planned_ticks(plant, s.id)) > 1


def end_products(plant: Plant) -> list[int]:
    """Positions of the products that leave the plant: all but the components that others are made of here."""
    eaten = {k for p in plant.products for k, _ in p.release.consumes}
    eaten |= {k for p in plant.products for step in p.steps for k, _ in step.needs}
    components = {k.item for k in plant.stocks if k.source == "line" and k.id in eaten}
    return [i for i, p in enumerate(plant.products) if p.id not in components]


def is_plain(plant: Plant, s: Station) -> bool:
    """Has it nothing but units, a queue, failures and a calendar? Such stations run code without other questions."""
    special = picks(plant, s) or is_eager(plant, s) or counts(s) or varies(plant, s)
    return not (special or s.setups or s.operators or s.condition)
