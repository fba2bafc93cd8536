"""Export ends in a bundle only where every artifact says what PyTorch says."""

import copy
import json
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import export.pack
from edge.backends import check_golden, load_from
from edge.bundle import load_bundle
from edge.contract import LetterboxContract
from edge.errors import BundleError
from edge.picture import read_picture
from export.graph import write_openvino
from export.half import HalfError, halved
from export.pack import Packing, export_run
from export.parity import ParityError
from train.data.photographs import Photograph, list_photographs
from train.models import Batch, Network, build_network, network_names
from train.recipe import Recipe, load_recipe


@dataclass
class UntrainedRun:
    """What `export_run` needs of a run, with a network as it was initialised."""

    data: Path
    recipe: Recipe = field(default_factory=lambda: load_recipe("autoencoder-gelu"))
    fingerprint: str = "0" * 64
    network: Network | None = None

    def __post_init__(self) -> None:
        if self.network is None:
            torch.manual_seed(0)
            self.network = build_network(self.recipe.model.name, self.recipe.model.options).eval()

    @property
    def contract(self) -> LetterboxContract:
        return self.recipe.letterbox

    def photographs(self, split: str) -> list[Photograph]:
        return list_photographs(self.data, split)


@pytest.fixture
def run(tmp_path: Path) -> UntrainedRun:
    rng = np.random.default_rng(0)
    for label in ("good", "bad"):
        (tmp_path / "data" / "val" / label).mkdir(parents=True)
        for i in range(4):
            picture = rng.integers(0, 256, (90 + i, 120, 3), dtype=np.uint8)
            cv2.imwrite(str(tmp_path / "data" / "val" / label / f"{i}.png"), picture)
    return UntrainedRun(tmp_path / "data")


def quiet(what: str, steps: int):  # type: ignore[no-untyped-def]
    return lambda: None


def test_a_bundle_holds_its_threshold_its_parity_and_where_it_came_from(run: UntrainedRun, tmp_path: Path) -> None:
    bundle = export_run(run, tmp_path / "model.edge", quiet)  # type: ignore[arg-type]
    manifest = load_bundle(tmp_path / "model.edge").manifest
    assert manifest.name == "model"
    assert manifest.threshold.recall.count == manifest.threshold.specificity.count == 4
    assert manifest.provenance["data sha256"] == "0" * 64
    assert manifest.map_threshold is not None
    assert manifest.map_threshold.data.endswith("4 good"), "these photographs have no masks"
    parity = json.loads((bundle.path / "parity.json").read_text())
    apart = [one["largest score difference"] for what in parity.values() for one in what.values()]
    assert max(apart) <= manifest.margin <= 2 * max(apart), "from PyTorch, or from one runtime to the other"
    assert len(bundle.golden()) == 4
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")], "nothing is left beside the bundle"


def test_an_existing_bundle_is_never_overwritten(run: UntrainedRun, tmp_path: Path) -> None:
    (tmp_path / "model.edge").mkdir()
    with pytest.raises(BundleError, match="exists"):
        export_run(run, tmp_path / "model.edge", quiet)  # type: ignore[arg-type]


def test_an_artifact_that_differs_leaves_no_bundle(
    run: UntrainedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def from_other_weights(onnx_path: Path, path: Path, metadata: dict[str, str]) -> None:
        torch.manual_seed(1)
        other = build_network(run.recipe.model.name, run.recipe.model.options).eval()
        export.pack.write_onnx(other, run.contract, tmp_path / "other.onnx", metadata)
        write_openvino(tmp_path / "other.onnx", path, metadata)

    monkeypatch.setattr(export.pack, "write_openvino", from_other_weights)
    with pytest.raises(ParityError, match="openvino differs from PyTorch on val/good"):
        export_run(run, tmp_path / "model.edge", quiet)  # type: ignore[arg-type]
    assert not (tmp_path / "model.edge").exists()
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_half_the_bytes_and_the_same_parity(run: UntrainedRun, tmp_path: Path) -> None:
    whole = export_run(run, tmp_path / "whole.edge", quiet)  # type: ignore[arg-type]
    half = export_run(run, tmp_path / "half.edge", quiet, Packing(half=True))  # type: ignore[arg-type]
    for artifact in ("model.onnx", "openvino/model.bin"):
        before, after = ((b.path / artifact).stat().st_size for b in (whole, half))
        assert after < 0.75 * before, artifact
    parity = json.loads((half.path / "parity.json").read_text())
    assert 0 < parity["float16 weights"]["largest score difference"] < 0.01
    assert parity["validation"]["openvino"]["largest score difference"] <= half.manifest.golden_tolerance == 1e-4


def test_bundle_without_photographs_holds_none(run: UntrainedRun, tmp_path: Path) -> None:
    kept = [read_picture(p.path) for p in run.photographs("val")]
    for photographs in (True, False):
        out = tmp_path / f"{photographs}.edge"
        bundle = export_run(run, out, quiet, Packing(photographs=photographs))  # type: ignore[arg-type]
        frames = [golden.frame for golden in bundle.golden()]
        assert len(frames) == 4
        assert photographs is any(np.array_equal(frame, photograph) for frame in frames for photograph in kept)


def test_one_file_for_both_runtimes_is_proven_in_both(run: UntrainedRun, tmp_path: Path) -> None:
    bundle = export_run(run, tmp_path / "one.edge", quiet, Packing(one_file=True))  # type: ignore[arg-type]
    assert not (bundle.path / "openvino").exists()
    parity = json.loads((bundle.path / "parity.json").read_text())
    assert set(parity["validation"]) == {"onnxruntime", "openvino"}
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
    run: UntrainedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rounded_beyond_recognition(network: Network) -> Network:
        other = copy.deepcopy(network)
        with torch.no_grad():
            for weight in other.parameters():
                weight.zero_()
        return other

    monkeypatch.setattr(export.pack, "halved", rounded_beyond_recognition)
    with pytest.raises(HalfError, match=r"float16 weights turn \d of 8 validation verdicts, .* export without --half"):
        export_run(run, tmp_path / "half.edge", quiet, Packing(half=True))  # type: ignore[arg-type]
    assert not (tmp_path / "half.edge").exists()


def test_weight_that_no_float16_holds_is_said_in_one_line(run: UntrainedRun) -> None:
    assert run.network is not None
    with torch.no_grad():
        run.network.decoder[-1].bias.fill_(1e5)
    with pytest.raises(HalfError, match="a weight is beyond 65504"):
        halved(run.network)
