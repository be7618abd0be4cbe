"""Stable-Baselines3 zips: a genuine one gives the same policy, a hostile one runs nothing.

Every hostile zip carries a payload that makes a file when it is unpickled (one test shows that it would), and every
test looks for that file afterwards.
"""

from __future__ import annotations

import base64
import io
import json
import os
import pickle  # noqa: TID251 - the tests make what the product must never open
import stat
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3 import PPO
from typer.testing import CliRunner

from agents.bundles import bundle, sb3zip, torchfile
from agents.bundles.sb3bundle import import_zip
from agents.bundles.sb3zip import read_zip
from agents.bundles.torchfile import read_state
from agents.commands_policy import policy
from agents.control.controllers import controller
from agents.envs.env import PlantVectorEnv
from agents.envs.grid import Grid
from agents.envs.schema import Observer
from agents.errors import BundleError
from agents.training.lanes import Lanes
from sim.compile import Compiled
from sim.kernel import new_rows, run
from tests.plants import TWO_MOTORS

Members = dict[str, bytes]


class Payload:
    """Runs a shell command when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.marker}",)


@pytest.fixture(scope="module")
def model(two_motors: Compiled) -> PPO:
    torch.set_num_threads(1)
    lanes = Lanes(PlantVectorEnv(4, two_motors, reward_unit=1.0, max_episode_steps=20), centre=0.0, scale=100.0)
    made = PPO(
        "MlpPolicy", lanes, n_steps=8, batch_size=16, n_epochs=2, seed=1, device="cpu", learning_rate=0.01,
        policy_kwargs={"net_arch": [24, 8], "activation_fn": torch.nn.Tanh},
    )  # fmt: skip
    made.learn(64)
    return made


@pytest.fixture(scope="module")
def genuine(model: PPO, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sb3") / "model.zip"
    model.save(path)
    return path


@pytest.fixture
def members(genuine: Path) -> Members:
    with zipfile.ZipFile(genuine) as file:
        return {name: file.read(name) for name in file.namelist()}


@pytest.fixture
def marker(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "marker"
    yield path
    assert not path.exists(), "the payload was run"


def zipped(path: Path, members: Members, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def saved(state: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def read(path: Path, compiled: Compiled) -> sb3zip.Read:
    return read_zip(path, Observer(compiled).size, tuple(int(n) for n in Grid(compiled.plant).counts))


def refused(path: Path, compiled: Compiled, *words: str) -> None:
    with pytest.raises(BundleError) as told:
        read(path, compiled)
    for word in (str(path), *words):
        assert word in str(told.value), str(told.value)


def test_the_payload_would_run_when_unpickled(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Payload(tmp_path / "ran")))
    assert (tmp_path / "ran").exists()


# --- genuine ------------------------------------------------------------------------------------------------------


def test_a_genuine_zip_gives_the_same_logits_and_the_same_actions(
    model: PPO, genuine: Path, two_motors: Compiled, tmp_path: Path
) -> None:
    done = import_zip(genuine, two_motors, tmp_path / "bundle")
    loaded = bundle.load(tmp_path / "bundle", Observer(two_motors).hash, (Grid(two_motors.plant).hash,))
    assert loaded.name == done.name
    rng = np.random.Generator(np.random.PCG64(3))
    x = rng.uniform(-10, 10, (256, Observer(two_motors).size)).astype(np.float32)
    net: Any = model.policy
    with torch.no_grad():
        features = net.extract_features(torch.from_numpy(x))
        logits = net.action_net(net.mlp_extractor.forward_actor(features)).numpy()
    mine = loaded.network.logits(x)
    assert np.abs(mine - logits).max() <= 1e-6 * max(1.0, np.abs(logits).max())
    assert np.array_equal(loaded.network.decide(x), model.predict(x, deterministic=True)[0])
    rows = new_rows(two_motors, 5, 32)
    run(rows, two_motors, two_motors.ticks(40 * 3600))
    expected = Grid(two_motors.plant).decode(model.predict(Observer(two_motors)(rows), deterministic=True)[0])
    acted = controller(str(tmp_path / "bundle"), two_motors).act(rows)
    assert acted is not None
    assert np.array_equal(acted, expected)
    assert len(np.unique(expected, axis=0)) > 1, "the policy looks at the state"


def test_what_was_not_read_is_told(genuine: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        policy, ["import", str(genuine), "--plant", str(TWO_MOTORS), "--out", str(tmp_path / "b"), "--epoch", "2h"]
    )
    assert result.exit_code == 0, result.output
    assert "unsigned" in result.output
    assert "clip_range" in result.output
    about = bundle.load(tmp_path / "b")
    assert about.epoch_s == 7200.0
    assert "policy.optimizer.pth" in about.evidence["imported"]["members_not_read"]
    low, high = about.ranges
    assert (high > low).any(), "the ranges come from a run"
    assert "taken on trust" in (tmp_path / "b" / "card.md").read_text()


@pytest.mark.parametrize("missing", ["_stable_baselines3_version", "system_info.txt", "policy.optimizer.pth"])
def test_what_is_not_needed_may_be_missing(
    members: Members, two_motors: Compiled, tmp_path: Path, missing: str
) -> None:
    del members[missing]
    assert read(zipped(tmp_path / "m.zip", members), two_motors).network.counts


def test_the_tensors_are_those_that_torch_reads(members: Members) -> None:
    theirs = torch.load(io.BytesIO(members["policy.pth"]), weights_only=True)  # noqa: TID251 - to compare with
    mine = read_state("policy.pth", members["policy.pth"])
    assert set(mine) == set(theirs)
    for name, tensor in theirs.items():
        assert np.array_equal(mine[name], tensor.numpy())


def test_transposed_and_sliced_tensors_are_read_as_they_are() -> None:
    whole = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    state = read_state("x", saved(OrderedDict(t=whole.T, s=whole[1:, 1:3], v=whole[:, 1])))
    assert np.array_equal(state["t"], whole.numpy().T)
    assert np.array_equal(state["s"], whole.numpy()[1:, 1:3])
    assert np.array_equal(state["v"], whole.numpy()[:, 1])


# --- pickles in `data` --------------------------------------------------------------------------------------------


def serialized(marker: Path) -> str:
    return base64.b64encode(pickle.dumps(Payload(marker))).decode()


def test_a_crafted_clip_range_is_not_decoded(
    members: Members, two_motors: Compiled, tmp_path: Path, marker: Path
) -> None:
    data = json.loads(members["data"])
    for name in ("clip_range", "lr_schedule", "policy_class", "observation_space", "_last_obs"):
        data[name][":serialized:"] = serialized(marker)
    data["an_unknown_key"] = {":type:": "<class 'function'>", ":serialized:": serialized(marker)}
    members["data"] = json.dumps(data).encode()
    found = read(zipped(tmp_path / "m.zip", members), two_motors)
    assert {"clip_range", "lr_schedule", "an_unknown_key"} <= set(found.undecoded)
    import_zip(tmp_path / "m.zip", two_motors, tmp_path / "b")
    assert "an_unknown_key" in bundle.load(tmp_path / "b").evidence["imported"]["serialized_not_decoded"]


def changed(members: Members, key: str, field: str | None, value: Any) -> Members:
    data = json.loads(members["data"])
    if field is None:
        data[key] = value
    else:
        data[key][field] = value
    return {**members, "data": json.dumps(data).encode()}


FIELDS: dict[str, tuple[str, str | None, Any, tuple[str, ...]]] = {
    "activation": (
        "policy_kwargs",
        "activation_fn",
        "<class 'torch.nn.modules.activation.ReLU'>",
        ("expected", "ReLU"),
    ),
    "extractor": ("policy_kwargs", "features_extractor_class", "<class 'own.Net'>", ("FlattenExtractor", "own.Net")),
    "serialized extractor": (
        "policy_kwargs",
        "features_extractor_class",
        {":serialized:": "gA=="},
        ("serialized class",),
    ),
    "widths": ("policy_kwargs", "net_arch", [64, 64], ("expected net_arch [24, 8]", "found [64, 64]")),
    "shape": ("observation_space", "_shape", [3], ("observation_space: expected shape [", "found [3]")),
    "actions": ("action_space", "nvec", "[2 2]", ("action_space: expected [", "found [2, 2]")),
    "sde": ("use_sde", None, True, ("expected use_sde false, found True",)),
}


@pytest.mark.parametrize("what", sorted(FIELDS))
def test_a_policy_that_does_not_fit_is_refused(
    members: Members, two_motors: Compiled, tmp_path: Path, what: str
) -> None:
    key, field, value, told = FIELDS[what]
    refused(zipped(tmp_path / "m.zip", changed(members, key, field, value)), two_motors, "data", *told)


def test_spaces_that_are_not_told_are_named(members: Members, two_motors: Compiled, tmp_path: Path) -> None:
    bare = changed(changed(members, "observation_space", None, None), "action_space", None, {":serialized:": "gA=="})
    found = read(zipped(tmp_path / "m.zip", bare), two_motors)
    assert found.unchecked == ("the shape of its observations", "the numbers of its actions")


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"[" * 100_000, b"\x80\x04N."])
def test_data_that_is_no_object_is_refused(members: Members, two_motors: Compiled, tmp_path: Path, data: bytes) -> None:
    refused(zipped(tmp_path / "m.zip", {**members, "data": data}), two_motors, "data: expected")


def test_a_policy_for_another_plant_is_refused(genuine: Path, line3: Compiled) -> None:
    refused(genuine, line3, "observation_space: expected shape")


# --- policy.pth ---------------------------------------------------------------------------------------------------


def with_state(members: Members, state: Any) -> Members:
    return {**members, "policy.pth": saved(state)}


def test_a_malicious_policy_file_is_taken_apart_and_not_run(
    members: Members, two_motors: Compiled, tmp_path: Path, marker: Path
) -> None:
    state = OrderedDict(torch.load(io.BytesIO(members["policy.pth"]), weights_only=True))  # noqa: TID251
    state["log_std"] = Payload(marker)
    refused(
        zipped(tmp_path / "m.zip", with_state(members, state)), two_motors,
        "policy.pth", "expected tensors only", "posix.system", "nothing was run",
    )  # fmt: skip


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_no_protocol_of_pickle_gets_through(
    members: Members, two_motors: Compiled, tmp_path: Path, marker: Path, protocol: int
) -> None:
    hostile = pickle.dumps({"action_net.weight": Payload(marker)}, protocol)
    refused(zipped(tmp_path / "m.zip", {**members, "policy.pth": hostile}), two_motors, "expected a whole zip file")
    inner = reindexed(members["policy.pth"], hostile)
    with pytest.raises(BundleError, match=r"posix\.system|expected the opcodes of|expected a tensor") as told:
        read(zipped(tmp_path / "m.zip", {**members, "policy.pth": inner}), two_motors)
    assert "nothing was run" in str(told.value)


def reindexed(policy_file: bytes, index: bytes) -> bytes:
    """A torch file with another pickle in it."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(policy_file)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            new.writestr(name, index if name.endswith("data.pkl") else old.read(name))
    return out.getvalue()


