"""Faults as typed on the command line: `2h..3h`, `TAG=+1@2h..5h`, `5%`, `0.05:10min`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sim.units import QuantityError, seconds
from twin.faults import Bad


class FaultError(ValueError):
    """A fault that cannot be understood; one sentence."""


def time_of(text: str, option: str) -> float:
    """A duration as `90 min` in plant seconds."""
    try:
        return float(seconds(text)) if text.strip() != "0" else 0.0
    except QuantityError as error:
        raise FaultError(f"{option} {text}: {error}") from error


def share(text: str, option: str) -> float:
    """A share as `0.05` or `5 %`."""
    raw = text.strip()
    try:
        value = float(raw.removesuffix("%")) / (100 if raw.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise FaultError(f"{option} {text}: expected a share of the messages from 0 to 1, for example 0.05 or 5%")
    return value


def window(text: str, option: str) -> tuple[float, float]:
    """`A..B`, both counted from the beginning of the log."""
    a, dots, b = text.partition("..")
    if not dots:
        raise FaultError(f"{option} {text}: expected BEGIN..END, for example 2h..3h, counted from the log's beginning")
    begin, end = time_of(a, option), time_of(b, option)
    if begin >= end:
        raise FaultError(f"{option} {text}: expected an end after the beginning")
    return begin, end


def late(text: str) -> tuple[float, float]:
    """`SHARE` or `SHARE:LONGEST`; by default at most 2 min late."""
    part, colon, longest = text.partition(":")
    return share(part, "--late"), time_of(longest, "--late") if colon else 120.0


def bad_sensors(stuck: Sequence[str], bias: Sequence[str], tags: Iterable[str]) -> tuple[Bad, ...]:
    """`TAG[@A..B]` of stuck, `TAG=+1[@A..B]` of biased sensors."""
    known, found = set(tags), []
    for option, texts in (("--stuck", stuck), ("--bias", bias)):
        for text in texts:
            what, at, when = text.partition("@")
            tag, equals, by = what.partition("=")
            a, b = window(when, option) if at else (0.0, float("inf"))
            if tag not in known:
                some = ", ".join(sorted(known)[:8])
                raise FaultError(f"{option} {text}: the plant file has no tag {tag!r}; it has {some or 'none'}, ..")
            if bool(equals) != (option == "--bias"):
                raise FaultError(f"{option} {text}: expected TAG for --stuck and TAG=+1 for --bias, perhaps with @A..B")
            try:
                found.append(Bad(tag, float(by) if equals else None, a, b))
            except ValueError:
                raise FaultError(f"{option} {text}: expected a number after =, found {by!r}") from None
    return tuple(found)
