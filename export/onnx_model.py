"""Foreign ONNX models: checks whether a model can become a bundle, runs it unchanged as reference, adapts its graph."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnxruntime as ort
import torch
from google.protobuf.message import DecodeError
from onnx import TensorProto, compose, helper, version_converter
from onnx.external_data_helper import load_external_data_for_model, uses_external_data
from onnx.inliner import inline_local_functions
from pydantic import ValidationError
from torch import Tensor, nn

from edge.bundle import sha256
from edge.letterbox.contract import LetterboxContract
from edge.machine import cores
from edge.text import counted, dotted
from edge.validation import problem, remedy_for_key, shown
from export.letterbox_graph import IR_VERSION, OPSET
from export.output import Output, parse_outputs
from export.runtimes import RUNTIMES
from export.source import Evidence, Subject, SubjectError
from train.recipe import ThresholdChoice, toml_value

LARGEST = 2**31 - 2**20
"""Largest size in bytes of a model with its weights: that of a protobuf message, less a reserve for the letterbox."""

PREFIX = "network/"
"""Prefix of all names in a foreign graph, so that they differ from the names in the letterbox."""


@dataclass(frozen=True)
class OnnxFile:
    """A readable ONNX file with one input, a picture: `model` includes all weights, `name` is the input's name.

    `channels` and `sides`, height and width, are those of the input, None if they are dynamic. `weights` are the files
    of external data.
    """

    path: Path
    model: onnx.ModelProto
    name: str
    channels: int | None
    sides: tuple[int | None, int | None]
    weights: list[Path]


def subject_of(
    path: Path,
    letterbox: Sequence[str],
    outputs: Sequence[str],
    threshold: ThresholdChoice | float,
    evidence: Evidence,
) -> Subject:
    """The subject of an ONNX model with an input float32 [N, C, H, W], with the user's letterbox and outputs.

    `letterbox` has "key=value" pairs of a LetterboxContract; `outputs` are in the syntax of `export.output`. Raises
    SubjectError, in one line, if the model cannot be exported, or if letterbox or outputs do not match the model.
    """
    file = read_onnx(path)
    contract = _contract(letterbox, file)
    session = _session(file)
    named = parse_outputs(outputs, {value.name: _listed(value.shape) for value in session.get_outputs()})
    network = OnnxNetwork(session, file.name, named)
    shapes = _tried(network, file, contract)
    network.graph = _graph(file, contract, named, shapes)
    for runtime in RUNTIMES.values():
        if (refusal := runtime.refusal(network.graph)) is not None:
            raise SubjectError(f"{path}: {runtime.title} cannot run it: {_one_line(refusal)}")
    return Subject(
        title=f"{path.name}, as it came",
        task="supervised",
        network=network,
        contract=contract,
        threshold=threshold,
        data=evidence.folder,
        fingerprint=evidence.fingerprint,
        photographs=evidence.photographs,
        reference=f"{path.name} in ONNX Runtime",
        origin=_origin(file, named),
    )


class OnnxNetwork(nn.Module):
    """The unchanged model in ONNX Runtime, the reference with which its artifacts are compared.

    `graph` is the graph of the artifacts: input `image`, outputs `score` and, if there is one, `map`, all shapes
    static. It has no input for the mask.
    """

    graph: onnx.ModelProto

    def __init__(self, session: ort.InferenceSession, input_name: str, outputs: dict[str, Output]) -> None:
        super().__init__()
        self.session = session
        self.input_name = input_name
        self.outputs = outputs

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor | None]:
        """Score [1] and map [1, h, w] of one image float32 [1, C, S, S]; the mask is ignored."""
        names = [output.name for output in self.outputs.values()]
        values = self.session.run(names, {self.input_name: image.numpy()})
        found = {
            role: output.of(torch.from_numpy(value))
            for (role, output), value in zip(self.outputs.items(), values, strict=True)
        }
        return found["score"], found.get("map")


def read_onnx(path: Path) -> OnnxFile:
    """Read an ONNX file and the weights beside it. Raises SubjectError, in one line, if it cannot become a bundle."""
    try:
        model = onnx.load(path, format="protobuf", load_external_data=False)
        weights = sorted({path.parent / _location(t) for t in model.graph.initializer if uses_external_data(t)})
        if sum(file.stat().st_size for file in (path, *weights)) > LARGEST:
            raise SubjectError(f"{path}: more than 2 GiB, too large for one ONNX file")
        load_external_data_for_model(model, str(path.parent))  # refuses files outside the folder
    except OSError as error:
        raise SubjectError(f"{error.filename or path}: cannot be read: {error.strerror or error}") from None
    except (DecodeError, onnx.checker.ValidationError, ValueError, TypeError) as error:
        raise SubjectError(f"{path}: not a sound ONNX model: {_one_line(error)}") from None
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs) or "none"
        raise SubjectError(f"{path}: it has {len(inputs)} inputs ({names}); a bundle gives it one picture and no more")
    _keep_only(model, inputs[0])
    return OnnxFile(
        path, model, inputs[0].name, *_image_of(path, inputs[0], _turns_channels(model.graph, inputs[0].name)), weights
    )


def _location(tensor: TensorProto) -> str:
    return next((entry.value for entry in tensor.external_data if entry.key == "location"), "")


def _keep_only(model: onnx.ModelProto, image: onnx.ValueInfoProto) -> None:
    """Remove all inputs but `image`: before IR version 4 every initializer had to be an input too."""
    kept = onnx.ValueInfoProto()
    kept.CopyFrom(image)
    del model.graph.input[:]
    model.graph.input.append(kept)


def _turns_channels(graph: onnx.GraphProto, image: str) -> bool:
    """Whether the graph transposes its input from NHWC to NCHW."""
    perms = [
        list(attribute.ints)
        for node in graph.node
        if node.op_type == "Transpose" and image in node.input
        for attribute in node.attribute
        if attribute.name == "perm"
    ]
    return [0, 3, 1, 2] in perms


def _image_of(
    path: Path, value: onnx.ValueInfoProto, turns_channels: bool
) -> tuple[int | None, tuple[int | None, int | None]]:
    """Channels and (height, width) of the input, each None if dynamic. Raises SubjectError for an unsuitable input."""
    tensor = value.type.tensor_type
    if not value.type.HasField("tensor_type") or tensor.elem_type != TensorProto.FLOAT:
        kind = TensorProto.DataType.Name(tensor.elem_type).lower()
        raise SubjectError(f"{path}: its input {value.name} is {kind}; a bundle gives it float32")
    sizes = [size.dim_value if size.dim_value > 0 else None for size in tensor.shape.dim]
    said = _listed([size.dim_value if size.dim_value > 0 else size.dim_param or "?" for size in tensor.shape.dim])
    what = f"{path}: its input {value.name} is {said if tensor.HasField('shape') else 'of any shape'}"
    if len(sizes) != 4:
        raise SubjectError(f"{what}; a bundle gives it [N, channels, height, width]")
    batch, channels, height, width = sizes
    if channels not in (1, 3) and (width in (1, 3) or turns_channels):
        raise SubjectError(
            f"{what}, channels last (NHWC); export it with channels first (NCHW), [N, channels, height, width]; "
            "tf2onnx does with --inputs-as-nchw"
        )
    if batch not in (None, 1):
        raise SubjectError(f"{what}, {batch} pictures at a time; export it for one, or for any number")
    if channels not in (None, 1, 3):
        raise SubjectError(f"{what}; a picture has 3 channels, or 1")
    if None not in (height, width) and height != width:
        raise SubjectError(f"{what}, not a square; the letterbox makes squares")
    return channels, (height, width)


def _contract(pairs: Sequence[str], file: OnnxFile) -> LetterboxContract:
    """The contract of the "key=value" pairs. The side is that of the model's input, if it is static."""
    side = next((side for side in file.sides if side is not None), None)
    content: dict[str, object] = {} if side is None else {"side": side}
    if file.channels == 1:
        content["colour"] = "grey"
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise SubjectError(f"--letterbox {pair!r} is not of the form key=value, such as mode=stretch")
        value = toml_value(f"[{text}]" if key in ("mean", "std") and not text.startswith("[") else text)
        if key == "side" and side is not None and value != side:
            raise SubjectError(f"--letterbox {pair}: {file.path} takes {side}×{side} pixels and no other size")
        content[key] = value
    try:
        contract = LetterboxContract.model_validate(content)
    except ValidationError as error:
        raise SubjectError(_complaint(error, file)) from None
    channels = contract.channels
    if file.channels not in (None, channels):
        raise SubjectError(
            f"{file.path}: its input {file.name} has {counted(file.channels or 0, 'channel')}, the letterbox {channels}"
        )
    return contract


