"""An ONNX file from anywhere as a controller: checked before the runtime sees it, then run on one thread.

Accepted is a network of plain operators from one float32 input [N, D] to grid indices [N, C] or logits [N, sum of the
controls' counts]; in a file that we wrote of a policy over a rule these are moves from the rule's setpoints. Refused
are files that point to other files, operators outside the list, loops, functions and anything too large.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agents.bundles.bundlefiles import sha256
from agents.bundles.onnxexport import PREFIX
from agents.bundles.policyspec import LARGEST, check_interval
from agents.bundles.zipguard import read_limited
from agents.control.controllers import RuleController, rule_on
from agents.control.over import Moves
from agents.control.own import OwnController
from agents.envs.epochs import INTERVAL, decision_kinds
from agents.envs.grid import Grid
from agents.envs.schema import Observer
from agents.errors import BundleError, SchemaError
from agents.rules.rule import read_rule

if TYPE_CHECKING:
    import onnx

    from sim.compile import Compiled

MOST_BYTES = 64 * 1024 * 1024
MOST_NODES = 1000
MOST_CONSTANTS = 1000
MOST_NUMBERS = 1 << 24
"""Of any tensor in the graph, for a batch of `BATCH` rows."""
BATCH = 256
NEWEST_OPSET = 26
OPERATORS = set(
    "Abs Add And ArgMax BatchNormalization Cast Ceil Celu Clip Concat Constant Div Dropout Elu Equal Erf Exp Flatten "
    "Floor Gather Gelu Gemm Greater GreaterOrEqual HardSigmoid HardSwish Identity LayerNormalization LeakyRelu Less "
    "LessOrEqual Log LogSoftmax MatMul Max Mean Min Mish Mul Neg Not Or PRelu Pow Reciprocal ReduceMax ReduceMean "
    "ReduceMin ReduceSum Relu Reshape Round Selu Shape Sigmoid Sign Slice Softmax Softplus Softsign Split Sqrt Squeeze "
    "Sub Sum Swish Tanh ThresholdedRelu Transpose Unsqueeze Where".split()
)
"""What a network without memory, loops and randomness needs; none makes more numbers than it is given, Concat apart."""


@dataclass(frozen=True, slots=True)
class _Told:
    """What a file says about itself in metadata_props."""

    epoch_s: float | None
    scaling: dict[str, list[float]] | None
    warnings: tuple[str, ...]
    kinds: int
    over: RuleController | None


def onnx_policy(path: Path, compiled: Compiled) -> OwnController:
    """The policy in an ONNX file for this plant; `BundleError` for what is no policy or not safe, `SchemaError` for one
    that says that it is for another plant.
    """
    content = read_limited(path, MOST_BYTES)
    grid, observer = Grid(compiled.plant), Observer(compiled)
    parsed = _parsed(path, content)
    _check_contents(path, parsed)
    _check_input(path, parsed, observer.size)
    told = _told(path, parsed, observer, compiled)
    axes = grid if told.over is None else Moves(grid)
    output, is_logits = _output(path, parsed, axes)
    if told.epoch_s is not None:
        check_interval(f"{path}, metadata_props", told.epoch_s, compiled)
    if told.scaling is not None:
        observer.use_scaling(told.scaling)
    _check_sizes(path, parsed)
    ask = _session(path, content, parsed.graph.input[0].name, output)
    if is_logits:
        ask = _most_probable(ask, tuple(int(n) for n in axes.counts))
    name = f"onnx:{sha256(content)}"
    return OwnController(name, ask, observer, grid, told.epoch_s, told.warnings, told.kinds, told.over)


def _parsed(path: Path, content: bytes) -> onnx.ModelProto:
    import onnx
    from google.protobuf.message import DecodeError

    parsed = onnx.ModelProto()
    try:
        parsed.ParseFromString(content)
    except (DecodeError, RecursionError, ValueError) as e:
        raise BundleError(f"{path}: expected an ONNX file, found something else ({e})") from e
    _check_texts(path, parsed)
    if not parsed.graph.node:
        raise BundleError(f"{path}: expected an ONNX file with a graph, found no node in it")
    return parsed


def _check_texts(path: Path, message: Any) -> None:
    """Every text must be UTF-8: protobuf hands others out as bytes, and neither onnx nor the runtime expects them."""
    for field, value in message.ListFields():
        parts = (value,) if isinstance(value, str | bytes) or hasattr(value, "ListFields") else value
        if field.message_type is not None:
            for part in parts:
                _check_texts(path, part)
        elif field.type == field.TYPE_STRING:
            for part in parts:
                if isinstance(part, bytes):
                    raise BundleError(f"{path}: expected {field.name} in UTF-8, found {part!r:.60}")


def _check_contents(path: Path, parsed: onnx.ModelProto) -> None:
    """Counts, operators, domains, subgraphs, external data."""
    from onnx import AttributeProto as Kind

    nested = {Kind.GRAPH, Kind.GRAPHS, Kind.SPARSE_TENSOR, Kind.SPARSE_TENSORS}
    graph = parsed.graph
    if len(graph.node) > MOST_NODES or len(graph.initializer) > MOST_CONSTANTS:
        raise BundleError(
            f"{path}: expected at most {MOST_NODES} nodes and {MOST_CONSTANTS} tensors, found {len(graph.node)} and "
            f"{len(graph.initializer)}"
        )
    if parsed.functions or graph.sparse_initializer or parsed.training_info:
        raise BundleError(f"{path}: expected nodes and dense tensors only, found functions, sparse tensors or training")
    for entry in parsed.opset_import:
        if entry.domain not in {"", "ai.onnx"} or not 7 <= entry.version <= NEWEST_OPSET:
            raise BundleError(
                f"{path}: expected operators of ONNX 7 to {NEWEST_OPSET}, found domain {entry.domain!r:.60} version "
                f"{entry.version}"
            )
    for tensor in graph.initializer:
        _check_tensor(f"{path}, tensor {tensor.name!r:.80}", tensor)
    for node in graph.node:
        where = f"{path}, node {node.name or node.output[:1]!r:.80}"
        if node.domain not in {"", "ai.onnx"} or node.op_type not in OPERATORS:
            raise BundleError(
                f"{where}: expected an operator of a plain network, found {node.op_type!r:.60} of domain "
                f"{node.domain!r:.60}"
            )
        for attribute in node.attribute:
            if attribute.type in nested or attribute.ref_attr_name:
                raise BundleError(
                    f"{where}: expected plain attributes, found {Kind.AttributeType.Name(attribute.type)} in "
                    f"{attribute.name!r:.60}"
                )
            for tensor in (attribute.t, *attribute.tensors):
                _check_tensor(where, tensor)


def _check_tensor(where: str, tensor: onnx.TensorProto) -> None:
    from onnx import TensorProto

    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        pairs = {entry.key: entry.value for entry in tensor.external_data}
        raise BundleError(
            f"{where}: expected its numbers in the file, found them in another ({pairs.get('location', '')!r:.120}); "
            f"save the model as one file (torch.onnx.export: external_data=False)"
        )
    if any(n < 0 for n in tensor.dims) or math.prod(tensor.dims) > MOST_NUMBERS:
        raise BundleError(f"{where}: expected at most {MOST_NUMBERS} numbers, found shape {list(tensor.dims)!r:.80}")


def _check_input(path: Path, parsed: onnx.ModelProto, inputs: int) -> None:
    from onnx import TensorProto

    constants = {tensor.name for tensor in parsed.graph.initializer}
    found = [value for value in parsed.graph.input if value.name not in constants]
    if len(found) != 1 or parsed.graph.input[0].name != found[0].name:
        raise BundleError(f"{path}: expected one input, the observations, found {[v.name for v in found]!r:.200}")
    kind, shape = _shape(found[0])
    if kind != TensorProto.FLOAT or len(shape) != 2 or shape[1] != inputs:
        raise BundleError(
            f"{path}, input {found[0].name!r:.60}: expected float32 [N, {inputs}], the observed fields of this plant "
            f"(`plantwin env`), found {_kind(kind)} {_told_shape(shape)}"
        )
    if shape[0] is not None:
        raise BundleError(
            f"{path}, input {found[0].name!r:.60}: expected any number of rows, found {shape[0]}; export with a "
            f"dynamic first axis"
        )


def _output(path: Path, parsed: onnx.ModelProto, grid: Grid | Moves) -> tuple[str, bool]:
    """(name of the output to use, whether it holds logits). Indices are preferred to logits."""
    from onnx import TensorProto

    wanted = (
        ({TensorProto.INT64, TensorProto.INT32}, grid.size, False),
        ({TensorProto.FLOAT}, int(grid.counts.sum()), True),
    )
    for kinds, width, is_logits in wanted:
        for value in parsed.graph.output:
            kind, shape = _shape(value)
            if kind in kinds and len(shape) == 2 and shape[1] == width:
                return value.name, is_logits
    found = [f"{v.name!r:.60} {_kind(_shape(v)[0])} {_told_shape(_shape(v)[1])}" for v in parsed.graph.output[:8]]
    raise BundleError(
        f"{path}: expected an output of int64 [N, {grid.size}] (grid indices of {', '.join(grid.ids)}) or float32 [N, "
        f"{int(grid.counts.sum())}] (logits of all their values), found {', '.join(found) or 'none'}"
    )


def _told(path: Path, parsed: onnx.ModelProto, observer: Observer, compiled: Compiled) -> _Told:
    """The file's own words, where they are ours; a hash of another schema is refused, a missing one is told."""
    grid, over = Grid(compiled.plant), None
    props = {entry.key: entry.value for entry in parsed.metadata_props}
    warnings = []
    for what, expected in (("observation", observer.hash), ("action", grid.hash)):
        found = props.get(f"{PREFIX}{what}_hash")
        if found is None:
            warnings.append(f"{path.name} carries no {what} schema hash: that its {what}s are this plant's is trusted")
        elif found != expected:
            raise SchemaError(
                f"{path}: the policy's {what} schema is {found!r:.90}, the plant's is {expected}; use the plant it was "
                f"made for"
            )
    try:
        epoch_s = float(props[f"{PREFIX}epoch_s"]) if f"{PREFIX}epoch_s" in props else None
        scaling = json.loads(props[f"{PREFIX}scaling"]) if f"{PREFIX}scaling" in props else None
        if scaling is not None:
            numbers = [np.array(scaling[key], dtype=np.float64) for key in ("scale", "shift")]
            if any(n.ndim != 1 or not (np.abs(n) <= LARGEST).all() for n in numbers):
                raise ValueError("scaling is no list of finite numbers")
        decide_on = json.loads(props.get(f"{PREFIX}decide_on", "null"))
        if decide_on is not None and not (isinstance(decide_on, list) and all(isinstance(k, str) for k in decide_on)):
            raise ValueError("decide_on is no list of words")
        rule = json.loads(props.get(f"{PREFIX}rule", "null"))
    except (ValueError, TypeError, KeyError, RecursionError) as e:
        raise BundleError(
            f"{path}: expected epoch_s, scaling, decide_on and rule in metadata_props, found them malformed ({e})"
        ) from e
    kinds = decision_kinds(props.get(f"{PREFIX}decide", INTERVAL), None if decide_on is None else tuple(decide_on))
    if rule is not None:
        where = f"{path}, metadata_props: the rule"
        over = rule_on(read_rule(rule, where), compiled, grid, where)
    return _Told(epoch_s, scaling, tuple(warnings), kinds, over)


