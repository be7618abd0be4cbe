"""ONNX out and in: what is exported decides as numpy does, what comes from elsewhere is checked before it runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from agents.bundles import bundle, onnxpolicy
from agents.bundles.bundle import Bundle
from agents.bundles.onnxexport import model
from agents.bundles.policy import Network
from agents.commands_policy import policy
from agents.control.controllers import controller
from agents.envs.grid import Grid
from agents.envs.schema import Observer
from agents.errors import AgentError, BundleError, SchemaError
from agents.evaluation.evaluate import Trial, compare
from sim.compile import Compiled
from sim.kernel import new_rows, run
from tests.agents.test_bundle import write
from tests.agents.test_signing import respecified

WHY = "the extra plantwin[onnx] is not installed"
onnx: Any = pytest.importorskip("onnx", reason=WHY)
runtime: Any = pytest.importorskip("onnxruntime", reason=WHY)


@pytest.fixture
def folder(two_motors: Compiled, tmp_path: Path) -> Path:
    write(tmp_path / "bundle", two_motors, seed=4)
    return tmp_path / "bundle"


@pytest.fixture
def exported(folder: Path, tmp_path: Path) -> Path:
    result = CliRunner().invoke(policy, ["export", str(folder), "--out", str(tmp_path / "sub" / "policy.onnx")])
    assert result.exit_code == 0, result.output
    return tmp_path / "sub" / "policy.onnx"


def rows_of(compiled: Compiled, n: int = 64) -> np.ndarray:
    rows: np.ndarray = new_rows(compiled, 9, n)
    run(rows, compiled, compiled.ticks(30 * 3600))
    return rows


# --- export -------------------------------------------------------------------------------------------------------


def bare(network: Network) -> Bundle:
    inputs = network.weights[0].shape[1]
    observation = {"hash": "o", "fields": [str(k) for k in range(inputs)], "scaling": {"scale": [], "shift": []}}
    action = {"hash": "a", "controls": [{"id": str(c), "count": n} for c, n in enumerate(network.counts)]}
    return Bundle("sha256:x", network, {"plant": "p", "epoch_s": 60, "observation": observation, "action": action}, {})


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32 - 1),
    inputs=st.integers(1, 64),
    hidden=st.lists(st.integers(1, 64), max_size=3),
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=5).map(tuple),
    n=st.integers(1, 64),
)
def test_onnxruntime_equals_numpy_on_any_architecture(
    seed: int, inputs: int, hidden: list[int], counts: tuple[int, ...], n: int
) -> None:
    rng = np.random.default_rng(seed)
    sizes = [inputs, *hidden, sum(counts)]
    network = Network(
        tuple((rng.standard_normal((b, a)) / np.sqrt(a)).astype(np.float32) for a, b in pairwise(sizes)),
        tuple(rng.standard_normal(b).astype(np.float32) for b in sizes[1:]),
        counts,
    )
    session = runtime.InferenceSession(model(bare(network)).SerializeToString(), providers=["CPUExecutionProvider"])
    x = rng.uniform(-10, 10, (n, inputs)).astype(np.float32)
    logits, indices = session.run(["logits", "indices"], {"observation": x})
    mine = network.logits(x)
    scale = max(1.0, float(np.abs(mine).max()))
    assert logits.dtype == np.float32
    assert np.abs(logits - mine).max() <= 1e-6 * scale * 2
    # equal where the best two are further apart than the rounding of both
    for c, (start, count) in enumerate(zip(network.starts, counts, strict=True)):
        part = np.sort(mine[:, start : start + count], axis=1)
        clear = np.ones(n, bool) if count == 1 else part[:, -1] - part[:, -2] > 4e-6 * scale
        assert np.array_equal(indices[clear, c], network.decide(x)[clear, c])


def test_the_file_says_what_it_needs(exported: Path, folder: Path, two_motors: Compiled) -> None:
    loaded = onnx.load(exported)
    onnx.checker.check_model(loaded, full_check=True)
    props = {entry.key: entry.value for entry in loaded.metadata_props}
    made, observer, grid = bundle.load(folder), Observer(two_motors), Grid(two_motors.plant)
    assert props["plantwin.bundle"] == made.name
    assert props["plantwin.observation_hash"] == observer.hash
    assert props["plantwin.action_hash"] == grid.hash
    assert json.loads(props["plantwin.fields"]) == list(observer.fields)
    assert json.loads(props["plantwin.scaling"]) == observer.scaling()
    assert [c["id"] for c in json.loads(props["plantwin.controls"])] == list(grid.ids)
    assert float(props["plantwin.epoch_s"]) == made.epoch_s


def test_the_same_bundle_gives_the_same_file(exported: Path, folder: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.onnx"
    assert CliRunner().invoke(policy, ["export", str(folder), "--out", str(again)]).exit_code == 0
    assert again.read_bytes() == exported.read_bytes()


def test_the_shipped_policy_decides_alike(gearmotor: Compiled, tmp_path: Path) -> None:
    ours = controller("policy", gearmotor)
    result = CliRunner().invoke(
        policy, ["export", str(bundle.BUNDLED / "gearmotor"), "--out", str(tmp_path / "policy.onnx")]
    )
    assert result.exit_code == 0, result.output
    theirs = controller(str(tmp_path / "policy.onnx"), gearmotor)
    rows = rows_of(gearmotor, 32)
    first, second = ours.act(rows), theirs.act(rows)
    assert first is not None
    assert second is not None
    assert np.array_equal(first, second)


# --- from elsewhere -----------------------------------------------------------------------------------------------


def test_an_exported_policy_is_judged_as_the_bundle_is(exported: Path, folder: Path, two_motors: Compiled) -> None:
    theirs, ours = controller(str(exported), two_motors), controller(str(folder), two_motors)
    assert theirs.epoch_s == ours.epoch_s
    assert theirs.name.startswith("onnx:sha256:")
    assert getattr(theirs, "warnings", None) == ()
    verdict = compare(theirs, ours, two_motors, Trial(4, warmup_s=6 * 3600.0, length_s=12 * 3600.0))
    assert (verdict.difference, verdict.lo, verdict.hi) == (0.0, 0.0, 0.0)


def changed(path: Path, change: Callable[[Any], Any]) -> Path:
    loaded = onnx.load(path)
    change(loaded)
    out = path.with_name("changed.onnx")
    out.write_bytes(loaded.SerializeToString())
    return out


def keep(*outputs: str) -> Callable[[Any], None]:
    def change(loaded: Any) -> None:
        kept = [value for value in loaded.graph.output if value.name in outputs]
        del loaded.graph.output[:]
        loaded.graph.output.extend(kept)

    return change


def test_logits_alone_are_enough(exported: Path, folder: Path, two_motors: Compiled) -> None:
    rows = rows_of(two_motors, 300)
    by_logits = controller(str(changed(exported, keep("logits"))), two_motors).act(rows)
    ours = controller(str(folder), two_motors).act(rows)
    assert by_logits is not None
    assert ours is not None
    assert np.array_equal(by_logits, ours)
    assert len(np.unique(ours, axis=0)) > 1


def without_metadata(loaded: Any) -> None:
    del loaded.metadata_props[:]


def test_a_file_without_our_metadata_is_judged_with_a_warning(exported: Path, two_motors: Compiled) -> None:
    found = controller(str(changed(exported, without_metadata)), two_motors)
    assert found.epoch_s is None
    told: Any = getattr(found, "warnings", ())
    assert len(told) == 2
    assert "observation" in told[0]
    assert "action" in told[1]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the exporter that needs no further library
def test_a_network_that_torch_wrote_is_judged(line3: Compiled, tmp_path: Path) -> None:
    import torch

    inputs, outputs = Observer(line3).size, int(Grid(line3.plant).counts.sum())
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Linear(inputs, 8), torch.nn.ReLU(), torch.nn.LayerNorm(8), torch.nn.Linear(8, outputs)
    )
    path, example = tmp_path / "own.onnx", (torch.zeros(2, inputs),)
    torch.onnx.export(net, example, path, input_names=["obs"], dynamic_axes={"obs": {0: "n"}}, dynamo=False)
    found = controller(str(path), line3)
    rows = rows_of(line3)
    with torch.no_grad():
        expected = net(torch.from_numpy(Observer(line3)(rows))).argmax(-1, keepdim=True).numpy()
    acted = found.act(rows)
    assert acted is not None
    assert np.array_equal(acted, Grid(line3.plant).decode(expected))


def prop(key: str, value: str) -> Callable[[Any], None]:
    def change(loaded: Any) -> None:
        for entry in loaded.metadata_props:
            if entry.key == f"plantwin.{key}":
                entry.value = value

    return change


def test_a_policy_of_another_plant_is_refused(exported: Path, two_motors: Compiled, line3: Compiled) -> None:
    for what in ("observation", "action"):
        with pytest.raises(SchemaError, match=f"the policy's {what} schema is 'sha256:other'"):
            controller(str(changed(exported, prop(f"{what}_hash", "sha256:other"))), two_motors)
    with pytest.raises(BundleError, match=r"input 'observation': expected float32 \[N, 25\].*found float \[\?, "):
        controller(str(exported), line3)


def node(kind: str, *names: str, **attributes: Any) -> Callable[[Any], None]:
    def change(loaded: Any) -> None:
        loaded.graph.node.append(onnx.helper.make_node(kind, list(names[:-1]), [names[-1]], **attributes))

    return change


def doubled(loaded: Any) -> None:
    """30 times the tensor beside itself: 371 numbers become 400 thousand million."""
    here = "logits"
    for k in range(30):
        loaded.graph.node.append(onnx.helper.make_node("Concat", [here, here], [f"twice{k}"], axis=1))
        here = f"twice{k}"


def external(loaded: Any) -> None:
    tensor = loaded.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", "../../../etc/passwd"), ("offset", "0")):
        tensor.external_data.add(key=key, value=value)


def external_constant(loaded: Any) -> None:
    tensor = onnx.TensorProto(name="t", data_type=onnx.TensorProto.FLOAT, dims=[4])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/hostname")
    loaded.graph.node.append(onnx.helper.make_node("Constant", [], ["t"], value=tensor))


def second_input(loaded: Any) -> None:
    loaded.graph.input.append(onnx.helper.make_tensor_value_info("more", onnx.TensorProto.FLOAT, ["N", 1]))


def input_type(kind: int, *shape: Any) -> Callable[[Any], None]:
    def change(loaded: Any) -> None:
        del loaded.graph.input[:]
        loaded.graph.input.append(onnx.helper.make_tensor_value_info("observation", kind, list(shape)))

    return change


def with_loop(loaded: Any) -> None:
    body = onnx.helper.make_graph([], "body", [], [])
    loaded.graph.node.append(onnx.helper.make_node("Identity", ["logits"], ["x"], body=body))


def sparse(loaded: Any) -> None:
    value = onnx.SparseTensorProto(dims=[1 << 20])
    loaded.graph.node.append(onnx.helper.make_node("Constant", [], ["t"], sparse_value=value))


def function(loaded: Any) -> None:
    loaded.functions.add(name="f", domain="own")


def domain(loaded: Any) -> None:
    loaded.opset_import.add(domain="com.microsoft", version=1)


def huge_tensor(loaded: Any) -> None:
    loaded.graph.initializer.add(name="h", data_type=1, dims=[1 << 40])


def false_shape(loaded: Any) -> None:
    loaded.graph.initializer[0].dims[0] += 1


def clear_graph(loaded: Any) -> None:
    del loaded.graph.node[:]


HOSTILE: dict[str, tuple[Callable[[Any], Any], str]] = {
    "external data": (external, "found them in another ('../../../etc/passwd')"),
    "external constant": (external_constant, "found them in another ('/etc/hostname')"),
    "other operator": (node("NonZero", "logits", "x"), "expected an operator of a plain network, found 'NonZero'"),
    "random": (node("RandomNormalLike", "logits", "x"), "found 'RandomNormalLike'"),
    "expand": (node("Expand", "logits", "counts", "x"), "found 'Expand'"),
    "own domain": (node("Gelu", "logits", "x", domain="own"), "found 'Gelu' of domain 'own'"),
    "subgraph": (with_loop, "expected plain attributes, found GRAPH in 'body'"),
    "sparse": (sparse, "found SPARSE_TENSOR in 'sparse_value'"),
    "functions": (function, "found functions"),
    "microsoft": (domain, "found domain 'com.microsoft' version 1"),
    "bomb": (doubled, "numbers for 256 rows"),
    "huge tensor": (huge_tensor, "numbers, found shape [1099511627776]"),
    "second input": (second_input, "expected one input, the observations, found ['observation', 'more']"),
    "double": (input_type(11, "N", 30), "found double [?, 30]"),
    "width": (input_type(1, "N", 3), "found float [?, 3]"),
    "three lengths": (input_type(1, "N", 3, 3), "found float [?, 3, 3]"),
    "no output": (keep(), "(logits of all their values), found none"),
    "malformed scaling": (prop("scaling", '{"scale": [1e999], "shift": []}'), "found them malformed"),
    "malformed interval": (prop("epoch_s", "soon"), "found them malformed"),
    "negative interval": (prop("epoch_s", "-1"), "a tick of this plant"),
    "endless interval": (prop("epoch_s", "1e-9"), "a tick of this plant"),
    "no interval": (prop("epoch_s", "nan"), "a tick of this plant"),
    "large scaling": (prop("scaling", '{"scale": [1e300], "shift": []}'), "found them malformed"),
    "scaling of others": (prop("scaling", '{"scale": [1], "shift": [1]}'), "scaling for 1 observed columns"),
    "false shape": (false_shape, "expected shapes that follow from each other, found others"),
    "no nodes": (clear_graph, "found no node in it"),
}


@pytest.mark.parametrize("what", sorted(HOSTILE))
def test_a_hostile_or_false_file_is_refused(
    exported: Path, two_motors: Compiled, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("the runtime was started")

    monkeypatch.setattr(runtime, "InferenceSession", never)
    change, told = HOSTILE[what]
    path = changed(exported, change)
    with pytest.raises(AgentError) as caught:
        controller(str(path), two_motors)
    assert told in str(caught.value), str(caught.value)


def test_text_that_is_none_is_refused(exported: Path, two_motors: Compiled, tmp_path: Path) -> None:
    content = exported.read_bytes()
    assert content.count(b"\x06logits") > 2
    (tmp_path / "x.onnx").write_bytes(content.replace(b"\x06logits", b"\x06log\xfdts"))
    with pytest.raises(BundleError, match=r"expected (input|output|name) in UTF-8, found b'log"):
        controller(str(tmp_path / "x.onnx"), two_motors)


def fixed_rows(inputs: int) -> Callable[[Any], None]:
    return input_type(1, 1, inputs)


def test_rows_must_be_free(exported: Path, two_motors: Compiled) -> None:
    path = changed(exported, fixed_rows(Observer(two_motors).size))
    with pytest.raises(BundleError, match="expected any number of rows, found 1; export with a dynamic first axis"):
        controller(str(path), two_motors)


@pytest.mark.parametrize("content", [b"", b"\x80\x04K\x01.", b"PK\x03\x04", b"\x0a\xff\xff\xff\xff\x7f"])
def test_what_is_no_onnx_is_refused(two_motors: Compiled, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.onnx").write_bytes(content)
    with pytest.raises(BundleError, match="expected an ONNX file"):
        controller(str(tmp_path / "x.onnx"), two_motors)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_damage_gets_past_as_anything_but_a_sentence(
    exported: Path, two_motors: Compiled, data: st.DataObject
) -> None:
    content = bytearray(exported.read_bytes())
    # the weights in the middle may be any numbers; what can be false is before and after them
    places = st.one_of(st.integers(0, 200), st.integers(len(content) - 4000, len(content) - 1))
    for place, byte in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=5)):
        content[place] = byte
    path = exported.with_name("damaged.onnx")
    path.write_bytes(content)
    with suppress(AgentError):  # whatever else is raised fails the test, and so does a setpoint outside its range
        values = controller(str(path), two_motors).act(new_rows(two_motors, 1, 2))
        grid = Grid(two_motors.plant)
        assert values is not None
        assert ((grid.low <= values) & (values <= grid.high)).all()


def test_sizes_and_counts_have_limits(exported: Path, two_motors: Compiled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxpolicy, "MOST_NODES", 3)
    with pytest.raises(BundleError, match="at most 3 nodes and 1000 tensors, found"):
        controller(str(exported), two_motors)
    monkeypatch.setattr(onnxpolicy, "MOST_BYTES", 100)
    with pytest.raises(BundleError, match="expected at most 100 bytes, found more"):
        controller(str(exported), two_motors)


def test_logits_that_are_not_numbers_choose_nothing(exported: Path, two_motors: Compiled) -> None:
    def spoil(loaded: Any) -> None:
        keep("logits")(loaded)
        bias = next(t for t in loaded.graph.initializer if t.name == "layer2.bias")
        bias.CopyFrom(onnx.numpy_helper.from_array(np.full(bias.dims, np.nan, dtype=np.float32), "layer2.bias"))

    found = controller(str(changed(exported, spoil)), two_motors)
    with pytest.raises(AgentError, match="its logits are not finite"):
        found.act(rows_of(two_motors, 2))


def test_a_policy_that_decides_at_events_does_so_from_its_file(
    folder: Path, exported: Path, two_motors: Compiled, tmp_path: Path
) -> None:
    assert getattr(controller(str(exported), two_motors), "kinds", None) == 0

    def at_failures(spec: dict[str, Any]) -> None:
        spec |= {"decide": "events", "decide_on": ["failure", "repair_end"]}

    respecified(folder, at_failures)
    path = tmp_path / "events.onnx"
    assert CliRunner().invoke(policy, ["export", str(folder), "--out", str(path)]).exit_code == 0
    theirs, ours = controller(str(path), two_motors), controller(str(folder), two_motors)
    assert getattr(theirs, "kinds", 0) == getattr(ours, "kinds", 0) > 0
    for value, told in (('["never"]', "never"), ("5", "no list of words")):
        with pytest.raises(AgentError, match=told):
            controller(str(changed(path, prop("decide_on", value))), two_motors)


def test_evaluate_takes_an_onnx_file(exported: Path, two_motors: Compiled) -> None:
    import typer

    from agents.commands import evaluate
    from tests.plants import TWO_MOTORS

    app = typer.Typer()
    app.command()(evaluate)
    arguments = [str(exported), "--against", "nothing", "--plant", str(TWO_MOTORS), "--pairs", "2", "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    told = json.loads(result.output)
    assert told["a"].startswith("onnx:sha256:")
    assert told["warnings"] == []
    arguments[0] = str(changed(exported, without_metadata))
    told = json.loads(CliRunner().invoke(app, arguments).output)
    assert "carries no observation schema hash" in told["warnings"][0]
    del two_motors