def _complaint(error: ValidationError, file: OnnxFile) -> str:
    said = [one for one in error.errors() if one["type"] != "default_factory_not_called"]  # follows from another error
    first = min(said, key=lambda one: one["loc"] == ("side",))
    key = dotted(first["loc"])
    if (key, first["type"]) == ("side", "missing"):
        return f"{file.path}: the size of its input {file.name} is open: give --letterbox side=224, or such"
    if first["type"] == "extra_forbidden":
        return (
            f"--letterbox {key}: there is no such key{remedy_for_key(first['loc'], LetterboxContract, 'a letterbox')}"
        )
    return f"--letterbox {key}={shown(first['input'])}: {problem(first)}" if key else f"--letterbox: {problem(first)}"


def _session(file: OnnxFile) -> ort.InferenceSession:
    """The unchanged model, loaded by ONNX Runtime."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = cores()
    options.log_severity_level = 4
    try:
        return ort.InferenceSession(str(file.path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no common base class
        raise SubjectError(
            f"{file.path}: {_too_new(str(error)) or f'ONNX Runtime cannot load it: {_one_line(error)}'}"
        ) from None


def _too_new(said: str) -> str | None:
    """The message for a model whose IR version or opset is too new for ONNX Runtime, from ONNX Runtime's own error
    `said`; None for any other error.
    """
    if found := re.search(r"Unsupported model IR version: (\d+), max supported IR version: (\d+)", said):
        what, newest = f"IR version {found[1]}", f"IR version {found[2]}"
    elif found := re.search(r"Opset (\d+) is under development.* domain (\S+) is till opset (\d+)", said, re.DOTALL):
        what, newest = f"opset {found[1]} of {found[2]}", f"opset {found[3]}"
    else:
        return None
    return f"it has {what}; the newest that ONNX Runtime {ort.__version__} reads is {newest}: export it again with that"


def _tried(network: OnnxNetwork, file: OnnxFile, contract: LetterboxContract) -> dict[str, tuple[int, ...]]:
    """The shapes of score and map for a picture of the letterbox's size. Raises SubjectError if the model fails."""
    for output in network.session.get_outputs():
        if output.name in {used.name for used in network.outputs.values()} and output.type != "tensor(float)":
            raise SubjectError(f"{file.path}: its output {output.name} is {output.type}; a bundle needs tensor(float)")
    side = contract.side
    try:
        score, where = network(torch.zeros(1, len(contract.mean), side, side), torch.ones(1, 1, side, side))
    except SubjectError as error:
        raise SubjectError(f"{file.path}: {error}") from None
    except Exception as error:
        raise SubjectError(f"{file.path}: it does not take {side}×{side} pixels: {_one_line(error)}") from None
    return {"score": tuple(score.shape)} | ({} if where is None else {"map": tuple(where.shape)})


