"""What the twist and the scripts want to know of a plant's loads; worked out where `validate` has them from."""

from __future__ import annotations

from hardware.sampling import mean_of
from sim.plant import Plant
from sim.traffic import traffic, visits


def loads(plant: Plant) -> dict[str, float]:
    """Utilisation of each station by its file: work, setups and repairs over what its units can do while open."""
    return {load.station: load.utilisation for load in traffic(plant).loads}


def bottleneck(plant: Plant) -> str:
    """The station with the highest load; ValueError for a plant without stations."""
    if not plant.stations:
        raise ValueError(f"plant {plant.id}: expected a station to be its bottleneck, found none; give it stations")
    return traffic(plant).bottleneck.station


def operation_s(plant: Plant, station: str) -> float:
    """Mean seconds of an operation at a station, products weighed by their rates."""
    seconds = total = 0.0
    rates = traffic(plant).rates
    for product in plant.products:
        for step, times in zip(product.steps, visits(product), strict=True):
            work = dict(step.eligible).get(station)
            if work is not None:
                seconds += rates[product.id] * times * mean_of(work) * plant.tick_s
                total += rates[product.id] * times
    return seconds / total if total > 0 else 0.0
