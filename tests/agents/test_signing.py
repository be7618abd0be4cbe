"""Who vouches for a bundle, and what is refused: each with the file, what was expected and what was found."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from agents.bundles import bundle, bundlefiles, onnxexport, onnxpolicy, torchfile
from agents.bundles.bundlefiles import SIGNATURE, sha256
from agents.bundles.tensorfile import MOST_TENSORS, unpack
from agents.commands import advise
from agents.commands_policy import policy
from agents.control.controllers import controller
from agents.errors import BundleError, SchemaError
from ingest.keys import KeyFileError, make_keys, read_private, read_public
from sim.compile import Compiled
from tests.agents.test_bundle import write

KEY, STRANGER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
PUBLIC = KEY.public_key()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, line3: Compiled) -> Path:
    folder = tmp_path_factory.mktemp("plain") / "bundle"
    write(folder, line3)
    return folder


@pytest.fixture
def signed(plain: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    shutil.copytree(plain, folder)
    (folder / "rule.json").write_text("{}")
    bundle.sign(folder, KEY)
    return folder


def refused(folder: Path, *words: str, signer: Any = PUBLIC) -> None:
    with pytest.raises(BundleError) as told:
        bundle.load(folder, signer=signer)
    for word in (*words, "expected", "found"):
        assert word in str(told.value), str(told.value)


def test_a_signed_bundle_says_who_vouches(signed: Path, plain: Path) -> None:
    loaded = bundle.load(signed, signer=PUBLIC)
    assert loaded.signature is not None
    assert loaded.signature.known
    assert loaded.vouched.startswith("signed by ed25519:")
    anybody = bundle.load(signed)
    assert anybody.vouched == loaded.vouched + " (not checked against a key of yours)"
    assert bundle.load(plain).vouched == "unsigned"
    assert bundle.load(plain).name == loaded.name, "a signature does not change what is signed"


def test_a_signature_can_be_required(plain: Path, signed: Path) -> None:
    refused(plain, SIGNATURE, "plantwin policy sign")
    refused(signed, SIGNATURE, signer=STRANGER.public_key())


@pytest.mark.parametrize("file", ["policy.safetensors", "policy.json", "evidence.json", "card.md", "rule.json"])
@pytest.mark.parametrize("how", ["changed", "removed", "link", "folder"])
def test_every_file_is_covered(signed: Path, tmp_path: Path, file: str, how: str) -> None:
    path = signed / file
    content = path.read_bytes()
    path.unlink()
    if how == "changed":
        path.write_bytes(content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])
    elif how == "link":
        (tmp_path / "elsewhere").write_bytes(content)
        path.symlink_to(tmp_path / "elsewhere")
    elif how == "folder":
        path.mkdir()
    if how in {"removed", "changed"}:
        refused(signed, file)
    else:
        with pytest.raises(BundleError, match=f"{file}: expected a file, found"):
            bundle.load(signed)


def test_a_pipe_is_not_waited_for(plain: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(plain, folder)
    (folder / "card.md").unlink()
    os.mkfifo(folder / "card.md")
    refused(folder, "card.md", signer=None)


def test_nothing_may_lie_beside_a_signed_bundle(signed: Path, plain: Path) -> None:
    (signed / "policy.pkl").write_bytes(b"\x80\x04K\x01.")
    refused(signed, "policy.pkl", "remove it")
    (plain / "policy.pkl").write_bytes(b"\x80\x04K\x01.")
    try:
        assert bundle.load(plain).signature is None, "beside an unsigned one it is not opened"
    finally:
        (plain / "policy.pkl").unlink()


SPOILED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "format": lambda m: m | {"format": 2},
    "name": lambda m: m | {"name": "sha256:0"},
    "hash": lambda m: m | {"files": {**m["files"], "card.md": sha256(b"other")}},
    "path": lambda m: m | {"files": {**m["files"], "../outside": sha256(b"")}},
    "missing": lambda m: m | {"files": {k: v for k, v in m["files"].items() if k != "card.md"}},
    "list": lambda m: m | {"files": list(m["files"])},
    "signer": lambda m: m | {"signer": "ed25519:AAAA"},
    "scheme": lambda m: m | {"signature": "rsa:" + m["signature"]},
    "base64": lambda m: m | {"signature": "ed25519:?"},
    "number": lambda m: m | {"signature": 5},
    "more": lambda m: m | {"comment": "trust me"},
    "swapped": lambda m: m | {"signature": "ed25519:" + "A" * 86 + "=="},
}


@pytest.mark.parametrize("how", sorted(SPOILED))
def test_a_changed_manifest_is_refused(signed: Path, how: str) -> None:
    path = signed / SIGNATURE
    path.write_text(json.dumps(SPOILED[how](json.loads(path.read_text()))))
    with pytest.raises(BundleError, match=SIGNATURE) as told:
        bundle.load(signed)
    assert "found" in str(told.value)


def test_a_manifest_signed_by_a_stranger_is_refused_where_a_key_is_asked_for(signed: Path) -> None:
    (signed / "card.md").write_text("# better\n")
    bundle.sign(signed, STRANGER)
    assert bundle.load(signed).signature is not None
    refused(signed, SIGNATURE, "your site's key")


def test_a_folder_called_by_a_hash_must_be_it(plain: Path, tmp_path: Path) -> None:
    out, named = bundle.sign(plain, KEY, tmp_path)
    assert out == tmp_path / named.name.removeprefix("sha256:")
    assert bundle.load(out, signer=PUBLIC).name == named.name
    assert not (plain / SIGNATURE).exists()
    other = tmp_path / ("0" * 64)
    out.rename(other)
    refused(other, named.name)


def test_only_whole_plain_folders_are_signed(plain: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(plain, folder)
    (folder / "seed-0").mkdir()
    with pytest.raises(BundleError, match=r"seed-0.*--out DIR"):
        bundle.sign(folder, KEY)
    assert bundle.sign(folder, KEY, tmp_path / "out")[1].vouched.startswith("signed")
    (folder / "seed-0").rmdir()
    (folder / "odd name").write_text("")
    with pytest.raises(BundleError, match="odd name"):
        bundle.sign(folder, KEY)
    (folder / "odd name").unlink()
    (folder / "card.md").unlink()
    with pytest.raises(BundleError, match=r"card\.md"):
        bundle.sign(folder, KEY)
    shutil.copy(plain / "card.md", folder / "card.md")
    content = (folder / "policy.json").read_text()
    (folder / "policy.json").write_text(content.replace('"tanh"', '"relu"'))
    with pytest.raises(BundleError, match="changed"):
        bundle.sign(folder, KEY)
    assert not (folder / SIGNATURE).exists()


def test_a_bundle_written_anew_has_no_old_signature(signed: Path, line3: Compiled) -> None:
    write(signed, line3, seed=1)
    assert bundle.load(signed).vouched == "unsigned"


def test_sizes_and_counts_have_limits(plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(plain, folder)
    with (folder / "evidence.json").open("ab") as file:
        file.truncate(bundlefiles.MOST_TEXT + 1)
    with pytest.raises(BundleError, match=r"evidence\.json: larger than 4194304 bytes \(found 4194305\)"):
        bundle.load(folder)
    monkeypatch.setattr(bundlefiles, "MOST_FILES", 3)
    refused(plain, "at most 3 files", signer=None)


# --- policy.safetensors -------------------------------------------------------------------------------------------


def tensor_file(header: Any, numbers: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + numbers


def entry(shape: list[Any], begin: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


TENSORS: dict[str, tuple[bytes, str]] = {
    "wrong dtype": (tensor_file({"a": entry([2], 0, 16, "F64")}, bytes(16)), "'a': expected dtype F32, found 'F64'"),
    "half": (tensor_file({"a": entry([2], 0, 4, "BF16")}, bytes(4)), "expected dtype F32, found 'BF16'"),
    "shape too large": (tensor_file({"a": entry([9], 0, 16)}, bytes(16)), "expected 36 bytes for shape [9], found 16"),
    "shape huge": (tensor_file({"a": entry([1 << 39, 1 << 39], 0, 16)}, bytes(16)), "found 16"),
    "three lengths": (tensor_file({"a": entry([1, 2, 2], 0, 16)}, bytes(16)), "one or two lengths, found [1, 2, 2]"),
    "empty": (tensor_file({"a": entry([0, 4], 0, 0)}, b""), "found [0, 4]"),
    "negative": (tensor_file({"a": entry([-1, -4], 0, 16)}, bytes(16)), "found [-1, -4]"),
    "text": (tensor_file({"a": entry(["4"], 0, 16)}, bytes(16)), "found ['4']"),
    "past the end": (tensor_file({"a": entry([4], 0, 16)}, bytes(12)), "expected 16 bytes of numbers"),
    "rest": (tensor_file({"a": entry([4], 0, 16)}, bytes(20)), "as the header says, found 20"),
    "overlap": (tensor_file({"a": entry([4], 0, 16), "b": entry([4], 8, 24)}, bytes(24)), "'b': expected its numbers"),
    "gap": (tensor_file({"a": entry([4], 4, 20)}, bytes(20)), "expected its numbers at byte 0"),
    "twice": (tensor_file(b'{"a":1,"a":1}', b""), "'a' occurs twice"),
    "no tensors": (tensor_file({}, b""), "expected 1 to 64 tensors, found 0"),
    "many": (tensor_file({str(k): entry([1], 0, 4) for k in range(65)}, bytes(4)), "found 65"),
    "no entry": (tensor_file({"a": 5}, b""), "found 5"),
    "no object": (tensor_file([], b""), "its header is list"),
    "no JSON": (tensor_file(b"{", b""), "not a safetensors file"),
    "deep": (tensor_file(b"[" * 60_000, b""), "not a safetensors file"),
    "header too long": (struct.pack("<Q", 1 << 62) + b"{}", "expected a header of at most 2 bytes"),
    "header over limit": (tensor_file(b" " * 70_000, b""), "at most 65536 bytes, found one of 70000"),
    "short": (b"\x01", "not a safetensors file"),
    "not a number": (
        tensor_file({"a": entry([3], 0, 12)}, np.array([1, np.nan, np.inf], "<f4").tobytes()),
        "tensor a: expected finite numbers, found 2",
    ),
}


@pytest.mark.parametrize("what", sorted(TENSORS))
def test_a_header_that_lies_is_refused(what: str) -> None:
    content, told = TENSORS[what]
    with pytest.raises(BundleError) as caught:
        unpack(Path("policy.safetensors"), content)
    assert "policy.safetensors" in str(caught.value)
    assert told in str(caught.value)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_damage_gets_past_as_anything_but_a_sentence(data: st.DataObject) -> None:
    whole = tensor_file({"a": entry([2, 2], 0, 16), "b": entry([2], 16, 24)}, bytes(24))
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))]
    try:
        arrays = unpack(Path("policy.safetensors"), bytes(content))
    except BundleError:
        return
    assert sum(a.nbytes for a in arrays.values()) <= 24
    assert all(np.isfinite(a).all() for a in arrays.values())


# --- policy.json --------------------------------------------------------------------------------------------------


def respecified(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change policy.json and make evidence.json agree, as someone who writes a bundle by hand can."""
    spec = json.loads((folder / "policy.json").read_text())
    change(spec)
    (folder / "policy.json").write_text(json.dumps(spec))
    evidence = json.loads((folder / "evidence.json").read_text())
    evidence["files"]["policy.json"] = sha256((folder / "policy.json").read_bytes())
    (folder / "evidence.json").write_text(json.dumps(evidence))


