"""An export writes a bundle only if every artifact agrees with PyTorch."""

import copy
import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from support.line import DEMO_BUNDLE, running_line

import export.pack
from edge.backends import check_golden, load_backend, load_from
from edge.bundle import Bundle, load_bundle, seal
from edge.errors import BundleError, DataError
from edge.letterbox.contract import LetterboxContract
from edge.pictures import read_picture
from edge.terminal.progress import SILENT
from edge.verdict import Outcome, Reason
from edge.verify.scoring import check_photographs
from export.cli import doubtful
from export.float16 import HalfError, halved
from export.pack import Packing, export_subject
from export.parity import ParityError, reference
from export.runtimes import RUNTIMES
from export.source import Subject
from train.data.photographs import Photograph, list_photographs
from train.models import Batch, Network, build_network, network_names
from train.recipe import load_recipe


def untrained(data: Path, recipe: str = "autoencoder-gelu") -> Subject:
    """The subject of a freshly initialised network."""
    chosen = load_recipe(recipe)
    torch.manual_seed(0)
    return Subject(
        title=chosen.title,
        task="one-class",
        network=build_network(chosen.model.name, chosen.model.options).eval(),
        contract=chosen.letterbox,
        threshold=chosen.threshold,
        data=data,
        fingerprint="0" * 64,
        photographs=lambda split: list_photographs(data, split),
    )


