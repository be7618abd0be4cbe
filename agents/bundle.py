"""A policy bundle: a directory of a tensor file, two JSON files and a card; loading it runs nothing.

    policy.safetensors   the network's weights
    policy.json          architecture, observation and action schema, scaling, when it decides, ranges seen in training
    evidence.json        how it was made and judged, and the SHA-256 of the two files above
    card.md              the same for people

A bundle's name is the SHA-256 of policy.safetensors and policy.json together. A file that was changed is refused.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.errors import BundleError, SchemaError
from agents.policy import Network, network, tensors

FORMAT = 1
BUNDLED = Path(__file__).parent / "policies"
MOST_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle. `spec` is policy.json, `evidence` is evidence.json, `name` is `sha256:...`."""

    name: str
    network: Network
    spec: dict[str, Any]
    evidence: dict[str, Any]
    path: Path | None = None

    @property
    def epoch_s(self) -> float:
        """Seconds between two decisions the policy was trained for."""
        return float(self.spec["epoch_s"])

    @property
    def decide(self) -> str:
        """At equal intervals of `epoch_s`, or at "events", `epoch_s` being the longest time between two decisions."""
        return str(self.spec.get("decide", "interval"))

    @property
    def decide_on(self) -> tuple[str, ...] | None:
        """Kinds of events (`sim.state.KINDS`) at which it decides; None: all, or none where it decides at intervals."""
        found = self.spec.get("decide_on")
        return None if found is None else tuple(str(name) for name in found)

    @property
    def ranges(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(lowest[D], highest[D]) observation between the 0.1 and 99.9 % quantiles of training."""
        low, high = self.spec["observation"]["seen"]
        return np.array(low, dtype=np.float32), np.array(high, dtype=np.float32)


def save(folder: Path, policy: Network, spec: dict[str, Any], evidence: dict[str, Any], card: str) -> str:
    """Write a bundle into `folder` (made where missing) and return its name."""
    from safetensors.numpy import save as pack

    folder.mkdir(parents=True, exist_ok=True)
    weights = pack(tensors(policy))
    text = json.dumps({"format": FORMAT, **spec}, indent=1, sort_keys=True, allow_nan=False).encode() + b"\n"
    files = {"policy.safetensors": _sha(weights), "policy.json": _sha(text)}
    name = _name(weights, text)
    (folder / "policy.safetensors").write_bytes(weights)
    (folder / "policy.json").write_bytes(text)
    record = {"name": name, "files": files, **evidence}
    (folder / "evidence.json").write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    (folder / "card.md").write_text(card.replace("{name}", name), encoding="utf-8")
    return name


def load(folder: Path, observation_hash: str | None = None, action_hash: str | None = None) -> Bundle:
    """Read and verify a bundle; `BundleError` when it is broken, `SchemaError` when it was made for another plant."""
    weights, text, evidence_text = (_read(folder / f) for f in ("policy.safetensors", "policy.json", "evidence.json"))
    spec, evidence = _object(folder / "policy.json", text), _object(folder / "evidence.json", evidence_text)
    found = {"policy.safetensors": _sha(weights), "policy.json": _sha(text)}
    for file, sha in found.items():
        expected = evidence.get("files", {}).get(file)
        if expected != sha:
            raise BundleError(
                f"{folder / file}: expected {expected}, found {sha}; the file was changed, take the bundle afresh"
            )
    if spec.get("format") != FORMAT:
        raise BundleError(
            f"{folder / 'policy.json'}: expected format {FORMAT}, found {spec.get('format')!r}; update plantwin "
            f"or train again"
        )
    for what, expected in (("observation", observation_hash), ("action", action_hash)):
        has = spec[what]["hash"]
        if expected is not None and has != expected:
            raise SchemaError(
                f"{folder}: the policy's {what} schema is {has}, the plant's is {expected}; train a policy for "
                f"this plant"
            )
    counts = tuple(int(c["count"]) for c in spec["action"]["controls"])
    return Bundle(_name(weights, text), network(_unpack(folder, weights), counts), spec, evidence, folder)


def _unpack(folder: Path, weights: bytes) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.numpy import load as unpack

    try:
        arrays: dict[str, Any] = unpack(weights)
    except (SafetensorError, ValueError, KeyError) as e:
        raise BundleError(
            f"{folder / 'policy.safetensors'}: not a safetensors file ({e}); take the bundle afresh"
        ) from e
    return arrays


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise BundleError(f"{path}: larger than {MOST_BYTES} bytes; this is not a policy of ours")
        return path.read_bytes()
    except OSError as e:
        raise BundleError(
            f"{path}: cannot be read ({e.strerror}); a bundle is a folder made by `plantwin train --out`"
        ) from e


def _object(path: Path, text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as e:
        raise BundleError(f"{path}: not JSON ({e}); take the bundle afresh") from e
    if not isinstance(value, dict):
        raise BundleError(f"{path}: expected an object, found {type(value).__name__}")
    return value


def _sha(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _name(weights: bytes, text: bytes) -> str:
    return "sha256:" + hashlib.sha256(hashlib.sha256(weights).digest() + hashlib.sha256(text).digest()).hexdigest()