SPECS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no action": (lambda s: s.pop("action"), "missing required field `action`"),
    "no controls": (lambda s: s["action"].update(controls=[]), "length >= 1"),
    "count": (lambda s: s["action"]["controls"][0].update(count=11), "10 outputs for grids of"),
    "huge count": (lambda s: s["action"]["controls"][0].update(count=1 << 40), "<= 100000"),
    "text": (lambda s: s.update(epoch_s="3600"), "got `str`"),
    "no interval": (lambda s: s.update(epoch_s=0), "> 0.0"),
    "infinite": (lambda s: s["observation"]["scaling"]["scale"].__setitem__(0, float("nan")), "NaN"),
    "too large": (lambda s: s["observation"]["scaling"]["scale"].__setitem__(0, 1e300), "numbers of float32"),
    "larger": (lambda s: s["observation"]["scaling"]["scale"].__setitem__(0, 10**400), "out of range"),
    "decide": (lambda s: s.update(decide="sometimes"), "'sometimes'"),
    "activation": (lambda s: s["architecture"].update(activation="relu"), "'relu'"),
    "widths": (lambda s: s["architecture"].update(widths=[8, 10]), "expected layers of [8, 10] as policy.json says"),
    "fields": (lambda s: s["observation"]["fields"].pop(), "expected a range for each of 24 fields, found 25"),
    "shift": (lambda s: s["observation"]["scaling"]["shift"].pop(), "as many scales as shifts"),
    "list": (lambda s: s.update(observation=[]), "got `array`"),
}


