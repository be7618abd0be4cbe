"""Does a gateway keep the contract? Rules as plain functions over a recorded list of messages.

`check(log)` judges a recording: every rule passes, fails (with the first offending messages and what docs/wire.md
says), or cannot be judged from what was seen. `plantwin wire check` prints it, live and offline alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from ingest.conformance_log import Item, Log, Unjudged
from ingest.conformance_numbers import holes, once, sequence_first, took_turns
from ingest.conformance_values import counters, events_assert, plant_time, states, types

Verdict = Literal["pass", "fail", "unjudged"]
SHOWN = 3
"""Offending messages kept of each rule."""
SAMPLE = 300


Check = Callable[[Log], Iterator[tuple[Item | None, str]]]
"""Yields (offending message, what is wrong) for every fault; raises Unjudged."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that the page demands: `page` is its sentence there."""

    id: str
    page: str
    check: Check


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one rule: `why` for a person, `faults` (how many), `samples` of the offending messages."""

    rule: str
    verdict: Verdict
    why: str
    page: str
    faults: int = 0
    samples: tuple[dict[str, Any], ...] = ()


def check(log: Log, chosen: tuple[Rule, ...] | None = None) -> list[Finding]:
    """Judge a recording by every rule, in their order."""
    return [judge(log, rule) for rule in (RULES if chosen is None else chosen)]


def judge(log: Log, rule: Rule) -> Finding:
    """Judge a recording by one rule."""
    samples: list[dict[str, Any]] = []
    faults, first = 0, ""
    try:
        for item, why in rule.check(log):
            faults += 1
            first = first or why
            if len(samples) < SHOWN:
                samples.append({"why": why, **({} if item is None else shown(item))})
    except Unjudged as reason:
        if not faults:
            return Finding(rule.id, "unjudged", str(reason), rule.page)
    if faults:
        more = f" (and {faults - 1} more)" if faults > 1 else ""
        return Finding(rule.id, "fail", first + more, rule.page, faults, tuple(samples))
    return Finding(rule.id, "pass", "", rule.page)


def shown(item: Item) -> dict[str, Any]:
    """A message for a person to look at."""
    seen = item.seen
    body = seen.body[:SAMPLE].decode("utf-8", "backslashreplace")
    return {"topic": seen.topic, "payload": body, "qos": seen.qos, "retained": seen.retained, "recv": seen.recv}


# -- rules about form -----------------------------------------------------------------------------------------


def _heard(log: Log) -> None:
    if not log.items:
        raise Unjudged(f"nothing at all came under {log.root}: is the gateway running, and is the root right?")


def birth(log: Log) -> Iterator[tuple[Item | None, str]]:
    """There is a birth."""
    _heard(log)
    if not any(item.kind == "birth" for item in log.items):
        yield None, f"no birth came under {log.root}/birth"


def birth_retained(log: Log) -> Iterator[tuple[Item | None, str]]:
    """The broker keeps the birth."""
    born = log.kind("birth")
    if not born:
        raise Unjudged("there is no birth that decodes")
    if not any(item.seen.retained for item in born):
        yield born[-1], "the broker does not hold a birth: publish it retained"


def birth_first(log: Log) -> Iterator[tuple[Item | None, str]]:
    """Every epoch that sends has had a birth."""
    _heard(log)
    born = log.births()
    told: set[str] = set()
    failed = any(item.kind == "birth" and item.payload is None for item in log.items)
    for item in log.items:
        number = item.number
        if number is None or number[0] in born or number[0] in told:
            continue
        if failed or not log.births():
            raise Unjudged("there is no birth that decodes")
        told.add(number[0])
        yield item, f"epoch {number[0]} sends, but its birth never came"


def birth_same(log: Log) -> Iterator[tuple[Item | None, str]]:
    """A birth that is said again says the same first number and the same meaning of each alias."""
    known = log.births()
    if not known:
        raise Unjudged("there is no birth that decodes")
    for item in log.kind("birth"):
        first = known[item.payload.e]
        if item.payload.s != first.s:
            yield item, f"epoch {first.e} began with {first.s}, now its birth says {item.payload.s}"
        names = {tag.i: (tag.name, tag.type) for tag in first.tags}
        for tag in item.payload.tags:
            if names.get(tag.i, (tag.name, tag.type)) != (tag.name, tag.type):
                yield item, f"alias {tag.i} was {names[tag.i][0]}, now {tag.name}: that needs a new epoch"


def epoch_own(log: Log) -> Iterator[tuple[Item | None, str]]:
    """No two sources share an epoch."""
    mine = set(log.births())
    told: set[tuple[str, str]] = set()
    for item in log.others:
        if item.kind == "birth" and item.payload is not None and item.payload.e in mine:
            key = (item.payload.e, item.seen.topic)
            if key not in told:
                told.add(key)
                yield item, f"epoch {item.payload.e} is also that of {item.seen.topic}"


def topics(log: Log) -> Iterator[tuple[Item | None, str]]:
    """Every topic is one of the contract's."""
    _heard(log)
    for item in log.items:
        if not item.kind and item.error is not None:
            yield item, item.error.detail


