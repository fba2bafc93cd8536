"""A foreign ONNX model is exported to a bundle with the model's own results for the letterboxed picture, or refused."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from support.line import command, running_line
from torch import nn

from edge.backends import check_golden, load_from
from edge.bundle import load_bundle, sha256
from edge.verdict import Outcome
from export.onnx_model import at_our_opset, read_onnx
from export.output import Output, parse_outputs
from export.source import SubjectError

SIDE = 32
BGR = (40, 100, 220)
"""The colour of the plain pictures, with a different value in each channel."""

Export = Callable[..., int | str]


def channel_means(shape: list[object] | None = None, opset: int = 13, **changes: object) -> onnx.ModelProto:
    """A model with the outputs mean of each channel, [N, 3], and picture eight times smaller, [N, 3, S/8, S/8].

    Its tensors have names that an export uses too, which must have no effect.
    """
    value = helper.make_tensor_value_info
    nodes = [
        helper.make_node("GlobalAveragePool", ["frame"], ["image"]),
        helper.make_node("Flatten", ["image"], ["mask"], axis=1),
        helper.make_node("AveragePool", ["frame"], ["score:0"], kernel_shape=[8, 8], strides=[8, 8]),
    ]
    graph = helper.make_graph(
        nodes,
        "means",
        [value("frame", changes.get("kind", TensorProto.FLOAT), shape or ["N", 3, SIDE, SIDE])],
        [value("mask", TensorProto.FLOAT, ["N", 3]), value("score:0", TensorProto.FLOAT, None)],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8, producer_name="by hand"
    )


@pytest.fixture
def means(tmp_path: Path) -> Path:
    onnx.save(channel_means(), tmp_path / "means.onnx")
    return tmp_path / "means.onnx"


@pytest.fixture
def plates(tmp_path: Path) -> Path:
    """Photographs without splits: good plates are dark, bad ones light, each of nearly one colour."""
    for label, levels in (("good", (10, 20, 30)), ("bad", (200, 210, 220))):
        (tmp_path / "plates" / label).mkdir(parents=True)
        for level in levels:
            cv2.imwrite(str(tmp_path / "plates" / label / f"{level}.png"), level - 1 + STRIPES)
    return tmp_path / "plates"


SCORE_THE_WRONG_WAY = "bad photographs score lower than good ones"
STRIPES = np.tile(np.array([0, 2], np.uint8)[:, None], (20, 80))[..., None].repeat(3, axis=2)
"""Stripes added to the pictures, because a blank picture is not accepted as a photograph."""


def plain(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), BGR, np.uint8)


def test_the_score_is_the_one_that_arithmetic_predicts(means: Path, tmp_path: Path, export: Export) -> None:
    letterbox = ["--letterbox", "mean=0.1,0.2,0.3", "--letterbox", "std=0.5,0.25,0.125", "--letterbox", "fill=255"]
    arguments = ["--onnx", means, *letterbox, "--output", "score=mask[2]", "--threshold", "-1.5"]
    assert export(*arguments, "--out", tmp_path / "blue.edge") == 0
    bundle = load_bundle(tmp_path / "blue.edge")
    for backend in ("onnxruntime", "openvino"):
        runtime = load_from(bundle, backend, 1)
        for (height, width), covered in {(50, 50): 1.0, (40, 80): 0.5, (160, 40): 0.25, (64, 48): 0.75}.items():
            level = (covered * BGR[0] + (1 - covered) * 255) / 255  # the third channel of RGB is the blue one
            assert runtime.infer(plain(height, width)).score == pytest.approx((level - 0.3) / 0.125, abs=1e-4)
        assert check_golden(bundle, runtime) < 1e-4


def test_the_map_is_the_models_own_and_the_score_its_largest_value(means: Path, tmp_path: Path, export: Export) -> None:
    outputs = ["--output", "score=score:0[0]:max", "--output", "map=score:0[0]"]
    arguments = ["--onnx", means, "--letterbox", "fill=0", *outputs, "--threshold", "0.5"]
    assert export(*arguments, "--out", tmp_path / "red.edge") == 0
    bundle = load_bundle(tmp_path / "red.edge")
    assert bundle.manifest.map_size == (4, 4)
    found = load_from(bundle, "openvino", 1).infer(plain(40, 80))
    red = BGR[2] / 255
    expected = np.array([[0] * 4, [red] * 4, [red] * 4, [0] * 4])
    assert found.map == pytest.approx(expected, abs=1e-4)
    assert found.score == pytest.approx(red, abs=1e-4)


def test_the_threshold_is_chosen_on_the_photographs_and_provenance_names_the_file(
    means: Path, plates: Path, tmp_path: Path, export: Export, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--onnx", means, "--letterbox", "mode=stretch", "--output", "score=mask:max", "--data", plates]
    assert export(*arguments, "--threshold", "recall=1", "--out", tmp_path / "light.edge") == 0
    assert SCORE_THE_WRONG_WAY not in capsys.readouterr().err
    manifest = load_bundle(tmp_path / "light.edge").manifest
    for artifact in manifest.artifacts.values():
        assert artifact.threshold.strategy == "recall at_least=1"
        assert artifact.threshold.value == pytest.approx((30 + 200) / 2 / 255, abs=1e-4)
        assert artifact.threshold.recall.value == artifact.threshold.specificity.value == 1
    said = manifest.provenance
    assert said["onnx sha256"] == sha256(means)
    assert (said["onnx file"], said["producer"], said["opset"]) == ("means.onnx", "by hand", "13")
    assert said["outputs"] == "score=mask:max"
    assert "recipe" not in said


@pytest.mark.all_hard_frames
def test_a_threshold_given_by_hand_says_so_and_knows_no_recall(
    means: Path, plates: Path, tmp_path: Path, export: Export
) -> None:
    arguments = ["--onnx", means, "--output", "score=mask:max", "--threshold", "0.9"]
    assert export(*arguments, "--out", tmp_path / "alone.edge") == 0
    assert export(*arguments, "--data", plates, "--out", tmp_path / "judged.edge") == 0
    alone, judged = (load_bundle(tmp_path / f"{n}.edge").artifact("openvino").threshold for n in ("alone", "judged"))
    assert (alone.value, alone.strategy, alone.data) == (0.9, "given by hand", "no photographs")
    assert alone.recall.value is alone.specificity.value is None
    assert (judged.value, judged.strategy, judged.recall.value, judged.specificity.value) == (
        0.9,
        "given by hand",
        0,
        1,
    )
    parity = json.loads((tmp_path / "alone.edge" / "parity.json").read_text())
    assert parity["hard frames"]["score and map"]["openvino"]["frames"] > 10


def test_scores_that_are_higher_for_the_good_are_said(
    means: Path, plates: Path, tmp_path: Path, export: Export, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--onnx", means, "--output", "score=mask:max:negative", "--data", plates]
    assert export(*arguments, "--out", tmp_path / "turned.edge") == 0
    assert f"{SCORE_THE_WRONG_WAY} (AUROC 0.000)" in capsys.readouterr().err


def scaled_means(scale: float, added: float = 0.0) -> onnx.ModelProto:
    """`channel_means` with scores multiplied by `scale`; `added` is added and subtracted again."""
    model = channel_means()
    graph = model.graph
    for name, value in (("scale", scale), ("added", added)):
        graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), name))
    graph.node.append(helper.make_node("Mul", ["mask", "scale"], ["small"]))
    graph.node.append(helper.make_node("Add", ["small", "added"], ["far"]))
    graph.node.append(helper.make_node("Sub", ["far", "added"], ["scaled"]))
    graph.output.append(helper.make_tensor_value_info("scaled", TensorProto.FLOAT, ["N", 3]))
    return model


@pytest.mark.parametrize(("scale", "data"), [(1e-5, True), (1e4, False)])
def test_scores_of_any_size_are_held_to_a_share_of_their_spread(
    plates: Path, tmp_path: Path, export: Export, scale: float, data: bool
) -> None:
    onnx.save(scaled_means(scale), tmp_path / "scaled.onnx")
    arguments = ["--onnx", tmp_path / "scaled.onnx", "--output", "score=scaled[0]", "--threshold", 0.5 * scale]
    arguments += ["--data", plates] if data else []
    assert export(*arguments, "--out", tmp_path / "scaled.edge") == 0
    bundle = load_bundle(tmp_path / "scaled.edge")
    known = bundle.manifest.score_range
    assert known is not None
    assert 0 < known.high - known.low <= 1.01 * scale
    for name, artifact in bundle.manifest.artifacts.items():
        assert artifact.golden_tolerance == pytest.approx(1e-4 * known.spread)
        assert artifact.margin <= 1e-4 * known.spread
        assert check_golden(bundle, load_from(bundle, name, 1)) <= artifact.golden_tolerance


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_scores_that_are_all_the_same_can_be_exported(
    plates: Path, tmp_path: Path, export: Export, value: float
) -> None:
    onnx.save(scaled_means(0.0), tmp_path / "same.onnx")
    if value:
        model = channel_means()
        model.graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), "value"))
        model.graph.initializer.append(numpy_helper.from_array(np.array(0.0, np.float32), "zero"))
        model.graph.node.append(helper.make_node("Mul", ["mask", "zero"], ["none"]))
        model.graph.node.append(helper.make_node("Add", ["none", "value"], ["scaled"]))
        model.graph.output.append(helper.make_tensor_value_info("scaled", TensorProto.FLOAT, ["N", 3]))
        onnx.save(model, tmp_path / "same.onnx")
    arguments = ["--onnx", tmp_path / "same.onnx", "--output", "score=scaled[0]", "--threshold", "1", "--data", plates]
    assert export(*arguments, "--out", tmp_path / "same.edge") == 0
    bundle = load_bundle(tmp_path / "same.edge")
    assert bundle.artifact("openvino").golden_tolerance <= 1.001e-5 * max(value, 1e-3)


def test_small_scores_that_are_mostly_rounding_are_refused(
    plates: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    onnx.save(scaled_means(1e-5, added=100.0), tmp_path / "noise.onnx")  # float32 has steps of 7.6e-6 there
    arguments = ["--onnx", tmp_path / "noise.onnx", "--output", "score=scaled[0]", "--threshold", "5e-6"]
    assert "differs from noise.onnx in ONNX Runtime" in refused(*arguments, "--data", plates)


def test_a_tighter_tolerance_than_rounding_is_told(means: Path, tmp_path: Path, refused: Callable[..., str]) -> None:
    levels = ["--letterbox", "std=0.0001,0.0001,0.0001", "--output", "score=mask[0]", "--threshold", "5000"]
    assert "no bundle was written; if that is rounding, --tolerance allows more" in (
        refused("--onnx", means, *levels, "--tolerance", "1e-9")
    )


SHAPES = {"p": "[1, 3]", "output:0": "[1, 3]", "m": "[1, 3, 2, 2]", "p[0]": "[1]"}
LOGITS = np.array([[-1.0, 0.5, 2.0]], np.float32)
SOFT = np.exp(LOGITS) / np.exp(LOGITS).sum()
PLANES = np.arange(12, dtype=np.float32).reshape(1, 3, 2, 2)


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("score=p[2]", LOGITS, 2.0),
        ("score=p:max", LOGITS, 2.0),
        ("score=output:0[1]", LOGITS, 0.5),
        ("score=p:sigmoid[0]", LOGITS, 1 / (1 + np.exp(1))),
        ("score=p:softmax[1]", LOGITS, SOFT[0, 1]),
        ("score=p:softmax[0]:complement", LOGITS, 1 - SOFT[0, 0]),
        ("score=p:negative:max:negative", LOGITS, -1.0),
        ("score=m[1]:max", PLANES, 7.0),
        ("score=p[0]", np.array([3.0], np.float32), 3.0),
        ("map=m[1]", PLANES, PLANES[:, 1]),
        ("map=m:softmax[2]", PLANES, np.full((1, 2, 2), 1 / (1 + np.exp(-4) + np.exp(-8)))),
    ],
)
def test_every_step_is_what_it_says_in_pytorch_and_in_the_graph(text: str, value: np.ndarray, expected: float) -> None:
    output = parse_outputs([text, *(["score=p[2]"] if text.startswith("map") else [])], SHAPES)[text.partition("=")[0]]
    found = output.of(torch.from_numpy(value))
    assert found.numpy() == pytest.approx(np.broadcast_to(expected, found.shape), abs=1e-6)
    assert in_graph(output, value, tuple(found.shape)) == pytest.approx(found.numpy(), abs=1e-6)


def in_graph(output: Output, value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    nodes, constants = output.nodes(shape)
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "steps",
        [info(output.name, TensorProto.FLOAT, value.shape)],
        [info(output.role, TensorProto.FLOAT, shape)],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    (found,) = ort.InferenceSession(model.SerializeToString()).run(None, {output.name: value})
    return found


@pytest.mark.parametrize(("out", "remedy"), [("part", "part.edge"), ("lines/part.v2/", "lines/part.v2.edge")])
def test_a_bundle_is_called_edge(
    export: Export, capsys: pytest.CaptureFixture[str], tmp_path: Path, out: str, remedy: str
) -> None:
    assert export("--onnx", tmp_path / "m.onnx", "--out", out) == 2
    assert capsys.readouterr().err == f"error: --out {Path(out)}: a bundle is called NAME.edge; say --out {remedy}\n"


@pytest.mark.parametrize(
    ("shape", "arguments", "says"),
    [
        (["N", 3, "H", "W"], [], "the size of its input frame is open: give --letterbox side=224"),
        ([4, 3, SIDE, SIDE], [], "4 pictures at a time; export it for one"),
        (["N", SIDE, SIDE, 3], [], "channels last (NHWC); export it with channels first (NCHW)"),
        (["N", "H", "W", 3], [], "is [N, H, W, 3], channels last (NHWC); export it with channels first (NCHW)"),
        (["N", "H", "W", 3], ["--letterbox", "side=32"], "is [N, H, W, 3], channels last (NHWC)"),
        (["N", "H", "W", 1], [], "channels last (NHWC)"),
        (["N", 3, 48, 192], [], "is [N, 3, 48, 192], not a square"),
        (["N", 4, SIDE, SIDE], [], "a picture has 3 channels, or 1"),
        (["N", 1, SIDE, SIDE], ["--letterbox", "colour=rgb"], "has 1 channel, the letterbox 3"),
        (["N", 3, SIDE], [], "a bundle gives it [N, channels, height, width]"),
        (["N", 3, SIDE, SIDE], ["--letterbox", "side=64"], "takes 32×32 pixels and no other size"),
        (["N", 3, SIDE, SIDE], ["--letterbox", "filter=lanczos"], "--letterbox filter='lanczos': must be 'antialias',"),
        (
            ["N", 3, SIDE, SIDE],
            ["--letterbox", "sise=64"],
            "--letterbox sise: there is no such key; did you mean 'side'? a",
        ),
        (["N", 3, "H", "W"], ["--letterbox", "sise=64"], "--letterbox sise: there is no such key"),
        (["N", 3, SIDE, SIDE], ["--letterbox", "stretch"], "is not of the form key=value"),
        (["N", 3, "H", "W"], ["--letterbox", "side=8"], "--letterbox side=8: must be at least 16"),
        (None, ["--output", "score=prob"], "no such output; the model has mask [N, 3], score:0"),
        (None, ["--output", "score=mask"], "score=mask has 3 values for a picture: pick one, such as score=mask[1]"),
        (None, ["--output", "score=mask[3]"], "there is no class 3; mask has 0 to 2"),
        (None, ["--output", "score=mask:exp"], "':exp' is no step"),
        (None, ["--output", "score=mask[1]:softmax"], "one value for a picture before :softmax"),
        (None, ["--output", "mask[1]"], "is neither score=… nor map=…"),
        (None, ["--output", "map=score:0[1]"], "say what the score is"),
        (None, ["--output", "score=mask[1]", "--output", "score=mask[2]"], "given twice"),
        (None, ["--output", "score=mask[1]", "--output", "map=score:0"], "a map is [1, h, w] or [1, 1, h, w]"),
        (None, ["--threshold", "balanced"], "chosen (balanced) on labelled photographs: give --data, or a number"),
        (None, ["--threshold", "nan"], "--threshold nan is not a finite number"),
        (
            None,
            ["--threshold", "recal"],
            "recal is no number and no strategy; did you mean 'recall'? there are best-f1",
        ),
        (None, ["--threshold", "0.58x"], "--threshold 0.58x is no number and no strategy; there are best-f1, recall"),
        (None, ["--threshold", "0.58x"], "cost, reject-rate; or give a number"),
        (None, ["--threshold", "cost=10,1,1"], "give cost=MISS,FALSE_REJECT"),
        (None, ["--recipe", "padim"], "--recipe goes with --checkpoint, not with --onnx"),
        (None, ["--half"], "--half goes with RUN or --checkpoint, not with --onnx"),
        (None, ["--checkpoint", "best.pt"], "export one of RUN, --onnx FILE and --checkpoint FILE"),
    ],
)
def test_what_does_not_fit_is_one_line(
    refused: Callable[..., str], tmp_path: Path, shape: list[object] | None, arguments: list[str], says: str
) -> None:
    onnx.save(channel_means(shape), tmp_path / "m.onnx")
    threshold = [] if "--threshold" in arguments else ["--threshold", "0.5"]
    output = [] if "--output" in arguments else ["--output", "score=mask:max"]
    assert says in refused("--onnx", tmp_path / "m.onnx", *threshold, *output, *arguments)


def named_model(name: str) -> bytes:
    """The content of a file that is no model, or of a model that cannot be exported."""
    model = channel_means()
    if name == "several inputs":
        model.graph.input.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, [1]))
    if name == "uint8":
        model = channel_means(kind=TensorProto.UINT8)
    if name == "no shape":
        model.graph.input[0].type.tensor_type.ClearField("shape")
    if name == "fixed size inside":
        model = channel_means(["N", 3, "H", "W"])
        model.graph.initializer.append(numpy_helper.from_array(np.zeros((1, 3, 48, 48), np.float32), "z"))
        model.graph.node.insert(0, helper.make_node("Add", ["frame", "z"], ["added"]))
        model.graph.node[1].input[0] = "added"
    if name == "whole numbers":
        model.graph.node.append(helper.make_node("ArgMax", ["mask"], ["class"], axis=1))
        model.graph.output.append(helper.make_tensor_value_info("class", TensorProto.INT64, ["N", 1]))
    if name == "turned":
        model = channel_means(["N", "A", "B", "C"])
        model.graph.node.insert(0, helper.make_node("Transpose", ["frame"], ["turned"], perm=[0, 3, 1, 2]))
        model.graph.node[1].input[0] = model.graph.node[3].input[0] = "turned"
    if name == "ir":
        model.ir_version = 99
    if name == "opset":
        model.opset_import[0].version = 99
    if name == "unknown operator":
        model.graph.node[0].domain = "com.example"
        model.opset_import.append(helper.make_opsetid("com.example", 1))
    if name == "dangling":
        model.graph.node[0].input[0] = "nowhere"
    in_words = onnx.printer.to_text(model).encode()
    return {"garbage": b"garbage garbage", "empty": b"", "in words": in_words}.get(name, model.SerializeToString())


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("garbage", "not a sound ONNX model"),
        ("empty", "it has 0 inputs (none)"),
        ("several inputs", "it has 2 inputs (frame, other)"),
        ("uint8", "its input frame is uint8; a bundle gives it float32"),
        ("no shape", "of any shape"),
        ("fixed size inside", "it does not take 32×32 pixels"),
        ("whole numbers", "its output class is tensor(int64)"),
        ("in words", "not a sound ONNX model"),
        ("unknown operator", "ONNX Runtime cannot load it"),
        ("unknown operator", "com.example"),
        ("turned", "is [N, A, B, C], channels last (NHWC)"),
        ("ir", "it has IR version 99; the newest that ONNX Runtime "),
        ("ir", " reads is IR version 1"),
        ("opset", "it has opset 99 of ai.onnx; the newest that ONNX Runtime "),
        ("opset", " reads is opset 2"),
        ("dangling", "ONNX Runtime cannot load it"),
    ],
)
def test_a_model_that_cannot_become_a_bundle_is_one_line(
    refused: Callable[..., str], tmp_path: Path, name: str, says: str
) -> None:
    file = tmp_path / ("m.textproto" if name == "in words" else "m.onnx")
    file.write_bytes(named_model(name))
    score = "score=class:max" if name == "whole numbers" else "score=mask:max"
    side = ["--letterbox", "side=32"]
    assert says in refused("--onnx", file, *side, "--threshold", "0.5", "--output", score)


def test_a_model_that_names_its_operators_twice_is_exported(tmp_path: Path, export: Export) -> None:
    model = channel_means(opset=20)
    model.opset_import.append(helper.make_opsetid("ai.onnx", 20))
    onnx.save(model, tmp_path / "m.onnx")
    options = ("--letterbox", "side=32", "--threshold", "0.5", "--output", "score=mask:max")
    assert export("--onnx", tmp_path / "m.onnx", *options, "--out", tmp_path / "x.edge") == 0


def test_a_missing_file_is_one_line(refused: Callable[..., str], tmp_path: Path) -> None:
    assert "gone.onnx: cannot be read: No such file" in refused("--onnx", tmp_path / "gone.onnx", "--threshold", "0.5")


def test_an_operator_that_no_converter_knows_names_the_opset_to_export_with(tmp_path: Path) -> None:
    model = channel_means(opset=1)
    model.graph.node.append(helper.make_node("Pad", ["mask"], ["padded"], paddings=[0] * 4))
    onnx.save(model, tmp_path / "old.onnx")
    with pytest.raises(SubjectError, match=r"opset 1 cannot be brought to 18, .*; export it again with opset 18"):
        at_our_opset(read_onnx(tmp_path / "old.onnx"))


def test_what_only_one_runtime_knows_is_one_line(refused: Callable[..., str], tmp_path: Path) -> None:
    model = channel_means(opset=18)
    model.graph.node.append(helper.make_node("Inverse", ["score:0"], ["inverse"], domain="com.microsoft"))
    model.graph.output.append(helper.make_tensor_value_info("inverse", TensorProto.FLOAT, ["N", 3, 4, 4]))
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    onnx.save(model, tmp_path / "m.onnx")
    said = refused("--onnx", tmp_path / "m.onnx", "--output", "score=inverse:max", "--threshold", "0.5")
    assert "OpenVINO cannot run it" in said
    assert "Inverse" in said


@pytest.fixture
def weighted(tmp_path: Path) -> Path:
    """A model with its weights in a separate file: the mean of each channel times 3, 2, 1."""
    model = channel_means(opset=18)
    model.graph.initializer.append(numpy_helper.from_array(np.array([3, 2, 1], np.float32), "w"))
    model.graph.node[1].output[0] = "plain"
    model.graph.node.append(helper.make_node("Mul", ["plain", "w"], ["mask"]))
    file = tmp_path / "weighted.onnx"
    onnx.save(model, file, save_as_external_data=True, location="weights.bin", size_threshold=0)
    return file


def test_weights_beside_the_file_come_into_the_bundle(weighted: Path, tmp_path: Path, export: Export) -> None:
    arguments = ["--onnx", weighted, "--output", "score=mask[0]", "--threshold", "0.5"]
    assert export(*arguments, "--out", tmp_path / "w.edge") == 0
    bundle = load_bundle(tmp_path / "w.edge")
    assert bundle.manifest.provenance["sha256 of weights.bin"] == sha256(tmp_path / "weights.bin")
    (tmp_path / "weights.bin").unlink()
    found = load_from(bundle, "onnxruntime", 1).infer(plain(50, 50))
    assert found.score == pytest.approx(3 * BGR[2] / 255, abs=1e-4)


def test_weights_that_are_missing_or_lie_outside_the_folder_are_refused(
    weighted: Path, refused: Callable[..., str], tmp_path: Path
) -> None:
    arguments = ["--output", "score=mask[0]", "--threshold", "0.5"]
    inner = tmp_path / "inner"
    inner.mkdir()
    model = onnx.load(weighted, load_external_data=False)
    for location in ("../weights.bin", str(tmp_path / "weights.bin")):
        (entry,) = (e for e in model.graph.initializer[0].external_data if e.key == "location")
        entry.value = location
        (inner / "m.onnx").write_bytes(model.SerializeToString())
        assert "not a sound ONNX model" in (said := refused("--onnx", inner / "m.onnx", *arguments))
        assert "weights.bin" in said
    (tmp_path / "weights.bin").unlink()
    assert "weights.bin: cannot be read: No such file" in refused("--onnx", weighted, *arguments)


class Net(nn.Module):
    """A user's classifier with three logits."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, 2), nn.SiLU())
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x).mean((2, 3)))


