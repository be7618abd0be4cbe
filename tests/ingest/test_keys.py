from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.keys import KeyFileError, canonical, load_private, load_public, make_keys, sign, signed_bytes, verify
from ingest.wire import Cmd, encode, parse

KEY = Ed25519PrivateKey.generate()
CMD = Cmd(
    id="c-1", target="cap", value=8, not_before=1, expires=9, lease_s=60, state="sha256:ab", rec="r-1",
    issuer="twin@demo", sig="",
)  # fmt: skip

texts = st.text(st.characters(codec="utf-8"))
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@given(json_values)
def test_canonical_form_means_the_same_and_does_not_depend_on_order(value: Any) -> None:
    form = canonical(value)
    assert json.loads(form) == value
    if isinstance(value, dict):
        assert canonical(dict(reversed(list(value.items())))) == form


def test_canonical_form_by_hand() -> None:
    """The sorting example of RFC 8785 (3.2.3): by UTF-16 code units, so the emoji comes before U+FB33."""
    value = {"\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew", "1": "One", "\U0001f600": "Emoji",
             "\x80": "Control", "\xf6": "Latin"}  # fmt: skip
    names = list(json.loads(canonical(value)))
    assert names == ["\r", "1", "\x80", "\xf6", "\u20ac", "\U0001f600", "\ufb33"]
    assert canonical({"b": '\u0001\n"\\/é', "a": [1, True, None]}) == (
        '{"a":[1,true,null],"b":"\\u0001\\n\\"\\\\/é"}'.encode()
    )


@pytest.mark.parametrize("value", [1.5, {"a": 2**53}, float("nan"), b"x", {1: 2}, "\ud800"])
def test_outside_of_the_subset_is_refused(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        canonical(value)


def test_a_signature_survives_the_wire() -> None:
    signed = sign(CMD, KEY)
    again = parse("cmd", encode(signed))
    assert again == signed
    assert verify(again, KEY.public_key())
    assert not verify(again, Ed25519PrivateKey.generate().public_key())


@settings(max_examples=60)
@given(
    field=st.sampled_from([f for f in Cmd.__struct_fields__ if f != "sig"]),
    text=st.text("abcdef0123456789-", min_size=1, max_size=8),
    number=st.integers(0, 10**6),
)
def test_any_changed_field_breaks_the_signature(field: str, text: str, number: int) -> None:
    signed = sign(CMD, KEY)
    new = number if isinstance(getattr(CMD, field), int) else text
    changed = msgspec.structs.replace(signed, **{field: new})
    assert verify(changed, KEY.public_key()) == (getattr(CMD, field) == new)


@pytest.mark.parametrize("sig", ["", "ed25519:", "ed25519:!!", "rsa:AAAA", "ed25519:" + "A" * 88])
def test_nonsense_is_no_signature(sig: str) -> None:
    assert not verify(msgspec.structs.replace(CMD, sig=sig), KEY.public_key())


def test_the_signature_covers_everything_but_itself() -> None:
    fields = json.loads(signed_bytes(sign(CMD, KEY)))
    assert set(fields) == set(Cmd.__struct_fields__) - {"sig", "to"}


def test_key_files(tmp_path: Path) -> None:
    private, public = make_keys(tmp_path)
    assert private.stat().st_mode & 0o777 == 0o600
    assert verify(sign(CMD, load_private(tmp_path)), load_public(tmp_path))
    before = private.read_bytes()
    with pytest.raises(FileExistsError, match="a key exists"):
        make_keys(tmp_path)
    assert private.read_bytes() == before
    with pytest.raises(KeyFileError, match="plantwin keys"):
        load_private(tmp_path / "no")
    public.write_text("rubbish")
    with pytest.raises(KeyFileError, match="no public key"):
        load_public(tmp_path)
