"""The PLC's part of a lease as the gateway sees it: which words it writes, and why a control has none.

The function block behind these words is in `docs/plc.md`. A request is written as value, fallback, the setpoint
that the gateway saw, and last the serial number, whose change makes the block look at it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

WORD = 1 << 16


@dataclass(frozen=True, slots=True)
class ControlNodes:
    """Raw names of one control's words. `heartbeat` None: the common one of `PlcNodes`.

    `taken` is the serial number that the block has looked at last. Without it a renewal, whose value stands there
    already, reads back right before the block has seen it.
    """

    request: str
    fallback: str
    expected: str
    serial: str
    heartbeat: str | None = None
    taken: str | None = None

    def items(self, value: int, fallback: int, expected: int, serial: int) -> list[tuple[str, int]]:
        """A request as the writes it consists of, in their order."""
        return [
            (self.request, value),
            (self.fallback, fallback),
            (self.expected, expected),
            (self.serial, (serial + 1) % WORD),
        ]


@dataclass(frozen=True, slots=True)
class PlcNodes:
    """Section `plc` of the gateway's configuration."""

    heartbeat: str | None = None
    controls: Mapping[str, ControlNodes] = field(default_factory=dict)
    readback_s: float = 3.0

    def heartbeat_of(self, control: str) -> str | None:
        nodes = self.controls.get(control)
        return None if nodes is None else nodes.heartbeat or self.heartbeat

    def heartbeats(self) -> list[str]:
        """All heartbeat words, each once."""
        found = [self.heartbeat] if self.heartbeat else []
        found += [n.heartbeat for n in self.controls.values() if n.heartbeat]
        return list(dict.fromkeys(found))

    def serials(self) -> Iterator[str]:
        for nodes in self.controls.values():
            yield nodes.serial

    def advisory(self, controls: Iterable[str], tags: Mapping[str, str]) -> dict[str, str]:
        """Why each of these controls cannot be commanded; those that can are left out."""
        found = {}
        for control in controls:
            if control not in self.controls:
                found[control] = f"plc.controls names no words of {control}, so nothing gives it back when we are gone"
            elif self.heartbeat_of(control) is None:
                found[control] = f"no heartbeat word is configured for {control}, so the PLC cannot tell that we live"
            elif f"set/{control}" not in tags:
                found[control] = f"no raw name is configured for set/{control}, so nothing can be read back"
        return found


def beat(n: int) -> int:
    """The heartbeat word of beat `n`: 1 to 65535, never 0 (which is what a PLC starts with)."""
    return (n - 1) % (WORD - 1) + 1