OPCODES: dict[str, tuple[bytes, str]] = {
    "inst": (b"(S'touch x'\niposix\nsystem\n.", "found "),
    "obj": (b"(cposix\nsystem\nS'touch x'\no.", "posix.system"),
    "global": (b"cbuiltins\neval\n(S'1'\ntR.", "builtins.eval"),
    "stack global": (b"\x80\x04\x8c\x05posix\x8c\x06system\x93.", "STACK_GLOBAL"),
    "extension": (b"\x80\x02\x82\x01.", "EXT1"),
    "new object": (b"\x80\x02ccollections\nOrderedDict\n)\x81.", "NEWOBJ"),
    "call with arguments": (b"\x80\x02ccollections\nOrderedDict\nK\x01\x85R.", "found a call of"),
    "other torch": (b"\x80\x02ctorch\nload\n.", "torch.load"),
    "rebuild of nothing": (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(K\x01K\x02K\x03K\x04K\x05}tR.", "a storage"),
    "persistent": (b"\x80\x02K\x01Q.", "expected a storage of numbers"),
    "no dictionary": (b"\x80\x02K\x01.", "expected a dictionary of tensors, found int"),
    "nothing": (b"\x80\x02.", "expected a dictionary of tensors, found NoneType"),
    "number as tensor": (b"\x80\x02}X\x01\x00\x00\x00aK\x01s.", "expected a tensor, found int"),
    "number as name": (b"\x80\x02}K\x01K\x01s.", "expected names of tensors"),
    "empty stack": (b"\x80\x02\x85.", "expected 1 values on the stack"),
    "no mark": (b"\x80\x02t.", "expected a mark"),
    "unknown memo": (b"\x80\x02h\x07.", "a damaged one"),
    "no end": (b"\x80\x02}", "a damaged one"),
    "no opcode": (b"\xff", "a damaged one"),
    # 40 tuples, each of the one before twice: 80 bytes that would be printed as a million million
    "laughs": (b"\x80\x02K\x01" + b"".join(b"q%ch%c\x86" % (k, k) for k in range(40)) + b"Q.", "found a tuple of 2"),
    "laughing name": (
        b"\x80\x02}K\x01" + b"".join(b"q%ch%c\x86" % (k, k) for k in range(40)) + b"K\x01s.",
        "a tuple of 2",
    ),
}


@pytest.mark.parametrize("what", sorted(OPCODES))
def test_only_the_opcodes_of_tensors_are_understood(
    members: Members, two_motors: Compiled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.chdir(tmp_path)
    index, told = OPCODES[what]
    inner = reindexed(members["policy.pth"], index)
    refused(zipped(tmp_path / "m.zip", {**members, "policy.pth": inner}), two_motors, "policy.pth", told)
    assert not (tmp_path / "x").exists()


def tensor_of(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.zeros(shape)


def state_of(compiled: Compiled, **other: Any) -> dict[str, Any]:
    inputs, outputs = Observer(compiled).size, int(Grid(compiled.plant).counts.sum())
    state: dict[str, Any] = OrderedDict(
        {
            "mlp_extractor.policy_net.0.weight": tensor_of((24, inputs)),
            "mlp_extractor.policy_net.0.bias": tensor_of((24,)),
            "mlp_extractor.policy_net.2.weight": tensor_of((8, 24)),
            "mlp_extractor.policy_net.2.bias": tensor_of((8,)),
            "action_net.weight": tensor_of((outputs, 8)),
            "action_net.bias": tensor_of((outputs,)),
        }
    )
    for name, value in other.items():
        key = name.replace("__", ".")
        if value is None:
            del state[key]
        else:
            state[key] = value
    return state


STATES: dict[str, tuple[dict[str, Any], str]] = {
    "double": (
        {"action_net__bias": torch.zeros(3, dtype=torch.float64)},
        "expected float32 (FloatStorage), found Double",
    ),
    "half": ({"action_net__bias": torch.zeros(3, dtype=torch.float16)}, "found HalfStorage"),
    "three lengths": ({"action_net__bias": torch.zeros(2, 2, 2)}, "expected at most two lengths"),
    "expanded": ({"action_net__bias": torch.zeros(1).expand(100_000_000)}, "expected at most the 1 numbers"),
    "empty": ({"action_net__bias": torch.zeros(0)}, "expected at most the 0 numbers of its storage"),
    "shapes": ({"action_net__bias": torch.full((999,), float("nan"))}, "do not follow"),
    "continuous": ({"log_std": torch.zeros(2)}, "'log_std'; a policy with continuous actions"),
    "extractor": ({"features_extractor__cnn__0__weight": torch.zeros(2)}, "'features_extractor.cnn.0.weight'"),
    "no bias": ({"action_net__bias": None}, "found action_net.bias without the other"),
    "no head": ({"action_net__bias": None, "action_net__weight": None}, "found action_net.bias without the other"),
    "outputs": ({"action_net__weight": torch.zeros(3, 8)}, "found shape [3, 8]"),
    "inputs": ({"mlp_extractor__policy_net__0__weight": torch.zeros(24, 3)}, "found 3"),
    "no first layer": (
        {"mlp_extractor__policy_net__0__weight": None, "mlp_extractor__policy_net__0__bias": None},
        "expected layers 0, 2, 4, ... with tanh between them, found [2]",
    ),
    "list": ({"action_net__bias": [1.0]}, "found EMPTY_LIST"),
}


@pytest.mark.parametrize("what", sorted(STATES))
def test_tensors_that_are_no_policy_are_refused(
    members: Members, two_motors: Compiled, tmp_path: Path, what: str
) -> None:
    other, told = STATES[what]
    refused(
        zipped(tmp_path / "m.zip", with_state(members, state_of(two_motors, **other))), two_motors, "policy.pth", told
    )


def test_weights_that_are_not_numbers_are_refused(members: Members, two_motors: Compiled, tmp_path: Path) -> None:
    state = state_of(two_motors)
    state["action_net.bias"][0] = float("inf")
    refused(zipped(tmp_path / "m.zip", with_state(members, state)), two_motors, "policy.pth", "not finite")


def test_a_plain_pickle_of_old_torch_is_refused(
    members: Members, two_motors: Compiled, tmp_path: Path, marker: Path
) -> None:
    buffer = io.BytesIO()
    torch.save({"a": Payload(marker)}, buffer, _use_new_zipfile_serialization=False)
    refused(
        zipped(tmp_path / "m.zip", {**members, "policy.pth": buffer.getvalue()}),
        two_motors,
        "expected a whole zip file",
        "80 02",
    )


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("archive/byteorder", b"big", "expected little-endian numbers, found b'big'"),
        ("archive/data/0", b"1234", "bytes in its storage, found 4"),
        ("archive/code/run.py", b"x", "expected what torch.save writes"),
        ("other/version", b"3", "expected one folder, found ['archive', 'other']"),
    ],
)
def test_a_torch_file_with_other_members_is_refused(
    members: Members, two_motors: Compiled, tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    with zipfile.ZipFile(io.BytesIO(members["policy.pth"])) as old:
        inner = {member: old.read(member) for member in old.namelist()} | {name: content}
    zipped(tmp_path / "inner", inner)
    refused(zipped(tmp_path / "m.zip", {**members, "policy.pth": (tmp_path / "inner").read_bytes()}), two_motors, told)


# --- the zip itself -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["vec_normalize.pkl", "normalizer.pickle"])
def test_a_normaliser_is_refused_unread(
    members: Members, two_motors: Compiled, tmp_path: Path, marker: Path, name: str
) -> None:
    members[name] = pickle.dumps(Payload(marker))
    refused(zipped(tmp_path / "m.zip", members), two_motors, name, "found a pickle", "normaliser")


def test_an_unknown_member_is_refused(members: Members, two_motors: Compiled, tmp_path: Path) -> None:
    refused(
        zipped(tmp_path / "m.zip", {**members, "setup.py": b"x"}), two_motors, "setup.py", "expected one of _stable"
    )


@pytest.mark.parametrize("name", ["../policy.pth", "/policy.pth", "a/../../data", "C:data", "..\\data"])
def test_a_path_out_of_the_zip_is_refused(members: Members, two_motors: Compiled, tmp_path: Path, name: str) -> None:
    refused(zipped(tmp_path / "m.zip", {**members, name: b"x"}), two_motors, "leads out of it")


@pytest.mark.parametrize(
    ("mode", "told"), [(stat.S_IFLNK | 0o777, "found a symbolic link"), (stat.S_IFIFO | 0o600, "found something else")]
)
def test_links_in_the_zip_are_refused(
    members: Members, two_motors: Compiled, tmp_path: Path, mode: int, told: str
) -> None:
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as file:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16 if name == "policy.pth" else 0
            file.writestr(info, content)
    refused(tmp_path / "m.zip", two_motors, "policy.pth", told)


@pytest.mark.filterwarnings("ignore:Duplicate name")  # zipfile warns the one who writes it
def test_a_name_that_occurs_twice_is_refused(members: Members, two_motors: Compiled, tmp_path: Path) -> None:
    del members["system_info.txt"]
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
        file.writestr("policy.pth", b"other")
    refused(tmp_path / "m.zip", two_motors, "policy.pth", "twice")


def test_a_bomb_is_refused_before_it_is_unpacked(members: Members, two_motors: Compiled, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            if name != "policy.pth":
                file.writestr(name, content)
        with file.open("policy.pth", "w", force_zip64=True) as bomb:
            for _ in range(torchfile.MOST_BYTES // (1 << 20) + 1):
                bomb.write(bytes(1 << 20))
    assert (tmp_path / "m.zip").stat().st_size < 1 << 20
    refused(tmp_path / "m.zip", two_motors, f"expected at most {torchfile.MOST_BYTES} bytes unpacked")


@pytest.mark.parametrize("claims", [10, 1 << 20])
def test_a_member_that_lies_about_its_size_is_refused(
    members: Members, two_motors: Compiled, tmp_path: Path, claims: int
) -> None:
    """`data` unpacks to a megabyte of spaces and says 10 bytes, or the other way round."""
    members["data"] = b" " * (1 << 20 if claims == 10 else 10)
    path = zipped(tmp_path / "m.zip", members, zipfile.ZIP_DEFLATED)
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\x01\x02")
    while content[at + 46 : at + 50] != b"data":
        at = content.index(b"PK\x01\x02", at + 4)
    content[at + 24 : at + 28] = struct.pack("<I", claims)
    path.write_bytes(content)
    refused(path, two_motors, "'data'")


def test_sizes_and_counts_have_limits(
    members: Members, two_motors: Compiled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = {f"m{k}": b"" for k in range(17)}
    refused(zipped(tmp_path / "m.zip", many), two_motors, "expected at most 16 members, found 17")
    path = zipped(tmp_path / "m.zip", members)
    monkeypatch.setattr(sb3zip, "MOST_DATA", 100)
    refused(path, two_motors, "data: expected at most 100 bytes")
    monkeypatch.setattr(sb3zip, "MOST_ZIP", 1000)
    refused(path, two_motors, "expected at most 1000 bytes, found more")


def test_encrypted_and_oddly_packed_members_are_refused(members: Members, two_motors: Compiled, tmp_path: Path) -> None:
    refused(zipped(tmp_path / "m.zip", members, zipfile.ZIP_BZIP2), two_motors, "found compression 12")
    content = bytearray(zipped(tmp_path / "m.zip", members).read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "m.zip").write_bytes(content)
    refused(tmp_path / "m.zip", two_motors, "encrypted")


@pytest.mark.parametrize("part", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused(genuine: Path, two_motors: Compiled, tmp_path: Path, part: float) -> None:
    content = genuine.read_bytes()
    (tmp_path / "m.zip").write_bytes(content[: int(part * len(content))])
    refused(tmp_path / "m.zip", two_motors, "expected a whole zip file, found none or a part of one")


def test_a_damaged_member_is_refused(genuine: Path, two_motors: Compiled, tmp_path: Path) -> None:
    content = bytearray(genuine.read_bytes())
    content[content.index(b"archive/data/4") + 200] ^= 255
    (tmp_path / "m.zip").write_bytes(content)
    refused(tmp_path / "m.zip", two_motors, "policy.pth", "damaged")


def test_what_is_not_there_gets_a_sentence(two_motors: Compiled, tmp_path: Path) -> None:
    refused(tmp_path / "none.zip", two_motors, "cannot be read")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_damage_gets_past_as_anything_but_a_sentence(data: st.DataObject) -> None:
    whole = saved(OrderedDict(a=torch.arange(6, dtype=torch.float32).reshape(2, 3), b=torch.zeros(2)))
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        state = read_state("x", bytes(content))
    except BundleError:
        return
    assert sum(a.size for a in state.values()) <= 16
