"""The payloads of the wire, version 1: one frozen struct each, and their strict decoder.

Every payload is one JSON object of at most 16 KiB. Times are plant time in UTC milliseconds.
`parse(kind, body)` either returns the struct or raises `WireError` with one of `REASONS`; it never
coerces ("5" is not 5), never lets NaN or infinity through, and ignores unknown fields, so that a
newer gateway can talk to an older twin.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from ingest.codes import QUALITIES

MAX_BYTES = 16 * 1024
"""Largest payload in bytes (a broker and twin set for it may allow 64 KiB)."""
BIG = 2**53
"""Integers up to here are exact in every JSON reader."""
MAX_TAGS = 20_000
MAX_COLUMN = 4_096

Id = Annotated[str, Meta(pattern=r"^[a-z0-9_-]{1,64}(?!\n)$")]
Name = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_.:/ -]+(?!\n)$")]
Text = Annotated[str, Meta(max_length=256)]
Millis = Annotated[int, Meta(ge=0, le=BIG)]
Seq = Annotated[int, Meta(ge=0, le=BIG)]
Count = Annotated[int, Meta(ge=0, le=BIG)]
Number = Annotated[float, Meta(ge=-BIG, le=BIG)]
Offset = Annotated[int, Meta(ge=-(2**40), le=2**40)]
Index = Annotated[int, Meta(ge=0, lt=MAX_TAGS)]
Quality = Annotated[int, Meta(ge=0, lt=len(QUALITIES))]


class WireError(ValueError):
    """A message that is rejected. `reason` is one of `REASONS`; `detail` says what was found."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Payload(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Base of all payloads; fields that are None are left out on the wire."""


class PlantTime(Payload, frozen=True, kw_only=True):
    """A simulated plant's clock: plant time = origin + (wall now - wall) x speed, all in ms."""

    origin: Millis
    speed: Annotated[float, Meta(gt=0, le=100_000)]
    wall: Millis | None = None


class Tag(Payload, frozen=True, kw_only=True):
    """One tag of a source: `i` is its alias in data columns for as long as the epoch lasts."""

    i: Index
    name: Name
    type: Literal["enum", "counter", "int", "float"]
    unit: Text | None = None
    range: tuple[Number, Number] | None = None
    deadband: Annotated[float, Meta(ge=0, le=BIG)] | None = None
    enum: Annotated[list[Text], Meta(max_length=256)] | None = None


class Birth(Payload, frozen=True, kw_only=True):
    """What a source is: its epoch `e`, the epoch's first number `s`, and the meaning of its tag aliases."""

    v: Literal[1]
    e: Id
    s: Seq
    sw: Text
    tags: Annotated[list[Tag], Meta(max_length=MAX_TAGS)]
    plant_time: PlantTime | None = None


class Trouble(Payload, frozen=True, kw_only=True):
    """What is wrong with a source that is online, since when (plant time), and in words."""

    what: Id
    since: Millis
    text: Text = ""


class Status(Payload, frozen=True, kw_only=True):
    """Connection state of a source (its last will says `online` false), and what is `degraded` while it is online."""

    online: bool
    e: Id
    ts: Millis
    degraded: Annotated[tuple[Trouble, ...], Meta(max_length=32)] = ()


class Data(Payload, frozen=True, kw_only=True):
    """Readings in columns: reading k is tag `i[k]` at plant time `t0 + dt[k]` with value `v[k]`, quality `q[k]`.

    All four columns have the same length, from 1 to 4096. `h` is 1 for history (topic `/hist`).
    """

    e: Id
    s: Seq
    t0: Millis
    i: Annotated[list[Index], Meta(min_length=1, max_length=MAX_COLUMN)]
    dt: Annotated[list[Offset], Meta(min_length=1, max_length=MAX_COLUMN)]
    v: Annotated[list[Number], Meta(min_length=1, max_length=MAX_COLUMN)]
    q: Annotated[list[Quality], Meta(min_length=1, max_length=MAX_COLUMN)]
    h: Literal[1] | None = None


class Event(Payload, frozen=True, kw_only=True):
    """Something that happened, with what it leads to: `count` (cumulative counter) or `state` (its name).

    `kind` is for example work_start, work_end, part_in, part_out, state, alarm, report. `unit` (from 1)
    is the work unit of a station with several; `order`, `step`, `start` and `qty` belong to shop-floor reports.
    """

    e: Id
    s: Seq
    t: Millis
    kind: Id
    thing: Name
    unit: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    product: Name | None = None
    count: Count | None = None
    state: Name | None = None
    order: Name | None = None
    step: Name | None = None
    start: Millis | None = None
    qty: Number | None = None
    text: Text | None = None


