"""Reading a raw value: numbers in texts, a field of JSON, bits of a word."""

from __future__ import annotations

import math
import re
from typing import Any

import msgspec

from ingest.mapping import Raw, Source

BIG = 2**53
_DIGITS = re.compile(r"[+-]?\d{1,20}")
_TRUE, _FALSE = ("true", "on", "yes"), ("false", "off", "no")


class UnreadableError(ValueError):
    """A raw value that a rule cannot take; the text says what was expected and found."""


def key_of(value: float | str) -> str:
    """The text by which a value is looked up in a list of codes: `5` for 5 and 5.0, words in lower case."""
    if isinstance(value, str):
        return value.strip().lower()
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def number(value: float | str) -> float:
    """A finite number within +-2^53; texts are read, `on` and `true` are 1."""
    if isinstance(value, str):
        lowered = value.strip().lower()
        if lowered in _TRUE or lowered in _FALSE:
            return float(lowered in _TRUE)
        try:
            value = float(lowered)
        except ValueError:
            raise UnreadableError(f"expected a number, found {lowered[:60]!r}") from None
    if not math.isfinite(value) or abs(value) > BIG:
        raise UnreadableError(f"expected a finite number within +-2^53, found {str(value)[:40]}")
    return float(value)


def whole(value: float | str) -> int:
    """A whole number of up to 64 bits (a float holds only those within +-2^53)."""
    if isinstance(value, str) and _DIGITS.fullmatch(value.strip()):
        value = int(value)
    if isinstance(value, int):
        return _in_64_bits(value)
    found = number(value)
    if not found.is_integer():
        raise UnreadableError(f"expected a whole number, found {found:g}")
    return int(found)


def _in_64_bits(value: int) -> int:
    if not -(2**63) <= value < 2**64:
        raise UnreadableError(f"expected a number of up to 64 bits, found {str(value)[:24]}...")
    return value


def look(source: Source, raw: Raw) -> float | str:
    """What the source sees in a raw value: a number (truth is 1 or 0) or a text. Raises UnreadableError."""
    value = _plain(raw, source.field)
    if source.low is not None:
        bits = (whole(value) >> source.low) & ((1 << source.width) - 1)
        if source.signed and bits >> (source.width - 1):
            bits -= 1 << source.width
        value = float(bits)
    if source.equals is not None:
        value = float(key_of(value) == source.equals)
    if source.negate:
        value = float(number(value) == 0)
    return value


def truth(source: Source, raw: Raw) -> float:
    """1.0 where the source sees anything but zero, else 0.0."""
    return float(number(look(source, raw)) != 0)


def _plain(raw: Raw, path: tuple[str, ...]) -> float | str:
    if isinstance(raw, bytes):
        try:
            raw = raw.decode()
        except UnicodeDecodeError:
            raise UnreadableError("expected UTF-8 text, found other bytes") from None
    found: Any = raw
    if path:
        found = _picked(raw, path)
    if isinstance(found, bool):
        return float(found)
    if isinstance(found, int):
        return _in_64_bits(found)
    if isinstance(found, float):
        return number(found)
    if isinstance(found, str):
        return found
    raise UnreadableError(f"expected a number or a text, found {type(found).__name__} {str(found)[:60]!r}")


def _picked(raw: Raw, path: tuple[str, ...]) -> Any:
    """The field of a JSON text; digits step into a list."""
    try:
        found: Any = msgspec.json.decode(raw if isinstance(raw, str) else str(raw))
    except (msgspec.DecodeError, RecursionError) as error:
        raise UnreadableError(
            f"expected JSON with the field {'.'.join(path)}, found {str(raw)[:60]!r} ({error})"
        ) from None
    for key in path:
        if isinstance(found, dict) and key in found:
            found = found[key]
        elif isinstance(found, list) and key.isdigit() and int(key) < len(found):
            found = found[int(key)]
        else:
            raise UnreadableError(f"expected the field {'.'.join(path)}, found none in {str(raw)[:80]!r}")
    return found
