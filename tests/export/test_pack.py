"""Export ends in a bundle only where every artifact says what PyTorch says."""

import copy
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import export.pack
from edge.backends import check_golden, load_from
from edge.bundle import load_bundle
from edge.errors import BundleError
from edge.picture import read_picture
from export.graph import write_openvino
from export.half import HalfError, halved
from export.pack import Packing, export_subject
from export.parity import ParityError
from export.subject import Subject
from train.data.photographs import list_photographs
from train.models import Batch, Network, build_network, network_names
from train.recipe import load_recipe


def untrained(data: Path, recipe: str = "autoencoder-gelu") -> Subject:
    """A network as it was initialised."""
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


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    rng = np.random.default_rng(0)
    for label in ("good", "bad"):
        (tmp_path / "data" / "val" / label).mkdir(parents=True)
        for i in range(4):
            picture = rng.integers(0, 256, (90 + i, 120, 3), dtype=np.uint8)
            cv2.imwrite(str(tmp_path / "data" / "val" / label / f"{i}.png"), picture)
    return untrained(tmp_path / "data")


def quiet(what: str, steps: int):  # type: ignore[no-untyped-def]
    return lambda: None


def test_a_bundle_holds_its_threshold_its_parity_and_where_it_came_from(subject: Subject, tmp_path: Path) -> None:
    bundle = export_subject(subject, tmp_path / "model.edge", quiet)
    manifest = load_bundle(tmp_path / "model.edge").manifest
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
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")], "nothing is left beside the bundle"


def test_an_existing_bundle_is_never_overwritten(subject: Subject, tmp_path: Path) -> None:
    (tmp_path / "model.edge").mkdir()
    with pytest.raises(BundleError, match="exists"):
        export_subject(subject, tmp_path / "model.edge", quiet)


def test_an_artifact_that_differs_leaves_no_bundle(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def from_other_weights(onnx_path: Path, path: Path, metadata: dict[str, str]) -> None:
        torch.manual_seed(1)
        other = build_network("autoencoder-gelu", {}).eval()
        export.pack.write_onnx(other, subject.contract, tmp_path / "other.onnx", metadata)
        write_openvino(tmp_path / "other.onnx", path, metadata)

    monkeypatch.setattr(export.pack, "write_openvino", from_other_weights)
    with pytest.raises(ParityError, match=r"layer decoder\.4 in openvino differs by .* on val/good"):
        export_subject(subject, tmp_path / "model.edge", quiet)
    assert not (tmp_path / "model.edge").exists()
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_half_the_bytes_and_the_same_parity(subject: Subject, tmp_path: Path) -> None:
    whole = export_subject(subject, tmp_path / "whole.edge", quiet)
    half = export_subject(subject, tmp_path / "half.edge", quiet, Packing(half=True))
    for artifact in ("model.onnx", "openvino/model.bin"):
        before, after = ((b.path / artifact).stat().st_size for b in (whole, half))
        assert after < 0.75 * before, artifact
    parity = json.loads((half.path / "parity.json").read_text())
    assert 0 < parity["float16 weights"]["largest score difference"] < 0.01
    assert (
        parity["validation photographs"]["score and map"]["openvino"]["largest score difference"]
        <= half.artifact("openvino").golden_tolerance
        == 1e-4
    )


def test_bundle_without_photographs_holds_none(subject: Subject, tmp_path: Path) -> None:
    kept = [read_picture(p.path) for p in subject.photographs("val")]
    for photographs in (True, False):
        out = tmp_path / f"{photographs}.edge"
        bundle = export_subject(subject, out, quiet, Packing(photographs=photographs))
        frames = [golden.frame for golden in bundle.golden()]
        assert len(frames) == 4
        page = (bundle.path / "parity.html").read_text(encoding="utf-8")
        assert photographs is ("<figcaption><b>letterboxed picture</b>, val/" in page)
        assert photographs is any(np.array_equal(frame, photograph) for frame in frames for photograph in kept)


def test_one_file_for_both_runtimes_is_proven_in_both(subject: Subject, tmp_path: Path) -> None:
    bundle = export_subject(subject, tmp_path / "one.edge", quiet, Packing(one_file=True))
    assert not (bundle.path / "openvino").exists()
    parity = json.loads((bundle.path / "parity.json").read_text())
    assert set(parity["hard frames"]["score and map"]) == {"onnxruntime", "openvino"}
    for name in ("onnxruntime", "openvino"):
        assert check_golden(bundle, load_from(bundle, name, 1)) < 1e-4


@pytest.mark.parametrize("name", [name for name in network_names() if name != "densenet121"])
def test_every_network_can_be_halved_and_says_nearly_the_same(name: str) -> None:
    torch.manual_seed(0)
    network, side = build_network(name, {}).eval(), 64
    shown = Batch(torch.rand(4, 3, side, side), torch.ones(4, 1, side, side), torch.zeros(4), None)
    with torch.no_grad():
        if network.learns_by == "statistics":
            network.gather(shown)
            network.conclude()
        network.familiarise([shown])
        score, _ = halved(network)(shown.image, shown.mask)
        torch.testing.assert_close(score, network(shown.image, shown.mask)[0], atol=0.02, rtol=0.02)


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
        export_subject(subject, tmp_path / "half.edge", quiet, Packing(half=True))
    assert not (tmp_path / "half.edge").exists()


def test_weight_that_no_float16_holds_is_said_in_one_line(subject: Subject) -> None:
    with torch.no_grad():
        subject.network.decoder[-1].bias.fill_(1e5)
    with pytest.raises(HalfError, match="a weight is beyond 65504"):
        halved(subject.network)
