"""Where the choices of random plants come from, and the times they choose between."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from sim.plant import Dist, Order

TIMES = (
    Dist("constant", (2.0,)),
    Dist("constant", (5.0,)),
    Dist("constant", (10.0,)),
    Dist("discrete", (2.0, 0.5, 10.0, 0.5)),
    Dist("exponential", (6.0,)),
    Dist("exponential", (15.0,)),
    Dist("uniform", (3.0, 9.0)),
    Dist("gamma", (12.0, 0.4)),
    Dist("erlang", (8.0, 3.0)),
    Dist("lognormal", (9.0, 0.8)),
    Dist("weibull", (7.0, 1.5)),
    Dist("normal", (10.0, 4.0)),
    Dist("triangular", (2.0, 4.0, 11.0)),
    Dist("empirical", (4.0, 4.0, 5.0, 9.0)),
)
ZERO = Dist("constant", (0.0,))
UPTIMES = (
    Dist("constant", (25.0,)),
    Dist("constant", (60.0,)),
    Dist("exponential", (60.0,)),
    Dist("weibull", (80.0, 1.5)),
)
GAPS = (
    Dist("constant", (10.0,)),
    Dist("constant", (30.0,)),
    Dist("exponential", (20.0,)),
    Dist("exponential", (45.0,)),
)
LEADS = (ZERO, Dist("constant", (20.0,)), Dist("constant", (60.0,)), Dist("exponential", (40.0,)))


class Choices:
    """Wishes, and choices from a random source."""

    def __init__(self, random: Random, wishes: frozenset[str]) -> None:
        self.random = random
        self.wishes = wishes
        self.ties = random.randint(0, 1) == 0
        """Only constant times: nearly every event meets another."""
        self.tight = random.randint(0, 2) == 0
        """Every queue is bounded, so that units are blocked."""

    def has(self, feature: str) -> bool:
        """Is it wished?"""
        return feature in self.wishes

    def maybe(self, chance: float) -> bool:
        return self.random.randint(1, 100) <= 100 * chance

    def rather(self, feature: str, chance: float = 0.6) -> bool:
        """Wished, and to be had here."""
        return feature in self.wishes and self.maybe(chance)

    def pick(self, *options: Any) -> Any:
        return self.random.choice(options)

    def time(self, values: Sequence[Dist]) -> Dist:
        """A time; where all shall meet, a constant one."""
        constant = [dist for dist in values if dist.kind == "constant"]
        return self.random.choice(constant if self.ties else list(values))


def lines(random: Random, count: int, last: int, dated: bool, quantities: Sequence[int]) -> tuple[Order, ...]:
    """Lines of an order list or book, as a file has them: by tick, several at one tick, some without a date."""
    ticks = sorted(3 * random.randint(0, last // 3) for _ in range(count))
    wanted = [tick + random.choice((0, 6, 20, 100)) if dated and random.randint(0, 3) else None for tick in ticks]
    return tuple(Order(tick, random.choice(quantities), due) for tick, due in zip(ticks, wanted, strict=True))
