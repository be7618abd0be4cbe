"""A policy as ONNX, for those who run it elsewhere: scaled observations in, logits and grid indices out.

The graph is written node by node with the `onnx` package (no torch): Gemm and Tanh for each layer, then Split and
ArgMax (or the middle of the probability) for each control. What the numbers mean is in `metadata_props`: schema
hashes, fields, scaling, controls; and the rule, where the policy is over one: its indices are then moves in steps of
the grid from the rule's setpoints, the one in the middle none (`agents.control.over`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.bundles.bundle import Bundle
from agents.rules.rule import content_of

if TYPE_CHECKING:
    import onnx

OPSET = 18
IR = 9
"""Old enough for runtimes of 2023, new enough for Split by sizes."""
PREFIX = "plantwin."
OBSERVATION, LOGITS, INDICES = "observation", "logits", "indices"


def export(loaded: Bundle, out: Path) -> int:
    """Write a bundle's policy to `out` and return its size in bytes; the file depends on the bundle alone."""
    content = model(loaded).SerializeToString(deterministic=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = out.with_name(f".{out.name}.part")
    draft.write_bytes(content)
    draft.replace(out)
    return len(content)


def model(loaded: Bundle) -> onnx.ModelProto:
    """The checked ONNX model of a bundle: `observation` float32 [N, D] to `logits` float32 [N, sum of counts] and
    `indices` int64 [N, C].
    """
    import onnx
    from onnx import TensorProto, helper

    network = loaded.network
    inputs, outputs = network.weights[0].shape[1], sum(network.counts)
    nodes, constants = _layers(loaded)
    chosen, sizes = _choice(network.counts, network.decode)
    meant = "grid indices" if loaded.over is None else "moves, in steps of the grid from the rule's setpoints,"
    graph = helper.make_graph(
        [*nodes, *chosen],
        "policy",
        [helper.make_tensor_value_info(OBSERVATION, TensorProto.FLOAT, ["N", inputs])],
        [
            helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, ["N", outputs]),
            helper.make_tensor_value_info(INDICES, TensorProto.INT64, ["N", len(network.counts)]),
        ],
        [*constants, *sizes],
        doc_string=f"Observations are scaled as metadata_props say; indices are {meant} of the controls.",
    )
    made = helper.make_model(
        graph,
        producer_name="plantwin",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR,
    )
    helper.set_model_props(made, metadata(loaded))
    onnx.checker.check_model(made, full_check=True)
    return made


def metadata(loaded: Bundle) -> dict[str, str]:
    """What a reader needs to use the file: names to text, JSON where it is more than a word."""
    observation, action = loaded.spec["observation"], loaded.spec["action"]
    told = {
        "format": "1",
        "bundle": loaded.name,
        "plant": str(loaded.spec["plant"]),
        "epoch_s": repr(loaded.epoch_s),
        "decide": loaded.decide,
        "decide_on": json.dumps(loaded.decide_on),
        "observation_hash": observation["hash"],
        "action_hash": action["hash"],
        "fields": json.dumps(observation["fields"]),
        "scaling": json.dumps(observation["scaling"], sort_keys=True),
        "controls": json.dumps(action["controls"], sort_keys=True),
    }
    if loaded.over is not None:
        told["rule"] = json.dumps(content_of(loaded.over), sort_keys=True)
    return {PREFIX + name: value for name, value in told.items()}


def _layers(loaded: Bundle) -> tuple[list[Any], list[Any]]:
    """Nodes from OBSERVATION to LOGITS, and the weights they use."""
    from onnx import helper, numpy_helper

    network, nodes, constants = loaded.network, [], []
    here, last = OBSERVATION, len(network.weights) - 1
    for k, (w, b) in enumerate(zip(network.weights, network.biases, strict=True)):
        constants.append(numpy_helper.from_array(np.ascontiguousarray(w, dtype=np.float32), f"layer{k}.weight"))
        constants.append(numpy_helper.from_array(np.ascontiguousarray(b, dtype=np.float32), f"layer{k}.bias"))
        there = LOGITS if k == last else f"layer{k}.sum"
        nodes.append(helper.make_node("Gemm", [here, f"layer{k}.weight", f"layer{k}.bias"], [there], transB=1))
        if k < last:
            here = f"layer{k}.out"
            nodes.append(helper.make_node("Tanh", [there], [here]))
    return nodes, constants


def _choice(counts: tuple[int, ...], decode: str) -> tuple[list[Any], list[Any]]:
    """Nodes from LOGITS to INDICES: the most probable value of every control, the lowest where two are, or the one in
    the middle of the probability (`agents.bundles.policy.Network.decode`).
    """
    from onnx import TensorProto, helper, numpy_helper

    parts = [f"logits{c}" for c in range(len(counts))]
    nodes = [helper.make_node("Split", [LOGITS, "counts"], parts, axis=1)]
    constants = [numpy_helper.from_array(np.array(counts, dtype=np.int64), "counts")]
    if decode == "median":
        constants += [
            numpy_helper.from_array(np.array(0.5, dtype=np.float32), "half"),
            numpy_helper.from_array(np.array([1], dtype=np.int64), "along"),
        ]
        constants += [numpy_helper.from_array(np.array([n - 1]), f"last{c}") for c, n in enumerate(counts)]
    for c, part in enumerate(parts):
        if decode == "mode":
            nodes.append(helper.make_node("ArgMax", [part], [f"index{c}"], axis=1, keepdims=1))
            continue
        nodes += [
            helper.make_node("Softmax", [part], [f"share{c}"], axis=1),
            helper.make_node("CumSum", [f"share{c}", "along"], [f"sum{c}"]),
            helper.make_node("Less", [f"sum{c}", "half"], [f"below{c}"]),
            helper.make_node("Cast", [f"below{c}"], [f"ones{c}"], to=TensorProto.INT64),
            helper.make_node("ReduceSum", [f"ones{c}", "along"], [f"middle{c}"], keepdims=1),
            helper.make_node("Min", [f"middle{c}", f"last{c}"], [f"index{c}"]),
        ]
    nodes.append(helper.make_node("Concat", [f"index{c}" for c in range(len(counts))], [INDICES], axis=1))
    return nodes, constants