def noise(folder: Path) -> Path:
    """Photographs of noise, half of them labelled bad."""
    rng = np.random.default_rng(0)
    for label in ("good", "bad"):
        (folder / "val" / label).mkdir(parents=True)
        for i in range(4):
            picture = rng.integers(0, 256, (90 + i, 120, 3), dtype=np.uint8)
            cv2.imwrite(str(folder / "val" / label / f"{i}.png"), picture)
    return folder


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    return untrained(noise(tmp_path / "data"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The subject's bundle, exported without options; tests must not write to it."""
    folder = tmp_path_factory.mktemp("whole")
    return export_subject(untrained(noise(folder / "data")), folder / "model.edge", SILENT.begin)


def test_a_bundle_holds_its_threshold_its_parity_and_where_it_came_from(whole: Bundle) -> None:
    bundle = load_bundle(whole.path)
    manifest = bundle.manifest
    assert manifest.name == "model"
    assert set(manifest.artifacts) == {"onnxruntime", "openvino"}
    assert manifest.provenance["data sha256"] == "0" * 64
    assert manifest.map_threshold is not None
    assert manifest.map_threshold.data.endswith("4 good"), "these photographs have no masks"
    parity = json.loads((bundle.path / "parity.json").read_text())
    for artifact in manifest.artifacts.values():
        assert artifact.threshold.recall.count == artifact.threshold.specificity.count == 4
    proven = [parity["validation photographs"], parity["hard frames"]]
    apart = [one["largest score difference"] for what in proven for one in what["score and map"].values()]
    margins = {artifact.margin for artifact in manifest.artifacts.values()}
    assert max(apart) <= min(margins) == max(margins) <= 2 * max(apart), (
        "from PyTorch, or from one runtime to the other"
    )
    assert len(bundle.golden()) == 4
    assert not [p for p in whole.path.parent.iterdir() if p.name.startswith(".")], "nothing is left beside the bundle"


def test_an_existing_bundle_is_never_overwritten(subject: Subject, tmp_path: Path) -> None:
    (tmp_path / "model.edge").mkdir()
    with pytest.raises(BundleError, match="exists"):
        export_subject(subject, tmp_path / "model.edge", SILENT.begin)


def test_an_artifact_that_differs_leaves_no_bundle(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def from_other_weights(onnx_path: Path, path: Path, metadata: dict[str, str]) -> None:
        torch.manual_seed(1)
        other = build_network("autoencoder-gelu", {}).eval()
        export.pack.write_onnx(other, subject.contract, tmp_path / "other.onnx", metadata)
        write(tmp_path / "other.onnx", path, metadata)

    write = RUNTIMES["openvino"].write
    monkeypatch.setattr(RUNTIMES["openvino"], "write", from_other_weights)
    with pytest.raises(ParityError, match=r"layer decoder\.4 in openvino differs by .* on val/good"):
        export_subject(subject, tmp_path / "model.edge", SILENT.begin)
    assert not (tmp_path / "model.edge").exists()
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_half_the_bytes_and_the_same_parity(whole: Bundle, subject: Subject, tmp_path: Path) -> None:
    half = export_subject(subject, tmp_path / "half.edge", SILENT.begin, Packing(half=True))
    for artifact in ("model.onnx", "openvino/model.bin"):
        before, after = ((b.path / artifact).stat().st_size for b in (whole, half))
        assert after < 0.75 * before, artifact
    parity = json.loads((half.path / "parity.json").read_text())
    assert 0 < parity["float16 weights"]["largest score difference"] < 0.01
    assert (
        parity["validation photographs"]["score and map"]["openvino"]["largest score difference"]
        <= half.artifact("openvino").golden_tolerance
    )


def test_bundle_without_photographs_holds_none(whole: Bundle, subject: Subject, tmp_path: Path) -> None:
    kept = [read_picture(p.path) for p in subject.photographs("val")]
    without = export_subject(subject, tmp_path / "without.edge", SILENT.begin, Packing(photographs=False))
    for photographs, bundle in ((True, whole), (False, without)):
        frames = [golden.frame for golden in bundle.golden()]
        assert len(frames) == 4
        page = (bundle.path / "parity.html").read_text(encoding="utf-8")
        assert photographs is ("<figcaption><b>letterboxed picture</b>, val/" in page)
        assert photographs is any(np.array_equal(frame, photograph) for frame in frames for photograph in kept)


def test_one_file_for_both_runtimes_is_proven_in_both(subject: Subject, tmp_path: Path) -> None:
    bundle = export_subject(subject, tmp_path / "one.edge", SILENT.begin, Packing(one_file=True))
    assert not (bundle.path / "openvino").exists()
    parity = json.loads((bundle.path / "parity.json").read_text())
    assert set(parity["hard frames"]["score and map"]) == {"onnxruntime", "openvino"}
    for name in ("onnxruntime", "openvino"):
        assert check_golden(bundle, load_from(bundle, name, 1)) < 1e-4


@pytest.mark.parametrize("name", [name for name in network_names() if name != "densenet121"])
def test_every_network_can_be_halved_and_says_nearly_the_same(name: str) -> None:
    torch.manual_seed(0)
    network, side = build_network(name, {}).eval(), 64
    shown = Batch(torch.rand(4, 3, side, side), torch.ones(4, 1, side, side), torch.zeros(4), None, None)
    with torch.no_grad():
        if network.learns_by == "statistics":
            network.gather(shown)
            network.conclude()
        network.familiarise([shown])
        others = torch.rand(4, 3, side, side)  # of what was learnt some networks give a distance of zero
        score, _ = halved(network)(others, shown.mask)
        torch.testing.assert_close(score, network(others, shown.mask)[0], atol=0.02, rtol=0.02)


def test_rounding_that_turns_a_verdict_leaves_no_bundle(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rounded_beyond_recognition(network: Network) -> Network:
        other = copy.deepcopy(network)
        with torch.no_grad():
            for weight in other.parameters():
                weight.zero_()
        return other

    monkeypatch.setattr(export.pack, "halved", rounded_beyond_recognition)
    with pytest.raises(HalfError, match=r"float16 weights turn \d of 8 validation verdicts, .* export without --half"):
        export_subject(subject, tmp_path / "half.edge", SILENT.begin, Packing(half=True))
    assert not (tmp_path / "half.edge").exists()


def test_weight_that_no_float16_holds_is_said_in_one_line(subject: Subject) -> None:
    with torch.no_grad():
        subject.network.decoder[-1].bias.fill_(1e5)
    with pytest.raises(HalfError, match="a weight is beyond 65504"):
        halved(subject.network)


def test_a_bundle_for_a_grey_camera_with_a_region_says_on_the_line_what_pytorch_says(
    subject: Subject, tmp_path: Path
) -> None:
    region = "letterbox.region={top=12, left=30, height=70, width=80}"
    recipe = load_recipe("autoencoder-gelu", ["letterbox.frame=grey", region])
    subject = replace(subject, contract=recipe.letterbox)
    bundle = export_subject(subject, tmp_path / "grey.edge", SILENT.begin)
    for name in ("onnxruntime", "openvino"):
        check_golden(bundle, load_from(bundle, name, 1, None))
        with pytest.raises(DataError, match="80×60 does not hold the region of 80×70 pixels"):
            load_from(bundle, name, 1, (60, 80))
    for name, artifact in bundle.manifest.artifacts.items():
        all_rejects = artifact.threshold.model_copy(update={"value": -1.0})
        bundle.manifest.artifacts[name] = artifact.model_copy(update={"threshold": all_rejects})
    seal(bundle.path, bundle.manifest)
    folder = Path(shutil.copytree(subject.data / "val" / "good", tmp_path / "line"))
    cv2.imwrite(str(folder / "small.png"), np.random.default_rng(0).integers(0, 255, (81, 200, 3), np.uint8))
    with running_line("--source", folder, bundle=bundle.path) as line:
        assert line.to_the_end() == 1, "one of the pictures could not be judged"
    *seen, small = line.verdicts
    assert (small.verdict, small.reason, small.score) == (Outcome.UNKNOWN, Reason.CORRUPT, None)
    assert small.detail == "the frame of 200×81 does not hold the region of 80×70 pixels at column 30, row 12"
    assert len(seen) == 4
    for verdict in seen:
        score, *_ = reference(subject, read_picture(folder / verdict.part))
        assert verdict.score == pytest.approx(score, abs=1e-4)
        for box in (defect.box for defect in verdict.defects or ()):
            assert 30 <= box.x < box.x + box.width <= 110
            assert 12 <= box.y < box.y + box.height <= 82
    assert any(verdict.defects for verdict in seen)
    with pytest.raises(DataError, match=r"1 of 1 photographs cannot be used: s \(200×81 does not hold the region"):
        check_photographs([Photograph(folder / "small.png", "s", "good")], subject.contract)


def test_a_photograph_without_the_region_leaves_no_bundle(subject: Subject, tmp_path: Path) -> None:
    wide = load_recipe("autoencoder-gelu", ["letterbox.region={top=0, left=0, height=92, width=100}"]).letterbox
    with pytest.raises(DataError, match=r"4 of 8 photographs cannot be used: val/good/0.png \(120×90 does not hold"):
        export_subject(replace(subject, contract=wide), tmp_path / "model.edge", SILENT.begin)
    assert not (tmp_path / "model.edge").exists()


def test_a_network_of_one_channel_is_exported_with_the_luminance_inside(tmp_path: Path) -> None:
    class Brightness(torch.nn.Module):
        def forward(self, image: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, None]:
            return (image * mask).sum(dim=(1, 2, 3)) / mask.sum(dim=(1, 2, 3)), None

    contract = LetterboxContract(side=32, colour="grey")
    export.pack.write_onnx(Brightness(), contract, tmp_path / "model.onnx", {})
    frame = np.full((40, 60, 3), (255, 0, 0), np.uint8)
    for name in ("onnxruntime", "openvino"):
        for shape in (None, (40, 60)):
            backend = load_backend(name, tmp_path / "model.onnx", 1, contract, shape)
            assert backend.infer(frame).score == pytest.approx(0.114, abs=1e-5), "blue alone"


def test_a_model_that_does_not_tell_good_from_bad_is_said() -> None:
    manifest = load_bundle(DEMO_BUNDLE).manifest
    for auroc, says in (
        (0.99, None),
        (0.52, "is not shown to tell good from bad"),
        (0.1, "score lower than good ones"),
    ):
        said = doubtful(manifest.model_copy(update={"metrics": {"validation auroc": auroc}}))
        assert said is None if says is None else says in str(said)