class Gap(Payload, frozen=True, kw_only=True):
    """Numbers `from`..`to` (both included) that will never come, and why. Has a number of its own.

    `by` is "ingest" in the rows that ingest writes itself for a number it had to reject for good
    (then `s` is the rejected number).
    """

    e: Id
    s: Seq
    from_: Seq = msgspec.field(name="from")
    to: Seq
    why: Text
    by: Text | None = None


class Ack(Payload, frozen=True, kw_only=True):
    """Committed watermark: all up to `hw` is safe; `holes` are the missing ranges above it (lowest first)."""

    e: Id
    hw: Annotated[int, Meta(ge=-1, le=BIG)]
    holes: list[tuple[Seq, Seq]]
    ts: Millis


class Req(Payload, frozen=True, kw_only=True):
    """A request to a source, void after `expires`: replay numbers `from`..`to`, be born again, tell the time."""

    e: Id | None = None
    want: Literal["replay", "rebirth", "time"]
    from_: Seq | None = msgspec.field(name="from", default=None)
    to: Seq | None = None
    expires: Millis


class Cmd(Payload, frozen=True, kw_only=True):
    """A signed command: set control `target` to `value` between `not_before` and `expires`, for `lease_s` seconds.

    `to`, where present, is the topic root it is meant for; it is covered by the signature.
    `value` is an integer: the signed canonical form knows no fractions.
    """

    id: Id
    target: Name
    value: Annotated[int, Meta(ge=-BIG, le=BIG)]
    not_before: Millis
    expires: Millis
    lease_s: Annotated[int, Meta(ge=1, le=31_622_400)]
    state: Text
    rec: Text
    issuer: Text
    sig: Text
    to: Text | None = None


CMD_STEPS = ("received", "accepted", "executed", "rejected", "lease_ended")


class CmdAck(Payload, frozen=True, kw_only=True):
    """One step in the life of a command at the gateway; `read_back` is the value read from the plant."""

    e: Id
    s: Seq
    id: Id
    step: Literal["received", "accepted", "executed", "rejected", "lease_ended"]
    t: Millis
    read_back: Number | None = None
    reason: Text | None = None


class Supply(Payload, frozen=True, kw_only=True):
    """A document of ERP, MES or WMS, idempotent by (`doc`, `version`); the highest version holds.

    `stock` names the stock point counted or received at, `ref` the document it answers, `by` its system.
    `production_performance` (ISA-95) books good parts of `item` (a product, or the line) for the shift that ended.
    """

    doc: Name
    version: Annotated[int, Meta(ge=0, le=BIG)]
    kind: Literal[
        "purchase_order",
        "order_change",
        "shipment_notice",
        "goods_receipt",
        "stock_count",
        "customer_order",
        "bom_change",
        "production_performance",
    ]
    issued: Millis
    item: Name | None = None
    quantity: Number | None = None
    due: Millis | None = None
    supplier: Name | None = None
    stock: Name | None = None
    customer: Name | None = None
    ref: Name | None = None
    by: Name | None = None


class Gain(Payload, frozen=True, kw_only=True):
    """Promised gain: mean with its interval, and the probability `worse` that it harms."""

    mean: Number
    lo: Number
    hi: Number
    unit: Text
    worse: Annotated[float, Meta(ge=0, le=1)]


class RecMove(Payload, frozen=True, kw_only=True):
    """One setpoint of a recommendation."""

    control: Name
    from_: Number = msgspec.field(name="from")
    to: Number


class Rec(Payload, frozen=True, kw_only=True):
    """The recommendation now in force, advisory: nobody may act on it without a command.

    `moves`, where present, are all setpoints that it changes together; the first is `control`, `from` and `to`.
    """

    id: Id
    control: Name
    from_: Number = msgspec.field(name="from")
    to: Number
    gain: Gain
    expires: Millis
    moves: Annotated[list[RecMove], Meta(min_length=1, max_length=64)] | None = None


class TwinState(Payload, frozen=True, kw_only=True):
    """Whether the twin is listening (`_twin/state`); gateways buffer while it is not."""

    online: bool
    ts: Millis


TYPES: dict[str, type[Payload]] = {
    "birth": Birth,
    "status": Status,
    "data": Data,
    "event": Event,
    "gap": Gap,
    "hist": Data,
    "ack": Ack,
    "req": Req,
    "cmd": Cmd,
    "cmdack": CmdAck,
    "supply": Supply,
    "rec": Rec,
    "state": TwinState,
}
"""Payload type by kind; a kind is the topic suffix of the same name."""