def _graph(
    file: OnnxFile, contract: LetterboxContract, outputs: dict[str, Output], shapes: dict[str, tuple[int, ...]]
) -> onnx.ModelProto:
    """The file's graph with static shapes, at the letterbox's opset or a later one: `image` float32 [1, C, S, S] →
    `score` and, if there is one, `map`. Raises SubjectError.
    """
    model = compose.add_prefix(at_our_opset(file), PREFIX)
    graph, value = model.graph, helper.make_tensor_value_info
    graph.node.insert(0, helper.make_node("Identity", ["image"], [f"{PREFIX}{file.name}"], name=f"{PREFIX}image"))
    for role, output in outputs.items():
        renamed = Output(role, f"{PREFIX}{output.name}", output.steps)
        nodes, constants = renamed.nodes(shapes[role])
        graph.node.extend(nodes)
        graph.initializer.extend(constants)
    for values in (graph.input, graph.output, graph.value_info):  # their batch and sizes may be dynamic
        del values[:]
    graph.input.append(value("image", TensorProto.FLOAT, [1, len(contract.mean), contract.side, contract.side]))
    graph.output.extend(value(role, TensorProto.FLOAT, shape) for role, shape in shapes.items())
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # shape inference raises its own error classes
        raise SubjectError(f"{file.path}: its graph is not sound: {_one_line(error)}") from None
    return model


def at_our_opset(file: OnnxFile) -> onnx.ModelProto:
    """The model converted to the letterbox's opset, or at its own opset if that is later. Raises SubjectError if the
    conversion fails.
    """
    model = inline_local_functions(file.model)
    model.ir_version = max(IR_VERSION, model.ir_version)
    opset = _opset(file)
    if opset >= OPSET:
        return model
    try:
        return version_converter.convert_version(model, OPSET)
    except Exception as error:
        raise SubjectError(
            f"{file.path}: opset {opset} cannot be brought to {OPSET}, the letterbox's ({_one_line(error)}); "
            f"export it again with opset {OPSET} or later"
        ) from None


def _opset(file: OnnxFile) -> int:
    return next((entry.version for entry in file.model.opset_import if entry.domain in ("", "ai.onnx")), OPSET)


def _origin(file: OnnxFile, outputs: dict[str, Output]) -> dict[str, str]:
    producer = f"{file.model.producer_name} {file.model.producer_version}".strip()
    return {
        "onnx file": file.path.name,
        "onnx sha256": sha256(file.path),
        **{f"sha256 of {weights.name}": sha256(weights) for weights in file.weights},
        "producer": producer or "not said",
        "opset": str(_opset(file)),
        "outputs": ", ".join(map(str, outputs.values())),
    }


def _listed(shape: Sequence[int | str]) -> str:
    return f"[{', '.join(map(str, shape))}]"


def _one_line(error: Exception | str) -> str:
    said = " ".join(str(error).split()) or type(error).__name__
    return said if len(said) <= 300 else f"{said[:60]}… {said[-239:]}"  # the reason is at the end