@pytest.mark.parametrize("opset", [11, 22])
def test_a_network_that_torch_exported_says_in_the_bundle_what_torch_says(
    tmp_path: Path, export: Export, opset: int
) -> None:
    torch.manual_seed(0)
    net = Net().eval()
    torch.onnx.export(
        net,
        (torch.zeros(2, 3, 48, 48),),
        tmp_path / "net.onnx",
        input_names=["pixels"],
        output_names=["logits"],
        opset_version=opset,
        dynamo=opset > 11,
        **({"dynamic_axes": {"pixels": {0: "N"}}} if opset == 11 else {"dynamic_shapes": ({0: "N"},)}),
        verbose=False,
    )
    arguments = ["--onnx", tmp_path / "net.onnx", "--output", "score=logits:softmax[2]", "--threshold", "0.5"]
    assert export(*arguments, "--letterbox", "mode=stretch", "--out", tmp_path / "net.edge") == 0
    bundle = load_bundle(tmp_path / "net.edge")
    rgb = torch.tensor([level / 255 for level in reversed(BGR)]).view(1, 3, 1, 1).expand(1, 3, 48, 48)
    with torch.no_grad():
        expected = float(net(rgb).softmax(1)[0, 2])
    for backend in ("onnxruntime", "openvino"):
        assert load_from(bundle, backend, 1).infer(plain(90, 50)).score == pytest.approx(expected, abs=1e-4)


