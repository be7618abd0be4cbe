"""A policy bundle: a directory of a tensor file, two JSON files and a card; loading it runs nothing.

    policy.safetensors   the network's weights
    policy.json          architecture, observation and action schema, scaling, when it decides, ranges seen in training
    evidence.json        how it was made and judged, and the SHA-256 of the two files above
    card.md              the same for people
    SIGNATURE            who vouches for all of them (`agents.bundles.signing`); missing where the path is trusted

A bundle's name is the SHA-256 of policy.safetensors and policy.json together, and its folder may be called by it. A
file that was changed is refused. What lies beside an unsigned bundle (seeds of the training, a rule) is never opened;
beside a signed one nothing may lie that was not signed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agents.bundles import signing
from agents.bundles.bundlefiles import (
    MOST_BYTES,
    REQUIRED,
    SIGNATURE,
    check_folder_name,
    entries,
    json_object,
    name_of,
    plain_name,
    read,
    sha256,
)
from agents.bundles.familiar import Familiar
from agents.bundles.familiar import read as read_familiar
from agents.bundles.policy import Network, network, tensors
from agents.bundles.policyspec import FORMAT, OVER, check_shapes, check_spec
from agents.bundles.tensorfile import unpack
from agents.errors import BundleError, SchemaError
from agents.rules.rule import Rule, read_rule

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

__all__ = ["BUNDLED", "FORMAT", "MOST_BYTES", "Bundle", "load", "save", "sign"]

BUNDLED = Path(__file__).parent.parent / "policies"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle. `spec` is policy.json, `evidence` is evidence.json, `name` is `sha256:...`; `signature` is
    None for one that nobody signed. `over`: the rule whose setpoints the network moves (`agents.control.over`); None:
    it sets all of them by itself.
    """

    name: str
    network: Network
    spec: dict[str, Any]
    evidence: dict[str, Any]
    path: Path | None = None
    signature: signing.Signed | None = None
    over: Rule | None = None

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

    @property
    def familiar(self) -> Familiar | None:
        """How far observations lie from those of training; None for bundles that do not say it."""
        return read_familiar(self.spec["observation"].get("familiar"))

    @property
    def vouched(self) -> str:
        """Who vouches for it: `unsigned`, or `signed by ...`."""
        return "unsigned" if self.signature is None else self.signature.sentence


def save(folder: Path, policy: Network, spec: dict[str, Any], evidence: dict[str, Any], card: str) -> str:
    """Write an unsigned bundle into `folder` (made where missing) and return its name."""
    from safetensors.numpy import save as pack

    folder.mkdir(parents=True, exist_ok=True)
    weights = pack(tensors(policy))
    version = OVER if "rule" in spec else FORMAT
    text = json.dumps({"format": version, **spec}, indent=1, sort_keys=True, allow_nan=False).encode() + b"\n"
    files = {"policy.safetensors": sha256(weights), "policy.json": sha256(text)}
    name = name_of(weights, text)
    (folder / SIGNATURE).unlink(missing_ok=True)  # of what lay here before: it would call this one changed
    (folder / "policy.safetensors").write_bytes(weights)
    (folder / "policy.json").write_bytes(text)
    record = {"name": name, "files": files, **evidence}
    (folder / "evidence.json").write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    (folder / "card.md").write_text(card.replace("{name}", name), encoding="utf-8")
    return name


