"""Modbus addresses as texts, and the reads that a list of them needs.

`holding/100:uint16`, `holding/100:float32:cdab`, `input/30.7` (a bit, 0 the lowest), `coil/3`, `discrete/12`.
Addresses count from 0 as they do on the wire (a vendor's 40101 is `holding/100`). The letters are the order of a
number's bytes as they come in, a the highest: `abcd` both orders big-endian (the default), `cdab` the low word first.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

TABLES = ("coil", "discrete", "holding", "input")
TYPES = {"uint16": ("H", 1), "int16": ("h", 1), "uint32": ("I", 2), "int32": ("i", 2), "float32": ("f", 2)}
"""Type -> its letter in `struct` and its registers."""
ORDERS = ("abcd", "cdab", "badc", "dcba")
MAX_GAP = 8
"""Registers between two wanted ones that are read along rather than asking twice."""
MAX_BLOCK = {"coil": 2000, "discrete": 2000, "holding": 125, "input": 125}
"""Most that one request may ask for (MODBUS Application Protocol V1.1b3, 6.1 to 6.4)."""

_RAW = re.compile(r"(coil|discrete|holding|input)/(\d{1,5})(?:\.(\d{1,2}))?(?::([a-z0-9]+))?(?::([a-d]{4}))?")


@dataclass(frozen=True, slots=True)
class Point:
    """One raw name taken apart. `bit` None: the whole number; a coil or discrete input is one bit of its own."""

    raw: str
    table: str
    address: int
    type: str = "uint16"
    order: str = "abcd"
    bit: int | None = None

    @property
    def size(self) -> int:
        """Registers (or bits) it takes."""
        return TYPES[self.type][1] if self.table in ("holding", "input") else 1

    @property
    def end(self) -> int:
        return self.address + self.size

    @property
    def is_bit(self) -> bool:
        return self.table in ("coil", "discrete")


@dataclass(frozen=True, slots=True)
class Block:
    """One read: `count` registers or bits of `table` from `address`, and the points in it."""

    table: str
    address: int
    count: int
    points: tuple[Point, ...]


def parse(raw: str, order: str = "abcd") -> Point:
    """A raw name; ValueError in one sentence. `order` is that of numbers that name none."""
    found = _RAW.fullmatch(raw)
    if found is None:
        raise ValueError(
            f"{raw!r} is no Modbus address: expected holding/100:uint16, input/30:float32, holding/5.3, coil/3 or "
            "discrete/3"
        )
    table, digits, bit, kind, own = found.groups()
    point = Point(raw, table, int(digits), kind or "uint16", own or order, None if bit is None else int(bit))
    if point.is_bit and (bit, kind, own) != (None, None, None):
        raise ValueError(f"{raw!r}: a {table} is one bit; write {table}/{digits}")
    if point.type not in TYPES:
        raise ValueError(f"{raw!r}: expected a type of {', '.join(TYPES)}, found {kind}")
    if point.order not in ORDERS:
        raise ValueError(f"{raw!r}: expected an order of {', '.join(ORDERS)}, found {own}")
    if point.bit is not None and (point.bit > 15 or kind is not None):
        raise ValueError(f"{raw!r}: a bit of a register is written {table}/{digits}.0 to {table}/{digits}.15")
    if point.end > 1 << 16:
        raise ValueError(f"{raw!r}: addresses end at 65535")
    return point


def plan(points: Iterable[Point], max_gap: int = MAX_GAP, max_registers: int = 120) -> list[Block]:
    """The fewest reads in order of address: neighbours and gaps of at most `max_gap` together, up to the limits."""
    blocks: list[Block] = []
    for table in TABLES:
        members: list[Point] = []
        end = 0
        limit = MAX_BLOCK[table] if table in ("coil", "discrete") else min(max_registers, MAX_BLOCK[table])
        for point in sorted((p for p in points if p.table == table), key=lambda p: (p.address, p.size)):
            if members and (point.address > end + max_gap or point.end - members[0].address > limit):
                blocks.append(_block(table, members, end))
                members = []
            members.append(point)
            end = max(point.end, end if len(members) > 1 else 0)
        if members:
            blocks.append(_block(table, members, end))
    return blocks


def _block(table: str, members: Sequence[Point], end: int) -> Block:
    return Block(table, members[0].address, end - members[0].address, tuple(members))


def decode(point: Point, block: Block, values: Sequence[int | bool]) -> int | float:
    """The value of a point in the answer to its block."""
    at = point.address - block.address
    if point.is_bit:
        return int(values[at])
    words = [int(v) for v in values[at : at + point.size]]
    if point.bit is not None:
        return words[0] >> point.bit & 1
    found: int | float = struct.unpack(">" + TYPES[point.type][0], _ordered(words, point.order))[0]
    return found


def encode(point: Point, value: int) -> list[int]:
    """The registers of a value; ValueError where it does not fit."""
    if point.bit is not None:
        raise ValueError(f"{point.raw}: one bit of a register cannot be written; use a coil or a whole register")
    try:
        body = struct.pack(">" + TYPES[point.type][0], value)
    except struct.error as error:
        raise ValueError(f"{point.raw}: {value} does not fit into {point.type}") from error
    words = list(struct.unpack(f">{point.size}H", body))
    return list(struct.unpack(f">{point.size}H", _ordered(words, point.order)))


def _ordered(words: Sequence[int], order: str) -> bytes:
    """Words as bytes, highest first; each of the four orders is its own inverse."""
    if order in ("cdab", "dcba"):
        words = words[::-1]
    return struct.pack(f"{'>' if order in ('abcd', 'cdab') else '<'}{len(words)}H", *words)
