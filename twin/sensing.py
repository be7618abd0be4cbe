"""Every tag of the plant file as the twin has it: heard or not, how old, what its readings failed (`GET /state`)."""

from __future__ import annotations

from typing import Any

from twin.check import REFUSED
from twin.model import TwinState
from twin.topology import Topology

BAD_QUALITY = 3


def rows(topology: Topology, state: TwinState) -> list[dict[str, Any]]:
    """One row for each sensor, in the plant file's order: `{tag, thing, property, place, unit, product, heard, value,
    age_s, quality, flag, failed: {check: n}, n}`. `place` is the station that a buffer belongs to, else the thing;
    `quality` is the wire's code (3 also where the newest reading was refused), null for a tag never heard.
    """
    plant = topology.plant
    owner = {name: plant.stations[s].id for name, s in topology.buffers.items()}
    found = []
    for sensor in plant.sensors:
        if sensor.signal is not None:
            continue  # a machine's condition has rows of its own
        tag = state.tags.get(sensor.tag)
        row: dict[str, Any] = {
            "tag": sensor.tag,
            "thing": sensor.thing,
            "property": sensor.property,
            "place": owner.get(sensor.thing, sensor.thing),
            "unit": sensor.unit,
            "product": sensor.product,
            "heard": tag is not None,
        }
        if tag is not None:
            row |= {
                "value": tag.value,
                "age_s": round(max(state.t - tag.t, 0) / 1000, 1),
                "quality": BAD_QUALITY if tag.flag in REFUSED else tag.quality,
                "flag": tag.flag,
                "failed": dict(tag.failed),
                "n": tag.n,
            }
        else:
            row |= {"value": None, "age_s": None, "quality": None, "flag": "", "failed": {}, "n": 0}
        found.append(row)
    return found