def load(
    folder: Path,
    observation_hash: str | None = None,
    action_hashes: tuple[str, ...] = (),
    signer: Ed25519PublicKey | None = None,
) -> Bundle:
    """Read and verify a bundle; `BundleError` when it is broken, `SchemaError` when it was made for another plant.

    A signature that is there must be good; with `signer` there must be one, and by that key.
    """
    found = entries(folder)
    if SIGNATURE not in found and signer is not None:
        raise BundleError(
            f"{folder / SIGNATURE}: expected a signature of {signing.public_text(signer)}, found none; sign the bundle "
            f"with `plantwin policy sign`"
        )
    files = {file: read(folder, file) for file in (found if SIGNATURE in found else REQUIRED)}
    absent = [file for file in REQUIRED if file not in files]
    if absent:
        raise BundleError(f"{folder / absent[0]}: expected the file, found none; take the bundle afresh")
    name = name_of(files["policy.safetensors"], files["policy.json"])
    check_folder_name(folder, name)
    signature = signing.check(folder, name, files, signer) if SIGNATURE in found else None
    made = _read_back(folder, files, signature)
    observed = () if observation_hash is None else (observation_hash,)
    for what, expected in (("observation", observed), ("action", action_hashes)):
        has = made.spec[what]["hash"]
        if expected and has not in expected:
            wanted = " or ".join(expected)
            raise SchemaError(
                f"{folder}: made for plant {made.spec['plant']!r:.60}: the policy's {what} schema is {has}, the "
                f"plant's is {wanted}; train a policy for this plant"
            )
    return made


def _read_back(folder: Path, files: dict[str, bytes], signature: signing.Signed | None) -> Bundle:
    """The bundle in the content of its files."""
    spec, evidence = (json_object(folder / file, files[file]) for file in ("policy.json", "evidence.json"))
    _check_hashes(folder, files, evidence)
    typed = check_spec(folder / "policy.json", spec)
    path, weights = folder / "policy.safetensors", files["policy.safetensors"]
    over = None if typed.rule is None else read_rule(typed.rule, f"{folder / 'policy.json'}, rule")
    counts = tuple(c.count if over is None else 2 * c.count - 1 for c in typed.action.controls)
    made = network(unpack(path, weights), counts, typed.decode)
    check_shapes(path, typed, [w.shape[0] for w in made.weights], made.weights[0].shape[1])
    return Bundle(name_of(weights, files["policy.json"]), made, spec, evidence, folder, signature, over)


def sign(folder: Path, key: Ed25519PrivateKey, out: Path | None = None) -> tuple[Path, Bundle]:
    """Vouch for a bundle: verify it and write SIGNATURE into its folder. With `out`, its files (not its folders) go to
    `out`/HASH, named by the bundle, and are signed there. Returns the signed folder and the bundle read back from it.
    """
    files = _to_sign(folder, out is None)
    name = _read_back(folder, files, None).name
    if out is not None:
        folder = out / name.removeprefix("sha256:")
        folder.mkdir(parents=True, exist_ok=True)
        beside = set(entries(folder)) - set(files) - {SIGNATURE}
        if beside:
            raise BundleError(f"{folder}: expected an empty folder, found {min(beside)}; choose another --out")
        for file, content in files.items():
            (folder / file).write_bytes(content)
    signing.write(folder, signing.make(name, files, key))
    return folder, load(folder, signer=key.public_key())


def _to_sign(folder: Path, in_place: bool) -> dict[str, bytes]:
    """Content of every file that a signature of this folder covers."""
    files: dict[str, bytes] = {}
    for file in entries(folder):
        path = folder / file
        if path.is_dir() and not path.is_symlink():
            if in_place:
                raise BundleError(
                    f"{path}: expected only files in a folder to be signed, found a folder; give --out DIR and the "
                    f"bundle's files are copied to a folder of their own"
                )
        elif file == SIGNATURE:
            continue
        elif not plain_name(file):
            raise BundleError(f"{folder}: expected names of letters, digits, _ . -, found {file!r}; remove that file")
        else:
            files[file] = read(folder, file)
    absent = [file for file in REQUIRED if file not in files]
    if absent:
        raise BundleError(f"{folder / absent[0]}: expected the file, found none; only a whole bundle can be signed")
    return files


def _check_hashes(folder: Path, files: dict[str, bytes], evidence: dict[str, Any]) -> None:
    listed = evidence.get("files")
    for file in ("policy.safetensors", "policy.json"):
        expected, found = listed.get(file) if isinstance(listed, dict) else None, sha256(files[file])
        if expected != found:
            raise BundleError(
                f"{folder / file}: expected {expected}, found {found}; the file was changed, take the bundle afresh"
            )
