"""The kinds of defects from training to the line: exported, proven against PyTorch, and told by a running station."""

import copy
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from support.few_hard_frames import FEW
from support.line import running_line
from support.two_kinds import KINDS, trained_on_two_kinds, two_kinds

import export.int8
import export.pack
from edge.backends import Backend, Output, check_golden, load_from
from edge.bundle import Bundle, load_bundle
from edge.bundle.tolerance import Bounds
from edge.frame import Frame
from edge.letterbox.contract import LetterboxContract
from edge.pictures import read_picture
from edge.terminal.progress import SILENT
from edge.verdict import Outcome
from export import parity_report, stage_parity
from export.checkpoint import subject_of as subject_of_checkpoint
from export.float16 import HalfError, halved
from export.graph import network_model, write_onnx
from export.hard_frames import hard_frames
from export.int8 import Trial, reason_against
from export.kinds import WithKinds, with_kinds
from export.layers import integer_layers
from export.pack import Packing, export_subject
from export.parity import KIND_TOLERANCE, Agreement, Answer, ParityError, check_agreement, compare, reference
from export.source import Evidence, Subject, trained
from export.threshold import golden_kind_tolerance, int8_tolerances
from train.models import build_network
from train.models.inspector import Inspector
from train.recipe import Tiles, load_recipe
from train.run import Run
from train.tiles import Tiled


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("kinds")
    return trained_on_two_kinds(two_kinds(folder / "data"), folder / "run")


