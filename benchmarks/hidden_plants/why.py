"""What went wrong on a plant, found by setting the twin beside the truth of the hidden model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.compile import Compiled
from sim.distributions import mean
from twin.believe import posterior

if TYPE_CHECKING:
    from benchmarks.hidden_plants.border import Border
    from benchmarks.hidden_plants.listen import Story, Twin
    from benchmarks.hidden_plants.model import Floor

APART = 0.07
"""A mean work time further than this from the truth is named."""


def went_wrong(story: Story, twin: Twin, border: Border, floor: Floor) -> list[str]:
    """In the order of what hurts most."""
    found = _hours(story) + _work(story, twin) + _state(twin, floor)
    silent = sorted(set(border.mapping.raw_names()) - border.heard)
    if silent:
        more = f" and {len(silent) - 4} more" if len(silent) > 4 else ""
        found.append(f"never heard: {', '.join(silent[:4])}{more}")
    if border.dropped:
        found.append(f"{border.dropped} messages lost")
    late = twin.tracker.state.counts.get("late", 0)
    if late:
        found.append(f"{late} readings came later than the window")
    if twin.tracker.learned.lost:
        found.append(f"{twin.tracker.learned.lost} numbers missing")
    resets = twin.tracker.state.counts.get("counter_resets", 0)
    if resets:
        found.append(f"{resets} leaps of counters not believed")
    return found


def _hours(story: Story) -> list[str]:
    """Did the twin find out what the shifts really do?"""
    deviation = story.plant.deviation
    if deviation == "as planned":
        return [f"hours that are as planned were called other: {d.text}" for d in story.found]
    what = "works" if deviation == "saturday shift" else "stands"
    if not any(d.what == what for d in story.found):
        return [f"{deviation} not found"]
    return []


def _work(story: Story, twin: Twin) -> list[str]:
    """Work times that are believed wrongly, the slowest stations first; whether anybody could have seen them."""
    compiled = twin.compiled
    believed = posterior(compiled, twin.tracker.state)
    plant, found = story.plant, []
    slow = max(plant.stations, key=lambda s: max(s.work.values()) / s.units / s.batch)
    for s in plant.stations:
        spec = next(x for x in compiled.plant.stations if x.id == s.name)
        file = _mean_s(compiled, spec.id)
        name = f"work/{s.name}"
        if name not in believed.groups or not file:
            continue
        factor = believed.factor(name)[0]
        true = sum(plant.share[p] * v for p, v in s.work.items() if p in file) / sum(plant.share[p] for p in file)
        have = factor * sum(plant.share[p] * v for p, v in file.items()) / sum(plant.share[p] for p in file)
        if abs(have / true - 1) > APART:
            n = believed.groups[name][1].n
            how = "not wired" if s.name not in story.wiring.wired else f"{n:.0f} spans" if n else "no span seen"
            role = "bottleneck " if s is slow else ""
            found.append((s is not slow, f"work of {role}{s.name} believed {100 * (have / true - 1):+.0f} % ({how})"))
    return [text for _, text in sorted(found)]


def _mean_s(compiled: Compiled, station: str) -> dict[str, float]:
    """Mean work of a station in the plant file by product, seconds."""
    plant = compiled.plant
    found: dict[str, float] = {}
    for product in plant.products:
        for step in product.steps:
            for name, dist in step.eligible:
                if name == station:
                    found[product.id] = mean(dist) * plant.tick_s
    return found


def _state(twin: Twin, floor: Floor) -> list[str]:
    """What is believed to be in the line at the end, beside what is."""
    state = twin.tracker.state
    believed = sum(state.wip)
    found = [f"{believed} parts believed in the line, {floor.inside} there"]
    made_up = state.counts.get("appeared", 0) + state.counts.get("vanished", 0)
    if made_up:
        found.append(f"{made_up} parts made up for or given up")
    named = sorted({tag for c in state.contradictions.values() for tag in c.sensors})
    if named:
        found.append(f"contradictions open: {', '.join(named[:4])}")
    return found