@pytest.mark.parametrize("what", sorted(SPECS))
def test_a_policy_json_that_lies_is_refused(plain: Path, tmp_path: Path, what: str) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(plain, folder)
    change, told = SPECS[what]
    respecified(folder, change)
    with pytest.raises(BundleError) as caught:
        bundle.load(folder)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"epoch_s": 1e-9}, r"expected decisions every 0\.001 s .*found 1e-09"),
        ({"epoch_s": 1e12}, "a year"),
        ({"decide": "events", "decide_on": ["never"]}, "never"),
        ({"decide": "interval", "decide_on": ["failure"]}, "expected decide='events'"),
    ],
)
def test_an_interval_that_would_never_end_is_refused(
    plain: Path, line3: Compiled, tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(plain, folder)
    respecified(folder, lambda spec: spec.update(change))
    with pytest.raises(SchemaError, match=told):
        controller(str(folder), line3)


def test_evidence_that_is_no_object_is_refused(plain: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(plain, folder)
    for text in ("[]", '{"files": 5}', "[" * 100_000):
        (folder / "evidence.json").write_text(text)
        with pytest.raises(BundleError):
            bundle.load(folder)


# --- the command --------------------------------------------------------------------------------------------------


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(policy, [str(a) for a in arguments])
    return result.exit_code, result.output


def test_sign_verify_and_show_from_the_command_line(plain: Path, tmp_path: Path) -> None:
    private, public = make_keys(tmp_path)
    (tmp_path / "other").mkdir()
    _, other = make_keys(tmp_path / "other")
    folder = tmp_path / "bundle"
    shutil.copytree(plain, folder)
    code, said = run("verify", folder)
    assert code == 1
    assert "nobody vouches" in said
    assert "unsigned" in run("show", folder)[1]
    code, said = run("sign", folder, "--key", private)
    assert code == 0, said
    assert run("verify", folder)[0] == 0
    code, said = run("verify", folder, "--key", public)
    assert code == 0
    assert "signed by ed25519:" in said
    code, said = run("verify", folder, "--key", other)
    assert code == 1
    assert "ask for a bundle that was signed with your site's key" in said
    about = json.loads(run("show", folder, "--json")[1])
    assert about["vouched"].startswith("signed by")
    assert (about["plant"], about["controls"]) == ("line3", ["cap"])
    assert run("sign", folder, "--key", public)[0] == 1, "a public key signs nothing"


def test_show_prints_nothing_that_steers_a_terminal(plain: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(plain, folder)
    evidence = json.loads((folder / "evidence.json").read_text())
    evidence |= {"command": "a\x1b[2Jb", "verdicts": {"\x1b]0;x": {"sentence": "\r\n"}}}
    (folder / "evidence.json").write_text(json.dumps(evidence))
    code, said = run("show", folder)
    assert code == 0
    assert "made by a?[2Jb" in said
    assert "\x1b" not in said
    assert "\r" not in said


def test_keys_of_other_kinds_get_a_sentence(tmp_path: Path) -> None:
    private, public = make_keys(tmp_path)
    for read, path in ((read_public, private), (read_private, public), (read_public, tmp_path / "none")):
        with pytest.raises(KeyFileError, match=str(path)):
            read(path)


def test_advise_wants_a_key_that_is_one(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(advise)
    words = ["line3", "--twin", "http://127.0.0.1:9", "--require-signature", str(tmp_path / "none.pub")]
    told = CliRunner().invoke(app, words)
    assert told.exit_code == 1
    assert "no public key can be read" in told.output


def test_the_limits_on_the_page_are_those_in_force() -> None:
    page = (Path(__file__).parents[2] / "docs" / "agents.md").read_text(encoding="utf-8")
    page = page[page.index("## Policy bundles") :]
    mib = 1024 * 1024
    for said in (
        f"more than {bundlefiles.MOST_FILES} files, {bundlefiles.MOST_BYTES // mib} MiB of weights, ",
        f", {bundlefiles.MOST_TEXT // mib} MiB of any other file",
        f"more than {MOST_TENSORS} tensors",
        f"more than {torchfile.MOST_BYTES // mib} MiB unpacked",
        f"most\n  {onnxpolicy.MOST_BYTES // mib} MiB and {onnxpolicy.MOST_NODES:,} nodes",
        f"{onnxpolicy.MOST_NUMBERS / 1e6:.1f} million numbers for {onnxpolicy.BATCH} rows",
        f"opset {onnxexport.OPSET}",
    ):
        assert said in page, said
    listed = page[page.index("`metadata_props` carry") : page.index("The graph is written")]
    written = onnxexport.metadata(bundle.load(bundle.BUNDLED / "gearmotor"))
    named = [name.removeprefix("plantwin.") for name in re.findall(r"`([a-z_.]+)`", listed)[1:]]
    assert {f"plantwin.{name}" for name in named} | {"plantwin.format"} == set(written)


def test_the_shipped_bundle_is_loadable() -> None:
    shipped = bundle.load(bundle.BUNDLED / "gearmotor")
    assert shipped.name == shipped.evidence["name"]
    assert shipped.vouched == "unsigned"