def _check_sizes(path: Path, parsed: onnx.ModelProto) -> None:
    """Every tensor whose size can be known stays below the limit: a few Concat or MatMul can make very many numbers."""
    import onnx
    from onnx import shape_inference

    trial = onnx.ModelProto()
    trial.CopyFrom(parsed)
    trial.graph.input[0].type.tensor_type.shape.dim[0].dim_value = BATCH
    del trial.graph.value_info[:]  # what the file says about itself is not what is to be checked
    del trial.graph.output[:]
    trial.graph.output.extend(onnx.ValueInfoProto(name=value.name) for value in parsed.graph.output)
    try:
        inferred = shape_inference.infer_shapes(trial, check_type=True, strict_mode=True, data_prop=True)
    except (shape_inference.InferenceError, RuntimeError, ValueError) as e:
        raise BundleError(f"{path}: expected shapes that follow from each other, found others ({e!s:.300})") from e
    known = {value.name: _shape(value)[1] for value in (*inferred.graph.value_info, *inferred.graph.output)}
    for node in parsed.graph.node:
        for name in node.output:
            shape = known.get(name)
            if name and (shape is None or any(n is None for n in shape)):
                raise BundleError(
                    f"{path}, node {node.op_type} to {name!r:.60}: expected a size that follows from the input's, "
                    f"found none; use constant shapes"
                )
            if name and math.prod(n or 0 for n in shape or ()) > MOST_NUMBERS:
                raise BundleError(
                    f"{path}, node {node.op_type} to {name!r:.60}: expected at most {MOST_NUMBERS} numbers for {BATCH} "
                    f"rows, found {_told_shape(list(shape or ()))}"
                )


