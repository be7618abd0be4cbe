"""What a mapping may feed: the tags, things, units and products of a plant file."""

from __future__ import annotations

from collections.abc import Callable

from sim.plant import Plant, Sensor
from sim.units import QuantityError, suggestion, whole


class Targets:
    """Names of a plant, and readers that refuse others with a suggestion."""

    def __init__(self, plant: Plant) -> None:
        self.plant = plant
        self.sensors = {s.tag: s for s in plant.sensors}
        self._own = {"mode": Sensor("mode", "mode", "mode", "enum")}
        for c in plant.controls:
            self._own[f"set/{c.id}"] = Sensor(c.id, "set", f"set/{c.id}", "int")
        self._stations = {s.id: s for s in plant.stations}
        buffers = {s.buffer for s in plant.stations if s.buffer}
        groups = (plant.products, plant.stations, plant.stocks, plant.demands)
        self._things = {thing.id for group in groups for thing in group} | buffers | {s.thing for s in plant.sensors}

    def sensor(self, tag: str) -> Sensor | None:
        """The tag's sensor; `mode` and setpoints need none in the plant file."""
        return self.sensors.get(tag) or self._own.get(tag)

    def tags(self) -> list[str]:
        """All tags that can be fed."""
        return [*self.sensors, *(name for name in self._own if name not in self.sensors)]

    def thing(self, text: str) -> str:
        """A thing of the plant."""
        if text not in self._things:
            raise QuantityError("a thing of the plant file", text, suggestion(text, self._things))
        return text

    def unit(self, thing: str) -> Callable[[str], int]:
        """A reader of a unit number of a thing."""
        units = self._stations[thing].units if thing in self._stations else 1

        def read(text: str) -> int:
            found = whole(text, 1, "a unit")
            if found > units:
                raise QuantityError(f"a unit from 1 to {units}", text, f"{thing} has {units}")
            return found

        return read

    def product(self, text: str) -> str:
        """A product of the plant."""
        names = [p.id for p in self.plant.products]
        if text not in names:
            raise QuantityError("a product of the plant file", text, suggestion(text, names))
        return text