def _refused(log: Log, reasons: frozenset[str], kinds: frozenset[str] | None = None) -> Iterator[tuple[Item, str]]:
    for item in log.items:
        if (
            item.kind
            and item.error is not None
            and item.error.reason in reasons
            and item.kind in (kinds or {item.kind})
        ):
            yield item, f"/{item.kind}: {item.error}"


def size(log: Log) -> Iterator[tuple[Item | None, str]]:
    """No message is larger than 16 KiB."""
    _heard(log)
    yield from _refused(log, frozenset({"too_big"}))


def payload(log: Log) -> Iterator[tuple[Item | None, str]]:
    """Every payload decodes by its schema."""
    _heard(log)
    form = frozenset({"not_utf8", "not_json", "too_deep", "wrong_type", "bad_number", "bad_id"})
    yield from _refused(log, form)


def columns(log: Log) -> Iterator[tuple[Item | None, str]]:
    """Data columns have one length; tags have one alias and one name each."""
    _heard(log)
    yield from _refused(log, frozenset({"columns"}))


def gap(log: Log) -> Iterator[tuple[Item | None, str]]:
    """A gap record lies below its own number."""
    yield from _refused(log, frozenset({"bad_range"}), frozenset({"gap"}))


def tags(log: Log) -> Iterator[tuple[Item | None, str]]:
    """Data name only aliases of their epoch's birth."""
    born = log.births()
    if not born:
        raise Unjudged("there is no birth that decodes")
    # an epoch may add tags when its birth is said again: then the union is what readers know
    known: dict[str, set[int]] = {}
    for item in log.kind("birth"):
        known.setdefault(item.payload.e, set()).update(tag.i for tag in item.payload.tags)
    for item in log.kind("data", "hist"):
        strange = sorted(set(item.payload.i) - known.get(item.payload.e, set(item.payload.i)))
        if strange:
            yield item, f"alias {strange[0]} is not among the tags of the birth of epoch {item.payload.e}"


def qos(log: Log) -> Iterator[tuple[Item | None, str]]:
    """Everything is published at QoS 1."""
    _heard(log)
    for item in log.items:
        if item.seen.qos == 0 and not (item.kind == "status" and item.payload and not item.payload.online):
            yield item, f"/{item.kind} came at QoS 0"


def not_retained(log: Log) -> Iterator[tuple[Item | None, str]]:
    """Nothing that has a number, and no command, is retained."""
    _heard(log)
    for item in [*log.items, *(one for one in log.asked if one.kind == "cmd")]:
        if item.seen.retained and item.kind not in ("birth", "status", "ack", "rec", "", "req"):
            yield item, f"the broker holds a /{item.kind}: never publish it retained"


