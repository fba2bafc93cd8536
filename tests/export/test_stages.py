"""A stage that differs ends the export, and the error names it: the letterboxed picture, a late layer, the verdict."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from edge.backends import Output, load_backend
from edge.evaluation.thresholds import nearest_threshold
from edge.frame import Frame
from edge.letterbox.contract import LetterboxContract
from export.activations import ParityError, late_layer, listening
from export.graph import write_onnx
from export.parity import (
    Agreement,
    bounds_around,
    check_agreement,
    compare,
    compare_verdicts,
    margin_of,
)
from export.runtimes import RUNTIMES
from export.runtimes.onnxruntime import InsideOnnx
from export.source import Subject
from export.stage_parity import StageCheck, Stages
from export.threshold import golden_tolerances
from train.letterbox import letterboxed
from train.models import Batch, build_network
from train.recipe import load_recipe

NETWORKS = [
    "autoencoder-gelu",
    "autoencoder-bottleneck",
    "segmenter-small",
    "padim",
    "patchcore",
    "padim-patchcore",
    "inspector",
    "unet-resnet34",
]


def subject_of(name: str, contract: LetterboxContract) -> Subject:
    """The subject of a freshly initialised network. A network that learns by statistics is fitted to noise."""
    torch.manual_seed(0)
    network = build_network(name, {}).eval()
    side = contract.side
    shown = Batch(torch.rand(4, 3, side, side), torch.ones(4, 1, side, side), torch.zeros(4), None, None)  # type: ignore[arg-type]
    with torch.no_grad():
        if network.learns_by == "statistics":
            network.gather(shown)
            network.conclude()
        network.familiarise([shown])
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(module.running_mean, -0.5, 0.5)
                torch.nn.init.uniform_(module.running_var, 0.5, 2)
        for weight in network.parameters():
            if not weight.any():  # a head initialised with zeros gives a constant
                weight.fill_(0.5)
    choice = load_recipe("autoencoder-gelu").threshold
    return Subject("drawn", "one-class", network, contract, choice, Path("data"), "0" * 64, lambda split: [])


def frames() -> Iterator[tuple[str, Frame]]:
    rng = np.random.default_rng(3)
    for height, width in ((90, 160), (200, 50)):
        yield f"noise {width}×{height}", rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def compared(subject: Subject, folder: Path, other: Subject | None = None) -> Stages:
    """The stage check of a subject's artifacts. With `other`, the ONNX Runtime artifact is that subject's."""
    write_onnx(subject.network, subject.contract, folder / "own.onnx", {})
    RUNTIMES["openvino"].write(folder / "own.onnx", folder / "own.xml", {})
    onnx = folder / "own.onnx"
    if other is not None:
        onnx = folder / "other.onnx"
        write_onnx(other.network, other.contract, onnx, {})
    files = {"onnxruntime": onnx, "openvino": folder / "own.xml"}
    check = StageCheck(subject, files, onnx)
    with listening(subject.network, [check.seen.module] if check.seen.module else []) as heard:
        for name, frame in frames():
            image, mask = letterboxed(frame, subject.contract)
            score, where = subject.network(image[None], mask[None])
            check.look(name, frame, image, heard)
            for runtime, file in files.items():
                found = load_backend(runtime, file, 1, subject.contract).infer(frame)
                assert found.score == pytest.approx(float(score), abs=1e-4)
                assert found.map == pytest.approx(where.detach().numpy()[0], abs=1e-4)
    return check.seen


@pytest.mark.parametrize("name", NETWORKS)
def test_score_map_and_every_stage_of_a_network_agree_and_a_late_layer_is_among_them(name: str, tmp_path: Path) -> None:
    found = compared(subject_of(name, LetterboxContract(side=64, fill=9)), tmp_path)
    assert found.module is not None
    assert set(found.layer) == {"onnxruntime", "openvino"}
    assert set(found.letterbox) == {"onnxruntime", "openvino", "openvino, fixed size"}
    for worst in (*found.letterbox.values(), found.between, *found.layer.values()):
        assert worst.frames == 2
        assert worst.difference <= worst.allowed
    assert max(worst.difference for worst in found.layer.values()) > 0, "two computations, not one with itself"


def test_a_letterbox_that_is_off_by_two_grey_levels_is_named(tmp_path: Path) -> None:
    network = "autoencoder-gelu"
    own, other = (subject_of(network, LetterboxContract(side=64, fill=fill)) for fill in (9, 11))
    with pytest.raises(ParityError, match=r"letterboxed picture of onnxruntime differs by 0\.0078 on noise 160×90"):
        compared(own, tmp_path, other)


def test_a_network_with_another_weight_is_named_by_its_layer(tmp_path: Path) -> None:
    own, other = (subject_of("autoencoder-gelu", LetterboxContract(side=64)) for _ in range(2))
    with torch.no_grad():
        other.network.get_submodule("decoder.4").weight.mul_(1.001)  # type: ignore[union-attr, operator]
    with pytest.raises(ParityError, match=r"layer decoder\.4 in onnxruntime differs by 0\.00"):
        compared(own, tmp_path, other)


def test_a_network_without_a_layer_in_common_is_not_taken_for_one_that_agrees(tmp_path: Path) -> None:
    own = subject_of("autoencoder-gelu", LetterboxContract(side=64))
    torch.manual_seed(1)
    stranger = build_network("autoencoder-gelu", {}).eval()
    write_onnx(stranger, own.contract, tmp_path / "stranger.onnx", {})
    with pytest.raises(ParityError, match="of the ONNX graph says what no layer of PyTorch says"):
        late_layer(own, tmp_path / "stranger.onnx", next(frames())[1])


def test_what_is_read_inside_a_graph_is_what_the_network_sees(tmp_path: Path) -> None:
    own = subject_of("autoencoder-gelu", LetterboxContract(side=64, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)))
    write_onnx(own.network, own.contract, tmp_path / "own.onnx", {})
    white = np.full((64, 64, 3), 255, np.uint8)
    assert InsideOnnx(tmp_path / "own.onnx", ["image"]).look(white)["image"] == pytest.approx(2.0)


def test_a_flip_of_a_score_at_the_threshold_is_listed_and_any_other_ends_the_export() -> None:
    said = Agreement("openvino", scores=[0.2, 0.52, 0.9], expected=[0.2, 0.49, 0.9])
    assert compare_verdicts(said, ["a", "b", "c"], expected=0.5, threshold=0.51, band=0.02) == ["b"]
    with pytest.raises(ParityError, match=r"openvino turns the verdict of b: score 0\.52, threshold 0\.51"):
        compare_verdicts(said, ["a", "b", "c"], expected=0.5, threshold=0.51, band=0.005)


def test_near_ties_keep_pytorchs_verdicts() -> None:
    scores, rejected = [0.1, 0.3, 0.300001, 0.7], [False, True, False, True]
    assert nearest_threshold(scores, [False, False, False, True], 0.2) == pytest.approx(0.5, abs=1e-3)
    assert nearest_threshold(scores, rejected, 0.6) == 0.6, "no other cut turns fewer"
    assert nearest_threshold(scores, rejected, 0.59, 0.6) == 0.59, "of two that turn as few, the first"


@pytest.mark.parametrize(("score", "where"), [(0.5, np.nan), (np.nan, 0.5)])
def test_an_answer_that_is_no_number_is_no_agreement(score: float, where: float) -> None:
    agreement, expected = Agreement("openvino"), (0.5, np.full((4, 4), 0.5, np.float32))
    compare(agreement, "first", Output(0.5, np.full((4, 4), 0.50005, np.float32)), expected, "PyTorch")
    with pytest.raises(ParityError, match="openvino differs from PyTorch on second"):
        compare(agreement, "second", Output(score, np.full((4, 4), where, np.float32)), expected, "PyTorch")
    assert (agreement.frames, agreement.scores) == (["first"], [0.5])


def test_a_reference_that_gives_no_number_is_told_so() -> None:
    with pytest.raises(ParityError, match="PyTorch scores first nan, which is no number"):
        compare(Agreement("openvino"), "first", Output(np.nan, None), (np.nan, None), "PyTorch")


def off_by(scores: list[float], offs: list[float], map_offs: list[float]) -> Agreement:
    """The agreement of an artifact with these differences of scores and maps; map cells range from 0 to the score."""
    agreement = Agreement("openvino")
    for number, (score, off, map_off) in enumerate(zip(scores, offs, map_offs, strict=True)):
        where = np.linspace(0, score, 16, dtype=np.float32).reshape(4, 4)
        expected = (score, where)
        compare(agreement, f"frame {number}", Output(score + off, where + np.float32(map_off)), expected, "PyTorch")
    return agreement


@pytest.mark.parametrize("scale", [1e-5, 1e-2, 1.0, 1e3, 1e6])
@pytest.mark.parametrize(
    ("off", "map_off", "says"),
    [(5e-5, 5e-5, None), (2e-4, 0, r"on frame 1: score \S+ against"), (0, 2e-4, "on frame 1: map"), (0.75, 0, "score")],
)
def test_what_is_allowed_is_a_share_of_the_spread_whatever_the_scores(
    scale: float, off: float, map_off: float, says: str | None
) -> None:
    scores = [0.1 * scale, 0.5 * scale, 1.1 * scale]
    agreement = off_by(scores, [0, off * scale, 0], [0, map_off * scale, 0])
    bounds = bounds_around(agreement, 1e-4)
    if says is None:
        check_agreement(agreement, bounds, "PyTorch")
        return
    with pytest.raises(ParityError, match=says):
        check_agreement(agreement, bounds, "PyTorch")


def test_a_frame_beyond_the_range_is_allowed_more_in_proportion_and_widens_no_margin() -> None:
    bounds = bounds_around(off_by([0.0, 1.0], [0, 0], [0, 0]), 1e-4)
    for off, agrees in ((9e-3, True), (2e-2, False)):
        far = off_by([100.0], [off], [0])
        assert (max(far.score_shares(bounds)) <= 1) is agrees
    far = off_by([100.0], [9e-3], [0])
    assert margin_of({"openvino": far}, bounds, 0.5) == pytest.approx(9e-5)
    assert margin_of({"openvino": far}, bounds, 100.0) == pytest.approx(9e-3)
    assert golden_tolerances(bounds, [far])[0] == pytest.approx(1.8e-4), "twice what was seen"
    assert golden_tolerances(bounds, [off_by([0.5], [1e-6], [0])])[0] == pytest.approx(1e-4)
