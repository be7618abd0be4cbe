"""Modbus addresses and the plan of reads."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.registers import MAX_BLOCK, ORDERS, TYPES, Block, decode, encode, parse, plan


def test_addresses_are_taken_apart() -> None:
    point = parse("holding/100:int32:cdab")
    assert (point.table, point.address, point.type, point.order, point.size) == ("holding", 100, "int32", "cdab", 2)
    assert parse("input/30").type == "uint16"
    assert parse("input/30.7").bit == 7
    assert parse("holding/1:float32", "dcba").order == "dcba"
    assert parse("coil/3").is_bit


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ("40101", "expected holding/100:uint16"),
        ("holding/x", "expected holding/100:uint16"),
        ("holding/1:word", "expected a type of uint16"),
        ("holding/1:int32:abdc", "expected an order of abcd"),
        ("holding/1.16", r"holding/1\.0 to holding/1\.15"),
        ("holding/1.3:int32", r"holding/1\.0 to"),
        ("coil/3:uint16", "write coil/3"),
        ("holding/65535:int32", "end at 65535"),
    ],
)
def test_wrong_addresses_are_explained(raw: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse(raw)


def test_the_bytes_of_each_order() -> None:
    words = {"abcd": [0x1234, 0x5678], "cdab": [0x5678, 0x1234], "badc": [0x3412, 0x7856], "dcba": [0x7856, 0x3412]}
    for order, expected in words.items():
        point = parse(f"holding/0:uint32:{order}")
        assert encode(point, 0x12345678) == expected
        assert decode(point, Block("holding", 0, 2, (point,)), expected) == 0x12345678
    one = parse("holding/0:int16:badc")
    assert encode(one, -2) == [0xFEFF]
    with pytest.raises(ValueError, match="70000 does not fit into uint16"):
        encode(parse("holding/0"), 70_000)
    with pytest.raises(ValueError, match="one bit of a register cannot be written"):
        encode(parse(r"holding/0.1"), 1)


@given(st.sampled_from(sorted(TYPES)), st.sampled_from(ORDERS), st.integers(-(2**15), 2**15 - 1))
def test_what_is_written_is_read(kind: str, order: str, value: int) -> None:
    value = abs(value) if kind.startswith("u") else value
    point = parse(f"holding/7:{kind}:{order}")
    words = encode(point, value)
    assert decode(point, Block("holding", 5, 2 + len(words), (point,)), [0, 0, *words]) == value
    low, size = struct.calcsize(">" + TYPES[kind][0]), TYPES[kind][1]
    assert low == 2 * size


def test_bits_of_a_register_and_coils() -> None:
    point = parse("holding/9.15")
    assert decode(point, Block("holding", 8, 2, (point,)), [0, 0x8000]) == 1
    assert decode(point, Block("holding", 8, 2, (point,)), [0xFFFF, 0x7FFF]) == 0
    coil = parse("coil/3")
    assert decode(coil, Block("coil", 0, 4, (coil,)), [False, False, False, True]) == 1


def test_gaps_up_to_the_limit_are_read_along() -> None:
    raws = ["holding/0", "holding/9", "holding/10:int32", "holding/21", "input/0", "coil/5", "coil/0"]
    blocks = [(b.table, b.address, b.count) for b in plan([parse(r) for r in raws], max_gap=8)]
    assert blocks == [("coil", 0, 6), ("holding", 0, 12), ("holding", 21, 1), ("input", 0, 1)]
    alone = [(b.address, b.count) for b in plan([parse(r) for r in raws if r.startswith("holding")], max_gap=0)]
    assert alone == [(0, 1), (9, 3), (21, 1)]


@given(
    st.lists(st.tuples(st.sampled_from(["holding", "coil"]), st.integers(0, 600), st.booleans()), max_size=60),
    st.integers(0, 20),
    st.integers(2, 125),
)
def test_a_plan_covers_every_point_once_within_the_limits(
    wanted: list[tuple[str, int, bool]], max_gap: int, max_registers: int
) -> None:
    raws = {f"{t}/{a}" + (":int32" if wide and t == "holding" else "") for t, a, wide in wanted}
    blocks = plan([parse(r) for r in raws], max_gap, max_registers)
    assert sorted(p.raw for b in blocks for p in b.points) == sorted(raws)
    for b in blocks:
        assert b.count <= (max_registers if b.table == "holding" else MAX_BLOCK["coil"])
        assert all(b.address <= p.address and p.end <= b.address + b.count for p in b.points)