NUMBERED = frozenset({"data", "event", "gap", "hist", "cmdack"})
"""Kinds that take a number of the source's one sequence."""

_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {k: msgspec.json.Decoder(t) for k, t in TYPES.items()}
_ENCODER = msgspec.json.Encoder()


class Envelope(msgspec.Struct, frozen=True):
    """What every numbered payload has: epoch and number."""

    e: str
    s: int


def encode(payload: Payload) -> bytes:
    """The payload as JSON bytes (raises WireError too_big above `MAX_BYTES`)."""
    body = _ENCODER.encode(payload)
    if len(body) > MAX_BYTES:
        raise WireError("too_big", f"{type(payload).__name__} of {len(body)} bytes, at most {MAX_BYTES} are allowed")
    return body


def parse(kind: str, body: bytes, limit: int = MAX_BYTES) -> Any:
    """Decode `body` as the payload of `kind` (a key of `TYPES`) or raise WireError; returns the struct."""
    if len(body) > limit:
        raise WireError("too_big", f"{len(body)} bytes, at most {limit} are allowed")
    try:
        payload = _DECODERS[kind].decode(body)
    except msgspec.ValidationError as error:
        raise WireError(_validation_reason(str(error)), str(error)) from None
    except RecursionError:
        raise WireError("too_deep", "nested deeper than any payload of ours") from None
    except UnicodeDecodeError as error:
        raise WireError("not_utf8", f"byte {error.start} is not UTF-8") from None
    except msgspec.DecodeError as error:
        raise WireError(_decode_reason(body, str(error)), str(error)) from None
    check = _CHECKS.get(kind)
    if check is not None:
        check(payload)
    return payload


def _validation_reason(message: str) -> str:
    if "matching regex" in message:
        return "bad_id"
    if "out of range" in message or "`int` >" in message or "`int` <" in message or "`float`" in message[:30]:
        return "wrong_type" if ", got `" in message else "bad_number"
    return "wrong_type"


def _decode_reason(body: bytes, message: str) -> str:
    try:
        body.decode()
    except UnicodeDecodeError:
        return "not_utf8"
    if "out of range" in message:
        return "bad_number"
    stripped = body.strip()
    if any(word in stripped for word in (b"NaN", b"Infinity", b":nan", b":inf")):
        return "bad_number"
    return "not_json"


def _check_columns(data: Data) -> None:
    n = len(data.i)
    if not n == len(data.dt) == len(data.v) == len(data.q):
        found = f"i {n}, dt {len(data.dt)}, v {len(data.v)}, q {len(data.q)}"
        raise WireError("columns", f"columns must have one length, found {found}")


def _check_gap(gap: Gap) -> None:
    if not (gap.from_ <= gap.to < gap.s or (gap.by == "ingest" and gap.from_ == gap.to == gap.s)):
        raise WireError("bad_range", f"gap {gap.from_}..{gap.to} must lie below its own number {gap.s}")


def _check_birth(birth: Birth) -> None:
    if len({tag.i for tag in birth.tags}) != len(birth.tags):
        raise WireError("columns", "two tags of the birth have the same alias i")
    if len({tag.name for tag in birth.tags}) != len(birth.tags):
        raise WireError("columns", "two tags of the birth have the same name")


def _check_hist(data: Data) -> None:
    _check_columns(data)
    if data.h != 1:
        raise WireError("wrong_type", 'history must carry "h":1')


def _check_req(req: Req) -> None:
    if req.want == "replay" and (req.e is None or req.from_ is None or req.to is None or req.from_ > req.to):
        raise WireError("bad_range", "a replay request needs e and from <= to")


def _check_cmd(cmd: Cmd) -> None:
    if cmd.not_before >= cmd.expires:
        raise WireError("bad_range", f"not_before {cmd.not_before} must be before expires {cmd.expires}")


def _check_rec(rec: Rec) -> None:
    if rec.moves is None:
        return
    first = rec.moves[0]
    if (first.control, first.from_, first.to) != (rec.control, rec.from_, rec.to):
        raise WireError("bad_range", f"moves: the first must be {rec.control}, as `control` says; it is {first}")
    if len({move.control for move in rec.moves}) != len(rec.moves):
        raise WireError("columns", "two moves of the recommendation have the same control")


_CHECKS: dict[str, Any] = {
    "data": _check_columns,
    "hist": _check_hist,
    "gap": _check_gap,
    "birth": _check_birth,
    "req": _check_req,
    "cmd": _check_cmd,
    "rec": _check_rec,
}
