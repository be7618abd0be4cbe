"""The generator against its published vectors, and draws against their addresses."""

from __future__ import annotations

import numpy as np
import pytest

from sim.draws import draw, entity_number, pair, sample, signed, word
from sim.jit import entry
from sim.plant import Dist
from sim.quantile import table
from sim.state import REPLICA, SEED, Array

# Known answers of the Random123 distribution, threefry2x64 with 13 rounds: counter, key, result.
VECTORS = [
    ((0, 0), (0, 0), (0xF167B032C3B480BD, 0xE91F9FEE4B7A6FB5)),
    ((2**64 - 1,) * 2, (2**64 - 1,) * 2, (0xCCDEC5C917A874B1, 0x4DF53ABCA26CEB01)),
    (
        (0x243F6A8885A308D3, 0x13198A2E03707344),
        (0xA4093822299F31D0, 0x082EFA98EC4E6C89),
        (0xC3AAC71561042993, 0x3FE7AE8801AFF316),
    ),
]


@pytest.mark.parametrize(("counter", "key", "expected"), VECTORS)
def test_threefry_gives_its_published_answers(
    counter: tuple[int, int], key: tuple[int, int], expected: tuple[int, int]
) -> None:
    found = pair(*(signed(k) for k in key), *(signed(c) for c in counter))
    assert tuple(int(x) & (2**64 - 1) for x in found) == expected


@entry
def take_words(row: Array, at: int, entity: int, purpose: int, out: Array) -> None:
    for i in range(out.shape[0]):
        out[i] = draw(row, at, entity, purpose)


def test_a_stream_gives_the_words_of_its_addresses() -> None:
    row = np.zeros(12, dtype=np.int64)
    row[SEED], row[REPLICA] = 99, 3
    entity = entity_number("mill/1")
    drawn = np.zeros(7, dtype=np.int64)
    take_words(row, 10, entity, 2, drawn)
    assert [int(x) & (2**64 - 1) for x in drawn] == [word(99, 3, entity, 2, n) for n in range(7)]
    assert row[10] == 7


def test_entities_have_stable_numbers_of_59_bits() -> None:
    assert entity_number("mill/1") == entity_number("mill/1") != entity_number("mill/2")
    assert all(0 <= entity_number(f"e{i}") < 2**59 for i in range(100))


@pytest.mark.parametrize(("mean", "kind"), [(1000.0, "exponential"), (55_000.0, "gamma")])
def test_sampled_durations_have_the_mean_and_spread_of_the_distribution(mean: float, kind: str) -> None:
    dist = Dist(kind, (mean,) if kind == "exponential" else (mean, 0.4))
    values = table(dist)
    n = 20_000
    drawn = np.array([sample(values, word(5, 0, 77, 0, i)) for i in range(n)], dtype=float)
    sd = mean if kind == "exponential" else 0.4 * mean
    assert abs(drawn.mean() - mean) < 4 * sd / np.sqrt(n)
    assert abs(drawn.std() / sd - 1) < 0.05


def test_a_constant_ignores_the_word() -> None:
    values = table(Dist("constant", (1234.0,)))
    assert {sample(values, w) for w in (0, 1, 2**64 - 1)} == {1234}
