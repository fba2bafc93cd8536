"""An int8 artifact is in the bundle only if it judges as PyTorch does; otherwise the bundle has the reason."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime as ort
import openvino as ov
import pytest
import torch
from support.line import running_line
from torch import Tensor, nn

import edge.backends.loader
import edge.cli.verify
import export.cli as export_cli
import export.int8
import export.pack
from edge.backends import Backend, Output, check_golden, check_static, load_from
from edge.backends.auto import fastest_artifact
from edge.backends.runtimes.openvino_letterbox import use_fast_letterbox
from edge.bundle import Bundle, load_bundle
from edge.errors import BundleError
from edge.evaluation.metrics import unjudged
from edge.letterbox.contract import LetterboxContract
from edge.machine import adds_int8_exactly
from edge.pictures import read_picture
from edge.terminal.progress import SILENT
from export.hard_frames import hard_frames
from export.int8 import Against, CalibrationError, Trial, reason_against
from export.letterbox_graph import PREFIX
from export.pack import Packing, export_subject
from export.runtimes import RUNTIMES
from export.runtimes.base import WeightBits
from export.runtimes.openvino import OpenVinoQuantizer
from export.source import Subject
from train.data.photographs import list_photographs
from train.recipe import ThresholdChoice

pytestmark = pytest.mark.skipif(
    not adds_int8_exactly(),
    reason="this CPU has no VNNI: artifacts with 8-bit weights are refused here",
)

CONTRACT = LetterboxContract(side=64, mode="letterbox", filter="antialias", fill=0, mean=(0, 0, 0), std=(1, 1, 1))
INT8 = {"openvino-int8", "onnxruntime-int8"}
SIZE = (72, 128)


def averaging(inputs: int, outputs: int, side: int) -> nn.Conv2d:
    """A convolution that blurs: all weights are positive, and those of a channel sum to one."""
    layer = nn.Conv2d(inputs, outputs, side, padding=side // 2)
    with torch.no_grad():
        layer.weight.uniform_(0.5, 1)
        layer.weight /= layer.weight.sum(dim=(1, 2, 3), keepdim=True)
        layer.bias.zero_()
    return layer


class Brightest(nn.Module):
    """A network whose score is the brightness of the brightest place. If `sick`, `pick` reads values that 8 bits cannot
    represent.
    """

    def __init__(self, sick: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.grey, self.pick = averaging(3, 2, 1), averaging(2, 8, 3)
        self.blur, self.again, self.head = averaging(8, 8, 3), averaging(8, 8, 3), averaging(8, 1, 3)
        if sick:
            with torch.no_grad():
                self.grey.bias[0] = 1000  # an unused channel that determines the range
                self.pick.weight[:, 0] = 0
                self.pick.weight /= self.pick.weight.sum(dim=(1, 2, 3), keepdim=True)

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        x = torch.relu(self.pick(torch.relu(self.grey(image * mask))))
        x = torch.relu(self.again(torch.relu(self.blur(x))))
        where = (20 * (self.head(x) - 0.6)).sigmoid() * mask
        return where.amax(dim=(1, 2, 3)), where.squeeze(1)


def draw(folder: Path, good: int, bad: int) -> None:
    """Write noisy plates; the bad ones have a bright blot, and a mask of the blot."""
    rng = np.random.default_rng(len(str(folder)))
    for label, count in (("good", good), ("bad", bad)):
        for i in range(count):
            frame, mask = rng.normal(110, 6, (*SIZE, 3)), np.zeros(SIZE, np.uint8)
            y, x = rng.integers(12, 40), rng.integers(12, 90)
            mask[y : y + 20, x : x + 20] = 255 * (label == "bad")
            frame[mask > 0] += 90
            for place, picture in ((label, frame.clip(0, 255).astype(np.uint8)), ("mask", mask)):
                (folder / place).mkdir(parents=True, exist_ok=True)
                if place != "mask" or label == "bad":
                    cv2.imwrite(str(folder / place / f"{label}{i:02}.png"), picture)


MakeSubject = Callable[..., Subject]
Export = Callable[..., int | str]


@pytest.fixture(scope="module")
def make_subject(tmp_path_factory: pytest.TempPathFactory) -> MakeSubject:
    """`make_subject(network, train=N)` on N good and N bad drawn photographs for training and 6 and 6 to validate."""

    def make(network: nn.Module, train: int = 8) -> Subject:
        data = tmp_path_factory.mktemp("data")
        draw(data / "train", train, train)
        draw(data / "val", 6, 6)
        return Subject(
            title="brightest",
            task="supervised",
            network=network.eval(),  # type: ignore[arg-type]
            contract=CONTRACT,
            threshold=ThresholdChoice(strategy="balanced"),
            data=data,
            fingerprint="0" * 64,
            photographs=lambda split: list_photographs(data, split),
        )

    return make


@pytest.fixture(scope="module")
def subject(make_subject: MakeSubject) -> Subject:
    return make_subject(Brightest())


@pytest.fixture(scope="module")
def bundle(subject: Subject, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return exported(subject, tmp_path_factory.mktemp("bundle") / "brightest.edge")


def exported(subject: Subject, out: Path, weight_bits: WeightBits = 8) -> Bundle:
    packing = Packing(int8=True, weight_bits=weight_bits)
    return export_subject(subject, out, SILENT.begin, packing)


def test_an_int8_artifact_that_judges_as_pytorch_does_is_in_the_bundle(bundle: Bundle) -> None:
    manifest = load_bundle(bundle.path).manifest
    assert set(manifest.artifacts) == {"openvino", "onnxruntime"} | INT8
    assert manifest.refused == {}
    for name in INT8:
        artifact = bundle.artifact(name)
        assert artifact.precision == "int8"
        assert artifact.quantization is not None
        assert artifact.quantization.calibrated_on.startswith("16 of 16 training photographs of ")
        assert artifact.quantization.integer_layers >= 3
        assert artifact.threshold.recall.value == artifact.threshold.specificity.value == 1.0
        assert bundle.artifact("openvino").margin < 1e-4 < artifact.margin < 0.1, "rounded to 8 bits, and no worse"
        assert 1e-4 < check_golden(bundle, load_from(bundle, name, 1)) <= artifact.golden_tolerance / 2


def test_the_int8_artifacts_compute_in_int8(bundle: Bundle) -> None:
    compiled = ov.Core().compile_model(bundle.path / bundle.artifact("openvino-int8").path, "CPU")
    kernels = [
        op.get_rt_info()["primitiveType"].astype(str)
        for op in compiled.get_runtime_model().get_ops()
        if op.get_rt_info()["layerType"].astype(str) == "Convolution"
    ]
    assert sum("8" in kernel.rpartition("_")[2] for kernel in kernels) >= 3, kernels
    weights = onnx.load(bundle.path / bundle.artifact("onnxruntime-int8").path).graph.initializer
    in_int8 = [w for w in weights if w.data_type == onnx.TensorProto.INT8 and len(w.dims) == 4]
    assert len(in_int8) >= 3
    assert max(np.abs(onnx.numpy_helper.to_array(w).astype(int)).max() for w in in_int8) > 64, "all 8 bits"


def test_weights_of_7_bits_leave_half_their_range_empty(subject: Subject, tmp_path: Path) -> None:
    bundle = exported(subject, tmp_path / "narrow.edge", weight_bits=7)
    weights = onnx.load(bundle.path / bundle.artifact("onnxruntime-int8").path).graph.initializer
    in_int8 = [w for w in weights if w.data_type == onnx.TensorProto.INT8 and len(w.dims) == 4]
    assert len(in_int8) >= 3
    assert all(np.abs(onnx.numpy_helper.to_array(w).astype(int)).max() <= 64 for w in in_int8)
    model = ov.Core().read_model(bundle.path / bundle.artifact("openvino-int8").path)
    constants = [
        op for op in model.get_ops() if op.get_type_name() == "Constant" and op.get_element_type() == ov.Type.i8
    ]
    assert len(constants) >= 3
    assert all(np.abs(op.data.astype(int)).max() <= 64 for op in constants)


@pytest.mark.parametrize("bits", [7, 8])
def test_weights_of_8_bits_are_refused_where_their_sums_saturate(
    bundle: Bundle, subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bits: int
) -> None:
    made = bundle if bits == 8 else exported(subject, tmp_path / "narrow.edge", weight_bits=7)
    monkeypatch.setattr(edge.backends.loader, "adds_int8_exactly", lambda: False)  # no CPU without VNNI is at hand
    monkeypatch.setenv("EDGE_CACHE", str(tmp_path))
    for name in INT8:
        if bits == 7:
            check_golden(made, load_from(made, name, 1))
            continue
        with pytest.raises(
            BundleError, match=rf"{name} has int8 weights of 8 bits, .* without VNNI, .*--weight-bits 7"
        ):
            load_from(made, name, 1)
        assert fastest_artifact(made, 1, SIZE) not in INT8


def test_edge_verify_leaves_out_what_this_cpu_cannot_compute(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(edge.backends.loader, "adds_int8_exactly", lambda: False)  # no CPU without VNNI is at hand
    for options, code in (([], 0), (["--backend", "openvino-int8"], 1)):
        monkeypatch.setattr("sys.argv", ["edge-verify", str(bundle.path), "--json", *options])
        with pytest.raises(SystemExit) as left:
            edge.cli.verify.main()
        assert left.value.code == code
        said = capsys.readouterr()
        checked = {check["backend"] for check in json.loads(said.out)["checks"]}
        assert checked == ({"openvino-int8"} if options else {"openvino", "onnxruntime"})
        assert ("FAILED: " if options else "not verified: openvino-int8, ") in said.err


def test_export_says_at_once_that_8_bits_cannot_be_tried_without_vnni(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begun(what: str, steps: int) -> Callable[[], None]:
        raise AssertionError(f"{what} before it was said")

    monkeypatch.setattr(export.pack, "adds_int8_exactly", lambda: False)  # no CPU without VNNI is at hand
    with pytest.raises(CalibrationError, match=r"without VNNI.*: give --weight-bits 7"):
        export_subject(subject, tmp_path / "wide.edge", begun, Packing(int8=True))
    assert not list(tmp_path.iterdir())


def test_the_letterbox_of_an_int8_artifact_is_the_one_of_float32(bundle: Bundle) -> None:
    images: dict[str, list[np.ndarray]] = {}
    for name in ("openvino", "openvino-int8"):
        model = ov.Core().read_model(bundle.path / bundle.artifact(name).path)
        assert not [op for op in before_image(model) if op.get_type_name() == "FakeQuantize"]
        model.add_outputs("image")
        compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        images[name] = [compiled(frame[None])["image"].copy() for _, frame in list(hard_frames(CONTRACT))[:7]]
    for name in ("onnxruntime", "onnxruntime-int8"):
        graph = onnx.load(bundle.path / bundle.artifact(name).path)
        assert not [n for n in graph.graph.node if n.name.startswith(PREFIX) and "Linear" in n.op_type]
        graph.graph.output.append(onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [1, 3, 64, 64]))
        session = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
        images[name] = [
            session.run(["image"], {"frame": frame[None]})[0] for _, frame in list(hard_frames(CONTRACT))[:7]
        ]
    for runtime in ("openvino", "onnxruntime"):
        for float32, int8 in zip(images[runtime], images[f"{runtime}-int8"], strict=True):
            np.testing.assert_array_equal(float32, int8)


def before_image(model: ov.Model) -> list[ov.Node]:
    """All nodes from which the value `image` is computed."""
    todo = [op for op in model.get_ops() if any("image" in output.get_names() for output in op.outputs())]
    assert todo
    seen = {op.get_friendly_name(): op for op in todo}
    while todo:
        for node in (value.get_node() for value in todo.pop().input_values()):
            if node.get_friendly_name() not in seen:
                seen[node.get_friendly_name()] = node
                todo.append(node)
    return list(seen.values())


def test_the_static_variant_replaces_the_letterbox_of_the_int8_graph(bundle: Bundle) -> None:
    model = ov.Core().read_model(bundle.path / bundle.artifact("openvino-int8").path)
    assert any(op.get_friendly_name().startswith(PREFIX) for op in model.get_ordered_ops())
    model.reshape({"frame": [1, *SIZE, 3]})
    use_fast_letterbox(model, SIZE, CONTRACT)
    assert not [op for op in model.get_ordered_ops() if op.get_friendly_name().startswith(PREFIX)]
    for name in INT8:
        anysize, fixed = (load_from(bundle, name, 1, shape) for shape in (None, SIZE))
        assert check_static(bundle, anysize, fixed, SIZE) <= bundle.artifact(name).golden_tolerance


def test_a_layer_that_int8_cannot_hold_is_given_back(make_subject: MakeSubject, tmp_path: Path) -> None:
    manifest = exported(make_subject(Brightest(sick=True)), tmp_path / "sick.edge").manifest
    for name in INT8:
        quantization = manifest.artifacts[name].quantization
        assert quantization is not None
        assert "pick" in quantization.given_back
        assert "again" not in quantization.given_back
    tried = json.loads((tmp_path / "sick.edge" / "parity.json").read_text())["int8"]["openvino-int8"]
    assert "validation verdicts" in tried[0]["refused because"]
    assert tried[-1]["refused because"] is None
    page = (tmp_path / "sick.edge" / "parity.html").read_text(encoding="utf-8")
    section = page.partition("openvino-int8: accepted")[2].partition("<tbody>")[2].partition("</tbody>")[0]
    assert section.count("<tr><th>") == len(tried) >= 2
    assert tried[0]["refused because"] in section


def test_int8_that_turns_verdicts_is_refused_and_the_bundle_says_why(make_subject: MakeSubject, tmp_path: Path) -> None:
    network = Brightest(sick=True)
    network.blur = network.again = nn.Identity()  # without `pick`, nothing worth computing in int8 is left
    refused = exported(make_subject(network), tmp_path / "refused.edge")
    assert set(refused.manifest.artifacts) == {"openvino", "onnxruntime"}
    assert set(refused.manifest.refused) == INT8
    for reason in refused.manifest.refused.values():
        assert "validation verdicts" in reason
    assert not list(refused.path.glob("*int8*"))
    page = (refused.path / "parity.html").read_text(encoding="utf-8")
    assert "openvino-int8: refused" in page
    assert "openvino-int8: accepted" not in page
    check_golden(refused, load_from(refused, "openvino", 1))


def test_too_few_photographs_to_calibrate_with_is_said_in_one_line(make_subject: MakeSubject, tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match=r"has 8 training photographs; INT8 is calibrated on 10 or more.*--int8"):
        exported(make_subject(Brightest(), train=4), tmp_path / "few.edge")
    assert not list(tmp_path.iterdir())


def test_without_bad_photographs_nothing_says_what_int8_would_miss(make_subject: MakeSubject, tmp_path: Path) -> None:
    subject = make_subject(Brightest())
    only_good = replace(
        subject,
        threshold=ThresholdChoice(strategy="specificity", at_least=0.95),
        photographs=lambda split: [p for p in subject.photographs(split) if not p.is_bad],
    )
    with pytest.raises(CalibrationError, match=r"has no bad validation photographs.*--int8"):
        exported(only_good, tmp_path / "good.edge")
    assert not list(tmp_path.iterdir())


FINE = Against(unjudged(0.5), turned=[], new_misses=[], auroc_difference=0.001, largest_difference=0.1)


@pytest.mark.parametrize(
    ("trial", "found", "says"),
    [
        ({}, {}, None),
        ({}, {"turned": ["a.png"]}, None),
        ({}, {"turned": ["a.png", "b.png", "c.png"]}, "it turns 3 of 1000 validation verdicts, that of a.png first"),
        ({}, {"turned": ["a.png"], "new_misses": ["a.png"]}, "it misses a.png, which PyTorch rejects"),
        ({}, {"auroc_difference": -0.003}, "its AUROC on the validation photographs is -0.0030 off"),
        ({}, {"auroc_difference": 0.003}, "its AUROC on the validation photographs is +0.0030 off"),
        ({"dice": (0.42, 0.43)}, {}, None),
        ({"dice": (0.40, 0.43)}, {}, "the Dice of its map is 0.400 instead of 0.430"),
        ({"cells": 1000, "moved": 5}, {}, None),
        ({"cells": 1000, "moved": 6}, {}, "0.60% of the cells of its maps change sides"),
    ],
)
def test_each_rule_refuses_what_breaks_it_alone(trial: dict[str, Any], found: dict[str, Any], says: str | None) -> None:
    reason = reason_against(Trial([], scores=[0.0] * 1000, **trial), replace(FINE, **found))
    assert reason is None if says is None else says in str(reason)


def test_scores_that_are_no_number_are_refused_and_told(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Nan:
        def __init__(self, backend: Backend) -> None:
            self.name, self._backend = backend.name, backend

        def infer(self, frame: np.ndarray) -> Output:
            return Output(float("nan"), self._backend.infer(frame).map)

    load = export.int8.load_backend
    monkeypatch.setattr(export.int8, "load_backend", lambda *arguments: Nan(load(*arguments)))
    refused = exported(subject, tmp_path / "nan.edge")
    assert "is no number" in refused.manifest.refused["openvino-int8"]
    tried = json.loads((refused.path / "parity.json").read_text())["int8"]["openvino-int8"]
    assert tried[0]["largest score difference"] is None
    assert "<td>–</td>" in (refused.path / "parity.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(("float32_ms", "int8_ms", "speedup"), [(6.0, 2.0, 3.0), (2.0, 4.0, 0.5)])
def test_the_artifact_says_how_many_times_as_fast_it_is(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, float32_ms: float, int8_ms: float, speedup: float
) -> None:
    medians = {"float32": float32_ms, "int8": int8_ms}
    monkeypatch.setattr(
        export.int8, "measure_alternating", lambda loaded, shape: {name: medians[name] for name in loaded}
    )
    quantization = exported(subject, tmp_path / "timed.edge").artifact("openvino-int8").quantization
    assert quantization is not None
    assert quantization.speedup == speedup


@pytest.mark.parametrize(("given", "bits"), [((), 8), (("--weight-bits", 7), 7)])
def test_the_command_line_says_how_many_bits(
    subject: Subject,
    export: Export,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: tuple[object, ...],
    bits: int,
) -> None:
    monkeypatch.setattr(export_cli, "from_run", lambda *_: (subject, None))  # instead of a training
    assert export(tmp_path, "--int8", *given, "--out", tmp_path / "x.edge") == 0
    made = load_bundle(tmp_path / "x.edge").artifact("openvino-int8").quantization
    assert made is not None
    assert made.weight_bits == bits


def test_bits_without_int8_are_one_line(refused: Callable[..., str], tmp_path: Path) -> None:
    assert refused(tmp_path, "--weight-bits", 7) == "error: --weight-bits goes with --int8"


def test_what_the_runtime_does_not_compute_in_int8_is_refused(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Idle(OpenVinoQuantizer):
        """A quantizer that quantizes no layer."""

        def __call__(self, integer: set[str], path: Path) -> None:
            super().__call__(set(), path)

    monkeypatch.setattr(RUNTIMES["openvino"], "quantizer", Idle)
    manifest = exported(subject, tmp_path / "idle.edge").manifest
    assert "openvino-int8" not in manifest.artifacts
    assert "openvino computes no layer of it in int8" in manifest.refused["openvino-int8"]


def test_halved_weights_and_int8_go_together(subject: Subject, tmp_path: Path) -> None:
    bundle = export_subject(subject, tmp_path / "half.edge", SILENT.begin, Packing(half=True, int8=True))
    assert set(bundle.manifest.artifacts) >= INT8


def test_the_station_runs_the_int8_artifact(bundle: Bundle, subject: Subject) -> None:
    folder = subject.photographs("val")[0].path.parent
    with running_line("--source", folder, "--backend", "openvino-int8", bundle=bundle.path) as line:
        assert line.to_the_end() == 0
    int8, float32 = (load_from(bundle, name, 1, SIZE) for name in ("openvino-int8", "openvino"))
    frames = [read_picture(path) for path in sorted(folder.iterdir())]
    said = [verdict.score for verdict in line.verdicts]
    np.testing.assert_allclose(said, [int8.infer(frame).score for frame in frames], atol=1e-6)
    assert max(abs(a - float32.infer(frame).score) for a, frame in zip(said, frames, strict=True)) > 1e-5