def _session(path: Path, content: bytes, name: str, output: str) -> Callable[[NDArray[np.float32]], Any]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"], enable_fallback=0)
    except Exception as e:  # the runtime has exceptions of its own for each cause
        raise BundleError(
            f"{path}: expected a model that onnxruntime takes, found {type(e).__name__}: {e!s:.300}"
        ) from e

    def ask(observations: NDArray[np.float32]) -> Any:
        parts = [
            session.run([output], {name: np.ascontiguousarray(observations[k : k + BATCH], dtype=np.float32)})[0]
            for k in range(0, len(observations), BATCH)
        ]
        return np.concatenate(parts)

    return ask


def _most_probable(
    ask: Callable[[NDArray[np.float32]], Any], counts: tuple[int, ...]
) -> Callable[[NDArray[np.float32]], Any]:
    """Grid indices [N, C] of the largest logits; numbers that are not finite choose nothing."""
    starts = np.cumsum([0, *counts[:-1]]).tolist()

    def indices(observations: NDArray[np.float32]) -> Any:
        logits = np.asarray(ask(observations))
        if not np.isfinite(logits).all():
            raise ValueError("its logits are not finite")
        return np.stack([logits[:, s : s + n].argmax(axis=1) for s, n in zip(starts, counts, strict=True)], axis=1)

    return indices


def _shape(value: onnx.ValueInfoProto) -> tuple[int, list[int | None]]:
    """(element type, lengths; None where the file leaves one open)."""
    tensor = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not tensor.HasField("shape"):
        return tensor.elem_type, []
    return tensor.elem_type, [d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim]


def _kind(code: int) -> str:
    from onnx import TensorProto

    known = {v: k.lower() for k, v in TensorProto.DataType.items()}
    return known.get(code, f"type {code}")


def _told_shape(shape: list[int | None]) -> str:
    return "[" + ", ".join("?" if n is None else str(n) for n in shape[:8]) + "]"
