"""A bundle is what it says: equal to torch, refused when changed, and read without running anything."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.bundles import bundle
from agents.bundles.policy import Network, network, tensors
from agents.control.controllers import controller
from agents.envs.grid import Grid
from agents.envs.schema import Observer
from agents.errors import AgentError, BundleError, SchemaError
from agents.training.learning import spec
from sim.compile import Compiled


def random_network(
    rng: np.random.Generator, width: int, counts: tuple[int, ...], hidden: tuple[int, ...] = (16, 16)
) -> Network:
    def layer(n: int, m: int) -> np.ndarray:
        made: np.ndarray = (rng.standard_normal((n, m)) / np.sqrt(m)).astype(np.float32)
        return made

    sizes = [width, *hidden, sum(counts)]
    weights = tuple(layer(n, m) for m, n in pairwise(sizes))
    return Network(weights, tuple(rng.standard_normal(n).astype(np.float32) for n in sizes[1:]), counts)


def write(folder: Path, compiled: Compiled, seed: int = 0) -> str:
    rng = np.random.default_rng(seed)
    observer, grid = Observer(compiled), Grid(compiled.plant)
    made = random_network(rng, observer.size, tuple(int(n) for n in grid.counts))
    seen = np.zeros((4, observer.size), dtype=np.float32)
    return bundle.save(folder, made, spec(compiled, made, compiled.ticks(3600), seen), {"why": "test"}, "# {name}\n")


def by_torch(made: Network, x: np.ndarray) -> np.ndarray:
    """Logits of the same network in torch."""
    import torch

    torch.set_num_threads(1)
    y = torch.from_numpy(x)
    for k, (w, b) in enumerate(zip(made.weights, made.biases, strict=True)):
        y = torch.nn.functional.linear(y, torch.from_numpy(w), torch.from_numpy(b))
        y = torch.tanh(y) if k < len(made.weights) - 1 else y
    found: np.ndarray = y.numpy()
    return found


def test_the_median_is_where_half_of_the_probability_is_reached() -> None:
    p = np.array([0.3, 0.15, 0.1, 0.45])  # most probable: 3; in the middle: 2
    bias = np.log(np.concatenate([p, [0.6, 0.4]])).astype(np.float32)
    weight = np.zeros((6, 2), dtype=np.float32)
    x = np.zeros((5, 2), dtype=np.float32)
    assert Network((weight,), (bias,), (4, 2)).decide(x).tolist() == [[3, 0]] * 5
    assert Network((weight,), (bias,), (4, 2), "median").decide(x).tolist() == [[2, 0]] * 5
    with pytest.raises(BundleError, match="decode 'mean': expected mode or median"):
        Network((weight,), (bias,), (4, 2), "mean")


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 64),
    inputs=st.integers(1, 128),
    hidden=st.lists(st.integers(1, 128), max_size=3).map(tuple),
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=5).map(tuple),
)
def test_numpy_equals_torch_within_a_millionth(
    seed: int, rows: int, inputs: int, hidden: tuple[int, ...], counts: tuple[int, ...]
) -> None:
    import torch

    rng = np.random.default_rng(seed)
    made = random_network(rng, inputs, counts, hidden)
    x = rng.uniform(-10, 10, (rows, inputs)).astype(np.float32)
    y = by_torch(made, x)
    scale = max(1.0, float(np.abs(y).max()))
    assert np.abs(made.logits(x) - y).max() <= 1e-6 * scale * 2
    for part, mine in zip(
        torch.split(torch.from_numpy(made.logits(x)), list(counts), dim=-1), made.probabilities(x), strict=True
    ):
        assert np.abs(torch.softmax(part, dim=-1).numpy() - mine).max() <= 1e-6


def test_the_shipped_policy_equals_torch_within_a_millionth() -> None:
    made = bundle.load(bundle.BUNDLED / "gearmotor").network
    x = np.random.default_rng(0).uniform(-10, 10, (512, made.weights[0].shape[1])).astype(np.float32)
    y = by_torch(made, x)
    assert np.abs(made.logits(x) - y).max() <= 1e-6 * max(1.0, float(np.abs(y).max()))


def test_a_bundle_comes_back_as_it_was_saved(tmp_path: Path, line3: Compiled) -> None:
    name = write(tmp_path / "a", line3)
    loaded = bundle.load(tmp_path / "a", Observer(line3).hash, (Grid(line3.plant).hash,))
    assert loaded.name == name
    assert name in (tmp_path / "a" / "card.md").read_text()
    again = network(tensors(loaded.network), loaded.network.counts)
    x = np.ones((2, Observer(line3).size), dtype=np.float32)
    assert np.array_equal(again.logits(x), loaded.network.logits(x))
    assert write(tmp_path / "b", line3) == name, "the name is the content"
    assert write(tmp_path / "c", line3, seed=1) != name


@pytest.mark.parametrize("file", ["policy.safetensors", "policy.json"])
def test_a_changed_file_is_refused(tmp_path: Path, line3: Compiled, file: str) -> None:
    write(tmp_path, line3)
    content = bytearray((tmp_path / file).read_bytes())
    content[-2] ^= 1
    (tmp_path / file).write_bytes(bytes(content))
    with pytest.raises(BundleError, match="changed"):
        bundle.load(tmp_path)


def test_a_policy_of_another_plant_is_refused(tmp_path: Path, line3: Compiled, two_motors: Compiled) -> None:
    write(tmp_path, line3)
    with pytest.raises(SchemaError, match="train a policy for this plant"):
        controller(str(tmp_path), two_motors)


def test_weights_that_are_not_numbers_are_refused() -> None:
    w = np.full((2, 3), np.nan, dtype=np.float32)
    with pytest.raises(BundleError, match="not finite"):
        Network((w,), (np.zeros(2, dtype=np.float32),), (2,))


@pytest.mark.parametrize("spoil", ["missing", "pickle", "format"])
def test_what_is_not_a_bundle_gets_one_clear_sentence(tmp_path: Path, line3: Compiled, spoil: str) -> None:
    import hashlib

    write(tmp_path, line3)
    if spoil == "missing":
        (tmp_path / "policy.safetensors").unlink()
    else:
        path = tmp_path / ("policy.safetensors" if spoil == "pickle" else "policy.json")
        path.write_bytes(b"\x80\x04K\x01." if spoil == "pickle" else b'{"format": 9}')
        evidence = json.loads((tmp_path / "evidence.json").read_text())
        evidence["files"][path.name] = "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
        (tmp_path / "evidence.json").write_text(json.dumps(evidence))
    with pytest.raises(BundleError):
        bundle.load(tmp_path)


def test_controllers_by_word(line3: Compiled, tmp_path: Path) -> None:
    assert controller("nothing", line3).name == "nothing"
    assert controller("cap=7", line3).name.startswith("rule:fixed:")
    for wrong in ("cap=70", "speed=1", "cap=x", "what"):
        with pytest.raises(AgentError):
            controller(wrong, line3)
    (tmp_path / "r.json").write_text('{"values": {"cap": "many"}}')
    with pytest.raises(SchemaError, match="not a rule file"):
        controller(str(tmp_path / "r.json"), line3)


FORBIDDEN = """
import sys
class Wall:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "stable_baselines3", "gymnasium", "pickle5"}:
            raise ImportError(f"{name} must not be imported here")
