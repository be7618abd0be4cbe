"""The policy in a Stable-Baselines3 zip, read without running anything of it.

`PPO.load` unpickles what lies in the zip's `data` (`:serialized:`), which runs whatever its maker put there. Here only
the tensors of `policy.pth` are read (`agents.bundles.torchfile`), and of `data` only its plain JSON: what is serialized
there is never decoded, and named in the result. Files that are not SB3's are refused.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.bundles.bundlefiles import sha256
from agents.bundles.policy import Network
from agents.bundles.torchfile import MOST_BYTES, read_state
from agents.bundles.zipguard import Archive, Limits, read_limited
from agents.errors import BundleError

MOST_ZIP = 64 * 1024 * 1024
MOST_DATA = 4 * 1024 * 1024
MOST_MEMBERS = 16
MEMBERS = {
    "data", "policy.pth", "policy.optimizer.pth", "pytorch_variables.pth", "_stable_baselines3_version",
    "system_info.txt",
}  # fmt: skip
_NOT_READ = ("policy.optimizer.pth", "pytorch_variables.pth", "system_info.txt")
_LAYER = re.compile(r"mlp_extractor\.policy_net\.(\d{1,3})\.weight")
_USED = re.compile(r"mlp_extractor\.policy_net\.\d{1,3}\.(weight|bias)|action_net\.(weight|bias)")
_CRITIC = re.compile(r"mlp_extractor\.value_net\.\d{1,3}\.(weight|bias)|value_net\.(weight|bias)")
_TANH = "<class 'torch.nn.modules.activation.Tanh'>"
_FLATTEN = "FlattenExtractor"
_SERIALIZED = ":serialized:"


@dataclass(frozen=True, slots=True)
class Read:
    """What was found: the network, SB3's version as written there, the SHA-256 of the zip, the serialized values that
    were not decoded (their names), the members that were not read, and which facts could not be checked.
    """

    network: Network
    version: str
    sha256: str
    undecoded: tuple[str, ...]
    unread: tuple[str, ...]
    unchecked: tuple[str, ...]


def read_zip(path: Path, inputs: int, counts: tuple[int, ...]) -> Read:
    """The policy in an SB3 zip for observations of `inputs` numbers and controls of `counts` values each."""
    content = read_limited(path, MOST_ZIP)
    archive = Archive(str(path), content, Limits(MOST_MEMBERS, MOST_BYTES, _expected))
    data = _data(f"{path}, data", archive)
    unchecked = _check_data(f"{path}, data", data, inputs, counts)
    state = read_state(f"{path}, policy.pth", archive.read("policy.pth"))
    network = _network(f"{path}, policy.pth", state, inputs, counts)
    _check_widths(f"{path}, data", data, [w.shape[0] for w in network.weights[:-1]])
    version = "unknown"
    if "_stable_baselines3_version" in archive.members:
        version = archive.read("_stable_baselines3_version")[:40].decode("ascii", "replace").strip()
    undecoded = tuple(sorted(name for name, value in data.items() if _serialized(value)))
    unread = tuple(name for name in _NOT_READ if name in archive.members)
    return Read(network, version, sha256(content), undecoded, unread, tuple(unchecked))


def _expected(name: str) -> str:
    if name in MEMBERS:
        return ""
    if name.endswith((".pkl", ".pickle")):
        return (
            "expected only SB3's own members, found a pickle (a normaliser such as vec_normalize.pkl is one); it is "
            "not read, and a policy without its normaliser would see other numbers: train on observations scaled by "
            "the environment"
        )
    return f"expected one of {', '.join(sorted(MEMBERS))}"


def _data(where: str, archive: Archive) -> dict[str, Any]:
    info = archive.members.get("data")
    if info is not None and info.file_size > MOST_DATA:
        raise BundleError(f"{where}: expected at most {MOST_DATA} bytes, found {info.file_size}")
    try:
        data = json.loads(archive.read("data"))
    except (ValueError, RecursionError) as e:
        raise BundleError(f"{where}: expected JSON, found something else ({e!s:.200})") from e
    if not isinstance(data, dict):
        raise BundleError(f"{where}: expected a JSON object, found {type(data).__name__}")
    return data


def _check_data(where: str, data: dict[str, Any], inputs: int, counts: tuple[int, ...]) -> list[str]:
    """Compare what the plain fields say with what is expected; returns what they do not say."""
    unchecked = []
    if data.get("use_sde") not in {None, False}:
        raise BundleError(f"{where}: expected use_sde false, found {data['use_sde']!r:.40}; only discrete actions fit")
    kwargs = _plain(data, "policy_kwargs")
    activation = kwargs.get("activation_fn", _TANH)
    if activation != _TANH:
        raise BundleError(
            f"{where}, policy_kwargs: expected activation_fn {_TANH} (a bundle's networks are of tanh), found "
            f"{activation!r:.120}"
        )
    extractor = kwargs.get("features_extractor_class", _FLATTEN)
    if not isinstance(extractor, str | dict) or (isinstance(extractor, str) and _FLATTEN not in extractor):
        raise BundleError(f"{where}, policy_kwargs: expected {_FLATTEN}, found {extractor!r:.120}")
    if isinstance(extractor, dict):
        raise BundleError(f"{where}, policy_kwargs: expected {_FLATTEN}, found a serialized class, which is not read")
    shape = _numbers(_plain(data, "observation_space").get("_shape"))
    if shape is None:
        unchecked.append("the shape of its observations")
    elif shape != [inputs]:
        raise BundleError(f"{where}, observation_space: expected shape [{inputs}] for this plant, found {shape}")
    space = _plain(data, "action_space")
    told = _numbers(space.get("nvec", space.get("n")))
    if told is None:
        unchecked.append("the numbers of its actions")
    elif told != list(counts):
        raise BundleError(
            f"{where}, action_space: expected {list(counts)} values for this plant's controls, found {told}"
        )
    return unchecked


def _check_widths(where: str, data: dict[str, Any], hidden: list[int]) -> None:
    told = _plain(data, "policy_kwargs").get("net_arch")
    told = told.get("pi") if isinstance(told, dict) else told
    if isinstance(told, list) and told != hidden:
        raise BundleError(f"{where}, policy_kwargs: expected net_arch {hidden} as the tensors are, found {told!r:.120}")


def _network(where: str, state: dict[str, NDArray[np.float32]], inputs: int, counts: tuple[int, ...]) -> Network:
    """Policy network and action head; what is neither theirs nor the critic's is refused by name."""
    for name in state:
        if not _USED.fullmatch(name) and not _CRITIC.fullmatch(name):
            hint = "; a policy with continuous actions" if name == "log_std" else ""
            raise BundleError(
                f"{where}: expected the tensors of an MlpPolicy (mlp_extractor, action_net, value_net), found "
                f"{name!r:.80}{hint}"
            )
    found = sorted(int(m.group(1)) for m in map(_LAYER.fullmatch, state) if m)
    stems = [f"mlp_extractor.policy_net.{k}" for k in found] + ["action_net"]
    if found != list(range(0, 2 * len(found), 2)):
        raise BundleError(f"{where}: expected layers 0, 2, 4, ... with tanh between them, found {found}")
    used = {f"{stem}.{kind}" for stem in stems for kind in ("weight", "bias")}
    wrong = sorted(used.symmetric_difference(name for name in state if _USED.fullmatch(name)))
    if wrong:
        raise BundleError(f"{where}: expected a weight and a bias for each layer, found {wrong[0]} without the other")
    head = state["action_net.weight"]
    if head.ndim != 2 or head.shape[0] != sum(counts):
        raise BundleError(
            f"{where}, action_net.weight: expected {sum(counts)} outputs for controls of {list(counts)} values, found "
            f"shape {list(head.shape)}"
        )
    weights, biases = (tuple(state[f"{stem}.{kind}"] for stem in stems) for kind in ("weight", "bias"))
    try:
        network = Network(weights, biases, counts)
    except BundleError as e:
        raise BundleError(f"{where}: {e}") from e
    if network.weights[0].shape[1] != inputs:
        raise BundleError(
            f"{where}: expected {inputs} inputs, one for each observed field of this plant, found "
            f"{network.weights[0].shape[1]}"
        )
    return network


def _plain(data: dict[str, Any], key: str) -> dict[str, Any]:
    """The plain fields beside a serialized value (SB3 writes both, the first for people)."""
    value = data.get(key)
    return {k: v for k, v in value.items() if k != _SERIALIZED} if isinstance(value, dict) else {}


def _numbers(value: Any) -> list[int] | None:
    """Whole numbers of `[3, 5]`, `5` or a text of them such as `[3 5]`; None where it is neither."""
    if type(value) is int:
        return [value]
    if isinstance(value, list) and all(type(x) is int for x in value):
        return value
    if isinstance(value, str) and len(value) < 10_000 and re.fullmatch(r"\[?[\d\s,]+\]?", value):
        return [int(x) for x in re.findall(r"\d{1,9}", value)]
    return None


def _serialized(value: Any) -> bool:
    return isinstance(value, dict) and _SERIALIZED in value