@pytest.fixture(scope="module")
def bundle(run: Run) -> Bundle:
    """The bundle of the run; tests must not write to it."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (parity_report, stage_parity):
            patch.setattr(module, "hard_frames", lambda contract: [*hard_frames(contract)][FEW])
        return export_subject(trained(run), run.path.parent / "two.edge", SILENT.begin)


def test_the_bundle_names_the_kinds_and_every_artifact_gives_pytorch_s_probabilities(run: Run, bundle: Bundle) -> None:
    manifest, subject = load_bundle(bundle.path).manifest, trained(run)
    assert (manifest.kinds, manifest.schema_version) == (KINDS, 3)
    parity = json.loads((bundle.path / "parity.json").read_text())
    for name, artifact in manifest.artifacts.items():
        assert artifact.golden_kind_tolerance == KIND_TOLERANCE
        for about in ("validation photographs", "hard frames"):
            assert parity[about]["score and map"][name]["largest kind difference"] < KIND_TOLERANCE
        backend = load_from(bundle, name, 1)
        check_golden(bundle, backend)
        for photograph in run.photographs("test"):
            frame = read_picture(photograph.path)
            expected, found = reference(subject, frame), backend.infer(frame)
            assert expected.kinds is not None
            assert found.kinds is not None
            assert found.kinds == pytest.approx(expected.kinds, abs=KIND_TOLERANCE)
            assert found.kinds.sum() == pytest.approx(1, abs=1e-5)
    assert "<tr><th>kind</th><td>openvino</td>" in (bundle.path / "parity.html").read_text(encoding="utf-8")


def test_the_score_of_the_bundle_is_that_of_the_network_without_kinds(run: Run, bundle: Bundle) -> None:
    plain = replace(trained(run), network=run.network, kinds=())
    frame = read_picture(run.photographs("test")[0].path)
    assert reference(plain, frame).score == reference(trained(run), frame).score
    assert reference(plain, frame).kinds is None


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_station_tells_the_kinds_of_the_parts_that_it_rejects(
    run: Run, bundle: Bundle, tmp_path: Path, runtime: str
) -> None:
    for photograph in run.photographs("test"):
        shutil.copy(photograph.path, tmp_path)
    with running_line("--source", tmp_path, "--backend", runtime, bundle=bundle.path) as line:
        assert line.to_the_end() == 0, line.stderr
    rejects = [v for v in line.verdicts if v.verdict is Outcome.REJECT]
    right = [v.kind == v.part.partition("_")[0] for v in rejects if not v.part.startswith("None")]
    assert len(right) >= 10
    assert sum(right) >= 0.9 * len(right)
    assert {v.kind for v in rejects} == {*KINDS}
    assert all(v.kind_number == 1 + KINDS.index(str(v.kind)) for v in rejects)
    assert all(v.kind is None for v in line.verdicts if v.verdict is Outcome.GOOD)


def test_weights_in_float16_give_the_kinds_too(run: Run) -> None:
    exact, rounded = with_kinds(run.network)[0], halved(with_kinds(run.network)[0])
    inputs = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(2)), torch.ones(1, 1, 64, 64)
    with torch.no_grad():
        assert rounded(*inputs)[2].numpy() == pytest.approx(exact(*inputs)[2].numpy(), abs=0.02)


def test_tiles_are_not_rounded_to_float16_with_kinds_either() -> None:
    contract = load_recipe("inspector", ["letterbox.side=128"]).letterbox
    network, _ = with_kinds(Tiled(inspector(familiar=0), Tiles(side=64, overlap=0), contract).eval())
    with pytest.raises(HalfError, match="a network with tiles"):
        halved(network)


def test_in_int8_the_kinds_are_in_the_bundle_too(run: Run) -> None:
    out = run.path.parent / "small.edge"
    small = export_subject(trained(run), out, SILENT.begin, Packing(int8=True))
    assert small.manifest.kinds == KINDS
    assert not small.manifest.refused
    attempts = json.loads((out / "parity.json").read_text())["int8"]
    photographs = [read_picture(p.path) for p in run.photographs("test") if p.is_bad]
    float32 = load_from(small, "onnxruntime", 1)
    for name in ("onnxruntime-int8", "openvino-int8"):
        assert attempts[name][-1]["other kinds named"] <= 1
        tolerance = small.artifact(name).golden_kind_tolerance
        assert tolerance is not None
        assert 2 * KIND_TOLERANCE <= tolerance < 1
        backend = load_from(small, name, 1)
        named = [[_most(one.infer(frame)) for frame in photographs] for one in (float32, backend)]
        assert sum(a != b for a, b in zip(*named, strict=True)) <= 1


def _most(output: Output) -> int:
    assert output.kinds is not None
    return int(output.kinds.argmax())


def test_the_head_for_kinds_does_not_move_a_layer_into_int8(run: Run) -> None:
    names, convolutions = [], []
    for network in (run.network, with_kinds(run.network)[0]):
        graph = network_model(network, 3, 64).graph
        layers = integer_layers(network, graph, torch.zeros(1, 3, 64, 64), torch.ones(1, 1, 64, 64))
        names.append([one.name.removeprefix("network.") for one in layers])
        convolutions.append(sum(node.op_type in ("Conv", "MatMul", "Gemm") for node in graph.node))
    assert names[0] == names[1]
    assert "map_head" not in names[1]
    assert convolutions[0] == convolutions[1], "the encoder is in the graph once"


def test_a_checkpoint_with_kinds_exports_them(run: Run) -> None:
    recipe = load_recipe("inspector", ["letterbox.side=64", "model.familiar=10"])
    subject = subject_of_checkpoint(run.path / "model.pt", "inspector", recipe, 0.5, Evidence())
    assert subject.kinds == KINDS
    assert isinstance(subject.network, WithKinds)


def inspector(familiar: int) -> Inspector:
    torch.manual_seed(0)
    network = build_network("inspector", {"familiar": familiar})
    assert isinstance(network, Inspector)
    network.kind_head.learn(KINDS, torch.randn(2, 152), torch.randn(2))
    return network.eval()


def test_an_artifact_whose_kinds_differ_ends_the_export(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = trained(run)
    other = copy.deepcopy(run.network)
    assert other.tells_kinds is not None
    other.tells_kinds.bias += torch.tensor([0.5, -0.5])

    def from_other_kinds(network: object, contract: LetterboxContract, path: Path, metadata: dict[str, str]) -> None:
        write_onnx(with_kinds(other)[0], contract, path, metadata)

    monkeypatch.setattr(export.pack, "write_onnx", from_other_kinds)
    with pytest.raises(
        ParityError, match=r"differs from PyTorch on .*: a probability of a kind .* off, allowed 0\.001"
    ):
        export_subject(subject, tmp_path / "other.edge", SILENT.begin)
    assert not (tmp_path / "other.edge").exists()


def test_kinds_of_tiles_are_in_the_graph_as_in_pytorch(tmp_path: Path) -> None:
    contract = load_recipe("inspector", ["letterbox.side=128"]).letterbox
    network, kinds = with_kinds(Tiled(inspector(familiar=0), Tiles(side=64, overlap=0), contract).eval())
    assert kinds == KINDS
    onnx.save(network_model(network, 3, 128), tmp_path / "tiled.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "tiled.onnx")
    image = torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(2))
    mask = torch.ones(1, 1, 128, 128)
    (found,) = session.run(["kind"], {"image": image.numpy(), "mask": mask.numpy()})
    with torch.no_grad():
        assert found == pytest.approx(network(image, mask)[2].numpy(), abs=1e-5)


def test_an_answer_without_kinds_or_with_one_that_is_no_number_is_no_agreement() -> None:
    expected = Answer(0.5, None, np.float32([0.25, 0.75]))
    agreement = Agreement("openvino")
    compare(agreement, "first", Output(0.5, None, np.float32([0.2, 0.8])), expected, "PyTorch")
    assert agreement.kinds == [(1, pytest.approx(0.05))]
    with pytest.raises(ParityError, match="the kinds are in one of"):
        compare(agreement, "second", Output(0.5, None), expected, "PyTorch")
    with pytest.raises(ParityError, match="is no number"):
        compare(agreement, "third", Output(0.5, None, np.float32([np.nan, 0.8])), expected, "PyTorch")
    bounds = Bounds(1.0, 1.0, kind_tolerance=0.1)
    check_agreement(agreement, bounds, "PyTorch")
    with pytest.raises(ParityError, match=r"a probability of a kind 0\.05 off, allowed 0\.01"):
        check_agreement(agreement, replace(bounds, kind_tolerance=0.01), "PyTorch")


@pytest.mark.parametrize(
    ("kinds", "other", "is_refused"), [(10, 1, False), (10, 2, True), (100, 5, False), (100, 6, True)]
)
def test_int8_that_names_other_kinds_is_refused(kinds: int, other: int, is_refused: bool) -> None:
    fine = export.int8.Against(None, [], [], 0.0, 0.0)  # type: ignore[arg-type]
    reason = reason_against(Trial([], scores=[0.0] * 200, kinds=kinds, other_kinds=other), fine)
    assert (reason is not None) == is_refused
    assert not is_refused or f"another kind of defect for {other} of {kinds} bad" in str(reason)


class Fixed:
    """A runtime with one answer."""

    name = "openvino-int8"

    def __init__(self, kinds: list[float]) -> None:
        self.kinds = np.float32(kinds)

    def infer(self, frame: Frame) -> Output:
        return Output(0.5, None, self.kinds)


@pytest.mark.parametrize(
    ("seen", "allowed"), [(0.0, 2 * KIND_TOLERANCE), (0.1, 0.2), (0.5, 0.75), (0.9, 0.95), (1.0, 0.999)]
)
def test_golden_kinds_of_int8_may_differ_twice_as_much_as_here_and_can_still_fail(seen: float, allowed: float) -> None:
    golden = export.golden.Golden([np.zeros((8, 8, 3), np.uint8)], [Answer(0.5, None, np.float32([1, 0]))])
    backend: Backend = Fixed([1 - seen, seen])  # type: ignore[assignment]
    *_, tolerance = int8_tolerances(backend, golden, Bounds(1.0, 1.0, kind_tolerance=KIND_TOLERANCE))
    assert tolerance == pytest.approx(allowed, abs=1e-6)
    *_, none = int8_tolerances(backend, golden, Bounds(1.0, 1.0))
    assert none is None
    assert golden_kind_tolerance(Bounds(1.0, 1.0), []) is None


def test_what_is_loaded_for_any_network_without_kinds_has_none() -> None:
    subject = Subject(
        "t", "one-class", torch.nn.Identity(), load_recipe("padim").letterbox, 0.5, None, None, lambda _: []
    )
    assert subject.kinds == ()
    padim = build_network("padim", {})
    assert with_kinds(padim) == (padim, ())