sys.meta_path.insert(0, Wall())
import agents.advice.advise, agents.advice.compare, agents.commands
from agents.control.controllers import controller
from sim.compile import compile_plant
from sim.kernel import new_rows
from sim.plantfile import load
compiled = compile_plant(load("line3"))
print(controller(sys.argv[1], compiled).act(new_rows(compiled, 1, 2)).tolist())
"""


HELP = """
import sys, plantwin
heavy = {"torch", "stable_baselines3", "gymnasium", "onnx", "onnxruntime", "sympy", "networkx"}
try:
    plantwin.main(sys.argv[1:])
except SystemExit as end:
    assert not end.code, end.code
print("heavy:", sorted(heavy & set(sys.modules)))
"""


@pytest.mark.parametrize(
    "words",
    [
        ("advise", "--help"),
        ("gateway", "--help"),
        ("policy", "--help"),
        ("policy", "show", str(bundle.BUNDLED / "gearmotor")),
        ("evaluate", "--help"),
    ],
)
def test_commands_of_the_running_plant_never_import_torch(words: tuple[str, ...]) -> None:
    done = subprocess.run([sys.executable, "-c", HELP, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "heavy: []"


def test_advice_runs_a_policy_with_neither_torch_nor_gymnasium(tmp_path: Path, line3: Compiled) -> None:
    write(tmp_path, line3)
    done = subprocess.run([sys.executable, "-c", FORBIDDEN, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0][0] in range(2, 12)