def with_random_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same with its weights of one value each replaced, as He et al. begin a training."""
    rng = np.random.default_rng(0)
    shapes = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for node in [node for node in model.graph.node if node.op_type == "ConstantOfShape"]:
        shape = shapes[node.input[0]]
        spread = np.sqrt(2 / np.prod(shape[1:])) if len(shape) == 4 else 0.0
        weights = (rng.standard_normal(shape) * spread).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(weights, node.output[0]))
        model.graph.node.remove(node)
    return model


def test_a_public_network_runs_on_a_station(tmp_path: Path, export: Export) -> None:
    """SqueezeNet from the onnx package, which has the architecture only: here with random weights."""
    model = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light" / "light_squeezenet.onnx"
    if not model.is_file():
        pytest.skip(f"this onnx package carries no {model.name}")
    out, weighted = tmp_path / "public.edge", tmp_path / "public.onnx"
    onnx.save(with_random_weights(onnx.load(model)), weighted)
    arguments = ["--onnx", weighted, "--output", "score=softmaxout_1[3]", "--threshold", "0.001", "--out", out]
    assert export(*arguments) == 0
    done = subprocess.run(command("verify", out), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

    rng = np.random.default_rng(0)
    (tmp_path / "parts").mkdir()
    for index in range(3):
        cv2.imwrite(str(tmp_path / "parts" / f"{index}.png"), rng.integers(0, 256, (200, 300, 3), dtype=np.uint8))
    with running_line("--source", tmp_path / "parts", "--backend", "openvino", bundle=out) as line:
        assert line.to_the_end() == 0
    runtime = load_from(load_bundle(out), "onnxruntime", 1)
    for verdict in line.verdicts:
        score = runtime.infer(cv2.imread(str(tmp_path / "parts" / str(verdict.part)))).score
        assert verdict.score == pytest.approx(score, abs=1e-4)
        assert (verdict.verdict is Outcome.REJECT) == (score >= 0.001)
    assert len(line.verdicts) == 3