def status(log: Log) -> Iterator[tuple[Item | None, str]]:
    """The retained status names the epoch of the birth."""
    _heard(log)
    told = log.kind("status")
    if not told:
        if not any(item.kind == "status" for item in log.items):
            yield None, f"no status came under {log.root}/status"
            return
        raise Unjudged("there is no status that decodes")
    if not any(item.seen.retained for item in told):
        yield told[-1], "the broker does not hold a status: publish it retained"
    born = log.kind("birth")
    if born and told[-1].payload.e != born[-1].payload.e:
        yield told[-1], f"status of epoch {told[-1].payload.e}, the birth is of {born[-1].payload.e}"


def will(log: Log) -> Iterator[tuple[Item | None, str]]:
    """The last will says that the source is offline."""
    if not any(item.payload.online is False for item in log.kind("status")):
        raise Unjudged("only a killed gateway shows its will: kill it while this runs, and start it again")
    yield from ()


def cmdack(log: Log) -> Iterator[tuple[Item | None, str]]:
    """Steps of a command come in their order, under its id."""
    order = ("received", "accepted", "executed", "rejected", "lease_ended")
    reached: dict[str, int] = {}
    for item in sorted(log.kind("cmdack"), key=lambda one: one.payload.s):
        ack = item.payload
        if ack.id != item.ident:
            yield item, f"the topic says command {item.ident}, the payload {ack.id}"
        step = order.index(ack.step)
        if step < reached.get(ack.id, -1) and ack.step != "received":
            yield item, f"command {ack.id}: {ack.step} after {order[reached[ack.id]]}"
        if ack.step == "executed" and ack.read_back is None:
            yield item, f"command {ack.id}: executed without the value read back"
        if ack.step == "rejected" and not ack.reason:
            yield item, f"command {ack.id}: rejected without a reason"
        if step < 3:  # a rejection of a repeated command says nothing of the first
            reached[ack.id] = max(step, reached.get(ack.id, -1))


RULES: tuple[Rule, ...] = (
    Rule("birth", "/birth: what the source is, published on every connect.", birth),
    Rule("birth-retained", "Retained: birth, status, ack, rec, _twin/state.", birth_retained),
    Rule("birth-first", "A new epoch begins with its birth.", birth_first),
    Rule("birth-same", "`i` is a tag's alias for as long as the epoch lasts; `s` is its first number.", birth_same),
    Rule("epoch-own", "`e` is a random id made with the outbox file: one source, one epoch.", epoch_own),
    Rule("topics", "Topic root ptw/v1/{site}/{area}/{line}/{cell}, then a suffix of the table.", topics),
    Rule("size", "Payloads have at most 16 KiB.", size),
    Rule("payload", "JSON objects; wrong types are not repaired; numbers within +-2^53.", payload),
    Rule("columns", "Readings come in columns of one length (1 to 4096).", columns),
    Rule("gap", "A gap has a number of its own, above those it covers.", gap),
    Rule("tags", "Reading k is tag i[k] of the epoch's birth.", tags),
    Rule("qos", "QoS 1 for everything.", qos),
    Rule("not-retained", "Never retained: commands, and everything that has a number.", not_retained),
    Rule("status", "/status: retained, of the present epoch.", status),
    Rule("will", "Set a last will on /status with online false.", will),
    Rule("sequence-first", "A birth's s is the epoch's first number.", sequence_first),
    Rule("sequence-once", "Each number is used once; a replay is the original, word for word.", once),
    Rule("sequence-holes", "Numbers are 1 apart; what the outbox dropped is told with /gap.", holes),
    Rule("epoch-turn", "A new epoch replaces the old one.", took_turns),
    Rule("counters", "Counters are cumulative since the epoch, already unwrapped.", counters),
    Rule("states", "States are absolute, positions in the tag's enumeration.", states),
    Rule("types", "Tags of type int, enum and counter carry whole numbers.", types),
    Rule("events-assert", "An event carries the counter or the state it leads to.", events_assert),
    Rule("plant-time", "Every time in a payload is plant time, UTC milliseconds.", plant_time),
    Rule("cmdack", "Answer each step with /cmdack/{id}; executed with read_back, rejected with reason.", cmdack),
)
"""All passive rules, in the order in which they are told."""
