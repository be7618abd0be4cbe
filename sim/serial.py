"""Serial chains of stocks by a program of their own: a period of every replica in one pass, without a list of events.

Where every stage reviews in the same period, everything takes whole periods and one demand asks once a period, all that
the rules of docs/kernel.md do in a period is known beforehand: every stage orders and its vehicle leaves, what left a
lead time ago arrives, customers ask. This program does just that, on a few numbers a replica (`state`) instead of a
row. It draws what the kernel draws. `tests/agents/test_serial.py` plays it against the kernel on random chains: the
same observations to the bit, the same quantities, the same money. Whatever does not fit such a chain (`serial` says
None) is the kernel's.

A replica is one int64 row: its scalars (the first as in `sim.state`), then a record for each stage from the customers
up, then for each stage a ring of what left in the last lead time, one number a period.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.compile import Compiled
from sim.distributions import mean
from sim.draws import QUANTITY, draw, entity_number
from sim.jit import entry, rule
from sim.plant import Plant, Stock
from sim.state import Array
from sim.tables import choice

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]

PERIODS, SEED, REPLICA, DRAWS, _WORD, WAITING, SCALARS = range(7)
"""Scalars of a state: periods since tick 0; the address of its luck, where `sim.state` has it; the stream of
quantities (count, word); units that customers wait for."""
ON_HAND, ON_ORDER, OWED, NEXT, STAGE_W = range(5)
"""Record of a stage; NEXT: place in its ring of what arrives in the period to come."""
STAGES, PERIOD, ENTITY, PAIRS, SHIFT, STAGES_AT, COLUMNS_AT, COLUMNS_END, GUIDE_AT, CHOICES_AT, HEADER = range(11)
"""Header of the params: how many stages; ticks of a period; of the demand: its number, how many quantities it may ask
for; bits of a word that the guide does not look at; where the lists begin. Guide: for the upper bits of a word, the
first quantity that it may mean. Choices: (threshold, quantity)."""
MOST, VEHICLE, LEAD, RING, STAGE_PW = range(5)
"""Params of a stage: the most it may order at once, units a vehicle holds, lead time in periods, where its ring stands
in the state."""
COLUMN_PW = 2
"""Params of a list of columns of arrivals: the stage, how many columns."""
GUIDE_BITS = 10
BASIC = 3
"""Columns of a stage before those of arrivals: on hand, on order, owed."""


@dataclass(frozen=True, slots=True)
class Serial:
    """A chain as `period_rows` plays it: `params` int64, read-only; `width` of a state; `leads` in periods and units on
    hand at first (`initial`), customers' end first.
    """

    params: Array
    width: int
    leads: tuple[int, ...]
    initial: tuple[int, ...]

    def open(self, state: Array, seed: int, replicas: Array) -> None:
        """Write the state [R, W] in which episodes of the addresses (seed, replicas [R]) begin: at the end of the first
        period (tick `period`, before its events), in which nobody orders or asks.
        """
        opening = np.zeros(self.width, dtype=np.int64)
        opening[PERIODS], opening[SEED] = 1, seed
        for k, (lead, initial) in enumerate(zip(self.leads, self.initial, strict=True)):
            opening[SCALARS + STAGE_W * k + ON_HAND] = initial
            opening[SCALARS + STAGE_W * k + NEXT] = 1 % lead
        state[...] = opening
        state[:, REPLICA] = replicas


def serial(compiled: Compiled, columns: list[tuple[int, int]]) -> Serial | None:
    """The chain of a plant, or None where it is no such chain. `columns`: for each list of columns of arrivals, the
    stage (0: the customers') and how many; the last column of a list holds what comes later too.
    """
    plant = compiled.plant
    stages = chain_of(plant)
    if not stages or compiled.own is not None:
        return None
    demand, period = plant.demands[0], int(stages[0].review or 0)
    leads = [_periods(k, period) for k in stages]
    most = {c.sets: c.high for c in plant.controls}
    suppliers = {s.id: s for s in plant.suppliers}
    maker = suppliers.get(stages[-1].source)
    plain = (
        plant.conventions.get("review_order") == "review_order_receive_satisfy"
        and all(leads)
        and all(k.policy == "constant_order" and k.vehicle and k.review == period for k in stages)
        and all(k.least == k.multiple == 1 and k.express is None for k in stages)
        and (maker is None or (maker.unit_ticks == 0 and maker.late is None))
        and demand.arrivals is not None
        and (demand.arrivals.kind, demand.arrivals.args) == ("constant", (float(period),))
        and not (demand.calendar or demand.season or demand.book or demand.can_lose or demand.due is not None)
    )
    if not plain:
        return None
    numbers = [
        [most.get(f"stocks.{k.id}.level", k.level or 0), k.vehicle, lead or 0]
        for k, lead in zip(stages, leads, strict=True)
    ]
    header = [len(stages), period, entity_number(demand.id)]
    return _serial(header, numbers, tuple(k.initial for k in stages), (choice(demand.quantity), columns))


def chain_of(plant: Plant) -> list[Stock]:
    """The stocks of a plant that is one serial chain and nothing else, customers' end first; else none."""
    by = {k.id: k for k in plant.stocks}
    found: list[Stock] = []
    name = plant.demands[0].stock if len(plant.demands) == 1 else ""
    while name in by and len(found) < len(by):
        found.append(by[name])
        name = by[name].source
    whole = not plant.stations and not plant.products and len(found) == len(by)
    return found if whole and name not in by and name != "line" else []


def _periods(stock: Stock, period: int) -> int | None:
    """Lead time in whole periods, or None."""
    if stock.lead is None or stock.lead.kind != "constant" or not period:
        return None
    whole, rest = divmod(mean(stock.lead), period)
    return int(whole) if rest == 0 and whole >= 1 else None


def _serial(
    known: list[int], stages: list[list[int]], initial: tuple[int, ...], lists: tuple[list[int], list[tuple[int, int]]]
) -> Serial:
    """The params: what is `known` of the header, stages (most, vehicle, lead), choices of quantities and columns."""
    pairs, columns = lists
    thresholds = [*pairs[:-2:2], 1 << 40]  # the last alternative takes the rest
    shift = 32 - GUIDE_BITS
    guide = np.searchsorted(thresholds, np.arange(1 << GUIDE_BITS) << shift, side="right").tolist()
    leads = tuple(stage[LEAD] for stage in stages)
    rings = [SCALARS + STAGE_W * len(stages) + sum(leads[:k]) for k in range(len(stages))]
    parts = [
        [n for stage, ring in zip(stages, rings, strict=True) for n in (*stage, ring)],
        [n for pair in columns for n in pair],
        guide,
        [n for pair in zip(thresholds, pairs[1::2], strict=True) for n in pair],
    ]
    at = [HEADER + sum(map(len, parts[:i])) for i in range(len(parts))]
    header = [*known, len(thresholds), shift, at[0], at[1], at[2], at[2], at[3]]
    params = np.array([*header, *(n for part in parts for n in part)], dtype=np.int64)
    params.flags.writeable = False
    return Serial(params, rings[-1] + leads[-1], leads, initial)


# --- compiled ----------------------------------------------------------------------------------------------------


@entry
def period_rows(  # noqa: PLR0913, PLR0917 - arrays of a batch
    state: Array, actions: Array, orders: Array, p: Array, by: Doubles, seen: Floats, profit: Doubles
) -> None:
    """A period of every replica: state [R, W] in place; actions int64[R, S], customers' end first, which are cut to
    what a stage may order and noted in orders [R, S]; p: `Serial.params`.

    by float64[2 + 3 S + D]: money for a unit sold to customers, and for one that they wait for; for each stage, money
    for a unit that its vehicle takes, that it holds, that it is owed; then the factors of the columns of seen
    float32[R, D]: for each stage on hand, on order, owed, then what customers wait for, the time, the arrivals. profit
    float64[R].
    """
    for i in range(state.shape[0]):
        s = state[i]
        profit[i] = trade(s, actions[i], orders[i], p, by)
        s[PERIODS] += 1
        look(s, p, by, seen[i])


@entry
def look_rows(state: Array, p: Array, by: Doubles, seen: Floats) -> None:
    """The columns alone, as `period_rows` writes them."""
    for i in range(state.shape[0]):
        look(state[i], p, by, seen[i])


@rule
def trade(s: Array, actions: Array, orders: Array, p: Array, by: Doubles) -> float:
    """All stages order, deliver and receive, then customers ask; the money that it earns."""
    money = 0.0
    last = p[STAGES] - 1
    for k in range(last + 1):
        a = SCALARS + STAGE_W * k
        b = p[STAGES_AT] + STAGE_PW * k
        ordered = actions[k] if actions[k] < p[b + MOST] else p[b + MOST]  # noqa: FURB136
        ordered = ordered if ordered > 0 else 0  # noqa: FURB136
        orders[k] = ordered
        owed = s[a + OWED] + ordered
        sent = owed if owed < p[b + VEHICLE] else p[b + VEHICLE]  # noqa: FURB136
        if k < last:
            there = s[a + STAGE_W + ON_HAND]  # before it receives: this comes first
            sent = sent if sent < there else there  # noqa: FURB136
            s[a + STAGE_W + ON_HAND] = there - sent
        owed -= sent
        at = p[b + RING] + s[a + NEXT]
        arrived = s[at]
        s[at] = sent
        following = s[a + NEXT] + 1
        s[a + NEXT] = following if following < p[b + LEAD] else 0
        s[a + OWED] = owed
        s[a + ON_ORDER] += ordered - arrived
        s[a + ON_HAND] += arrived
        money += by[2 + 3 * k] * sent + by[4 + 3 * k] * owed
    wanted = s[WAITING] + asked(s, p)
    there = s[SCALARS + ON_HAND]
    sold = wanted if wanted < there else there  # noqa: FURB136
    s[SCALARS + ON_HAND] = there - sold
    s[WAITING] = wanted - sold
    money += by[0] * sold + by[1] * (wanted - sold)
    for k in range(last + 1):  # what is held is counted when all is done
        money += by[3 + 3 * k] * s[SCALARS + STAGE_W * k + ON_HAND]
    return money


@rule
def asked(s: Array, p: Array) -> int:
    """Units that customers ask for in this period: `sim.rules_base.choose`, found through the guide."""
    at = 0
    if p[PAIRS] > 1:
        word = (draw(s, DRAWS, p[ENTITY], QUANTITY) >> 32) & 0xFFFFFFFF
        at = p[p[GUIDE_AT] + (word >> p[SHIFT])]
        while p[p[CHOICES_AT] + 2 * at] <= word:
            at += 1
    return p[p[CHOICES_AT] + 2 * at + 1]


@rule
def look(s: Array, p: Array, by: Doubles, out: Floats) -> None:
    """out[j] = a number of the state times its factor, rounded as `sim.kernel.gather_row` and `sim.arriving` do."""
    stages = p[STAGES]
    at = 2 + 3 * stages
    for k in range(stages):
        for j in range(BASIC):
            out[BASIC * k + j] = s[SCALARS + STAGE_W * k + j] * by[at + BASIC * k + j]
    j = BASIC * stages
    out[j] = s[WAITING] * by[at + j]
    out[j + 1] = (s[PERIODS] * p[PERIOD]) * by[at + j + 1]
    j += 2
    for c in range(p[COLUMNS_AT], p[COLUMNS_END], COLUMN_PW):
        count = p[c + 1]
        b = p[STAGES_AT] + STAGE_PW * p[c]
        ring = p[b + RING]
        lead = p[b + LEAD]
        place = s[SCALARS + STAGE_W * p[c] + NEXT]
        for _ in range(count - 1):
            out[j] = s[ring + place] * by[at + j]
            place = place + 1 if place + 1 < lead else 0
            j += 1
        rest = 0
        for _ in range(lead - count + 1):
            rest += s[ring + place]
            place = place + 1 if place + 1 < lead else 0
        out[j] = rest * by[at + j]
        j += 1
