"""A bundle may tell kinds of defects apart: its manifest names them, and its graph gives their probabilities."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.kind_bundle import KINDS, kind_bundle
from support.line import DEMO_BUNDLE

from edge.backends import RUNTIMES, check_golden, check_static, load_from
from edge.bundle import GOLDEN, MANIFEST, load_bundle, seal
from edge.errors import BundleError
from edge.verdict import LONGEST_KIND, MOST_KINDS


def changed(folder: Path, **changes: Any) -> Path:
    """A bundle with kinds and these changes to its manifest."""
    return kind_bundle(folder / "changed.edge", lambda manifest: manifest.model_copy(update=changes))


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_both_runtimes_give_the_probabilities_of_the_kinds_by_the_output_s_name(tmp_path: Path, runtime: str) -> None:
    bundle = load_bundle(kind_bundle(tmp_path / "kinds.edge"))
    assert (bundle.manifest.kinds, bundle.manifest.schema_version) == (KINDS, 3)
    anysize, fixed = (load_from(bundle, runtime, 1, shape) for shape in (None, (90, 160)))
    assert check_golden(bundle, anysize) < bundle.artifact(runtime).golden_tolerance
    check_static(bundle, anysize, fixed, (90, 160))
    frame = np.random.default_rng(0).integers(0, 256, (90, 160, 3), dtype=np.uint8)
    for backend in (anysize, fixed.clone()):
        found = backend.infer(frame)
        assert found.map is not None
        assert found.kinds is not None
        half = found.map.shape[1] // 2
        peaks = 20 * np.array([found.map[:, :half].max(), found.map[:, half:].max()])
        expected = np.exp(peaks - peaks.max())
        assert found.kinds == pytest.approx(expected / expected.sum(), abs=1e-4)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_kinds_of_one_frame_stay_when_the_next_one_is_judged(tmp_path: Path, runtime: str) -> None:
    backend = load_from(load_bundle(kind_bundle(tmp_path / "kinds.edge")), runtime, 1)
    rng = np.random.default_rng(0)
    dark, noise = np.zeros((90, 160, 3), np.uint8), rng.integers(0, 256, (90, 160, 3), dtype=np.uint8)
    first = backend.infer(noise).kinds
    assert first is not None
    before = first.tolist()
    assert backend.infer(dark).kinds is not None
    assert first.tolist() == before


@pytest.mark.parametrize(
    ("kinds", "says"),
    [
        (("crack",), "two or more"),
        (("crack", "crack"), "each once"),
        (("crack", ""), "at least 1"),
        (("crack", "x" * (LONGEST_KIND + 1)), f"at most {LONGEST_KIND}"),
        (("crack", "oil\nstain"), "one space"),
        (("crack", " oil"), "one space"),
        (("crack", "\x1b[2J"), "printable"),
        (tuple(f"k{number}" for number in range(MOST_KINDS + 1)), f"at most {MOST_KINDS}"),
        ((), "schema 3 to kinds"),
    ],
)
def test_names_that_are_no_kinds_are_refused_at_load(tmp_path: Path, kinds: tuple[str, ...], says: str) -> None:
    with pytest.raises(BundleError, match=r"manifest\.json: .*export the bundle again") as refused:
        load_bundle(changed(tmp_path, kinds=kinds))
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_kinds_need_the_schema_that_has_them_and_a_tolerance(tmp_path: Path) -> None:
    assert "kinds belong to schema 3" in _refused(lambda: changed(tmp_path / "a", schema_version=2))
    artifacts = load_bundle(DEMO_BUNDLE).manifest.artifacts
    moved = {name: one.model_copy(update={"path": "model.onnx"}) for name, one in artifacts.items()}
    said = _refused(lambda: changed(tmp_path / "b", artifacts=moved))
    assert "golden_kind_tolerance of onnxruntime: kinds need it" in said


def _refused(make: Any) -> str:
    with pytest.raises(BundleError) as refused:
        load_bundle(make())
    return str(refused.value)


def test_a_bundle_without_kinds_is_written_as_programs_from_before_read_it(tmp_path: Path) -> None:
    folder = kind_bundle(tmp_path / "kinds.edge")
    manifest = load_bundle(DEMO_BUNDLE).manifest
    fields = json.loads(manifest.model_dump_json())
    assert fields["schema_version"] == 2
    assert "kinds" not in fields
    assert not any("golden_kind_tolerance" in one for one in fields["artifacts"].values())
    assert json.loads((folder / MANIFEST).read_text())["kinds"] == [*KINDS]


def test_another_number_of_kinds_than_the_graph_gives_is_refused_before_a_part_is_judged(tmp_path: Path) -> None:
    bundle = load_bundle(changed(tmp_path, kinds=("left", "middle", "right")))
    with pytest.raises(BundleError, match="golden frames have other kinds than the manifest"):
        check_golden(bundle, load_from(bundle, "onnxruntime", 1))


@pytest.mark.parametrize(("off", "is_refused"), [(5e-4, False), (5e-3, True), (float("nan"), True)])
def test_a_probability_that_differs_on_this_machine_is_refused(tmp_path: Path, off: float, is_refused: bool) -> None:
    folder = kind_bundle(tmp_path / "kinds.edge")
    manifest = load_bundle(folder).manifest
    with np.load(folder / GOLDEN) as content:
        arrays = dict(content)
    arrays["kind_0"] = arrays["kind_0"] + np.float32([off, -off])
    np.savez_compressed(folder / GOLDEN, **arrays)
    bundle = seal(folder, manifest)
    backend = load_from(bundle, "openvino", 1)
    if not is_refused:
        assert 0 < check_golden(bundle, backend) < bundle.artifact("openvino").golden_tolerance
        return
    with pytest.raises(BundleError, match=r"golden frame 0 .*: a probability of a kind is .* off in openvino"):
        check_golden(bundle, backend)


@pytest.mark.parametrize("array", [np.zeros(1, np.float32), np.zeros((2, 2), np.float32), np.zeros(2, np.int64)])
def test_golden_kinds_that_are_no_probabilities_are_refused(tmp_path: Path, array: np.ndarray) -> None:
    folder = kind_bundle(tmp_path / "kinds.edge")
    manifest = load_bundle(folder).manifest
    with np.load(folder / GOLDEN) as content:
        arrays = dict(content) | {"kind_0": array}
    np.savez_compressed(folder / GOLDEN, **arrays)
    bundle = seal(folder, manifest)
    with pytest.raises(BundleError, match="kind_0 has no probabilities of kinds"):
        bundle.golden()
