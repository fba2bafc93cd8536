"""The tolerance of golden frames is a share of the spread of scores, and never so large that no frame could fail."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from support.line import DEMO_BUNDLE, TILE_BUNDLE

from edge.backends import Output, check_golden
from edge.bundle import GOLDEN, Bundle, load_bundle, seal
from edge.bundle.tolerance import SMALLEST_SPREAD, Bounds, ValueRange
from edge.errors import BundleError

VALUES = st.floats(-1e6, 1e6, allow_subnormal=False)


@given(values=st.lists(VALUES, min_size=1), other=VALUES)
def test_the_spread_is_positive_covers_its_values_and_grows_with_what_lies_beyond(
    values: list[float], other: float
) -> None:
    known = ValueRange.of(values)
    assert known.spread >= max(max(values) - min(values), SMALLEST_SPREAD)
    assert known.growth(*[float(np.clip(other, known.low, known.high))] * 2) == 1
    assert known.growth(other, other) >= 1


@pytest.mark.parametrize("scale", [1e-5, 1.0, 1e3])
def test_bounds_scale_with_the_scores(scale: float) -> None:
    bounds = Bounds.share(1e-4, ValueRange(low=0.2 * scale, high=0.7 * scale), None)
    assert bounds.score_tolerance == pytest.approx(0.5e-4 * scale)
    assert bounds.score_growth(5.2 * scale) == pytest.approx(10)


@pytest.mark.parametrize(("value", "tolerance"), [(0.0, 1e-34), (3.0, 3e-5), (-3.0, 3e-5)])
def test_scores_that_are_all_the_same_are_held_to_their_rounding(value: float, tolerance: float) -> None:
    assert Bounds.share(1e-4, ValueRange.of([value]), None).score_tolerance == pytest.approx(tolerance)


def test_a_range_is_ordered_and_of_numbers() -> None:
    for low, high in ((1.0, 0.0), (0.0, float("nan")), (float("-inf"), 0.0)):
        with pytest.raises(ValidationError):
            ValueRange(low=low, high=high)


@pytest.mark.parametrize("path", [DEMO_BUNDLE, TILE_BUNDLE], ids=lambda path: path.name)
def test_bundles_from_before_the_ranges_load_and_allow_what_they_allowed(path: Path) -> None:
    manifest = load_bundle(path).manifest
    assert manifest.score_range is None
    for name, artifact in manifest.artifacts.items():
        bounds = manifest.bounds(name)
        assert bounds.score_tolerance == bounds.map_tolerance == artifact.golden_tolerance
        assert bounds.score_growth(1e6) == bounds.map_growth(0, 1e6) == 1


def changed(folder: Path, known: ValueRange | None, **changes: object) -> Path:
    """The demonstration bundle with a changed artifact entry and correct hashes."""
    path = Path(shutil.copytree(DEMO_BUNDLE, folder / "changed.edge"))
    manifest = load_bundle(path).manifest
    artifacts = {name: one.model_copy(update=changes) for name, one in manifest.artifacts.items()}
    seal(path, manifest.model_copy(update={"artifacts": artifacts, "score_range": known, "map_range": known}))
    return path


@pytest.mark.parametrize(
    ("known", "changes", "says"),
    [
        (None, {"golden_tolerance": 1e308}, r"golden_tolerance of onnxruntime is 1e\+308, more than the range of its"),
        (
            None,
            {"golden_tolerance": 1.5},
            r"golden_tolerance of onnxruntime is 1\.5, more than the range of its values, 1",
        ),
        (
            ValueRange(low=0.2, high=0.3),
            {"golden_tolerance": 0.2},
            "golden_tolerance of onnxruntime is 0.2, more than the range of its values, 0.1",
        ),
        (ValueRange(low=0.2, high=0.3), {"golden_map_tolerance": 7.0}, "golden_map_tolerance of onnxruntime is 7"),
    ],
)
def test_a_tolerance_by_which_nothing_could_fail_is_refused_at_load(
    known: ValueRange | None, changes: dict[str, object], says: str, tmp_path: Path
) -> None:
    with pytest.raises(
        BundleError, match=rf"changed\.edge: manifest\.json: {says}.*; export the bundle again"
    ) as refusal:
        changed(tmp_path, known, **changes)
    assert "\n" not in str(refusal.value)


class Backend:
    """A runtime whose results for golden frames are the expected ones plus a fixed difference."""

    name = "openvino"

    def __init__(self, bundle: Bundle, more: float, more_map: float = 0.0) -> None:
        self.answers, self.more, self.more_map = iter(bundle.golden()), more, more_map

    def infer(self, frame: object) -> Output:
        one = next(self.answers)
        return Output(one.score + self.more, None if one.map is None else one.map + np.float32(self.more_map))


def with_golden(folder: Path, scores: list[float], known: ValueRange | None, **changes: object) -> Bundle:
    """The demonstration bundle with other golden scores and maps without a defect."""
    path = changed(folder, known, **changes)
    arrays: dict[str, np.ndarray] = {"count": np.array(len(scores))}
    for i, score in enumerate(scores):
        arrays |= {f"frame_{i}": np.zeros((16, 16, 3), np.uint8), f"score_{i}": np.array(score)}
        arrays[f"map_{i}"] = np.zeros((80, 80), np.float32)
    np.savez(path / GOLDEN, **arrays)
    return seal(path, load_bundle_unchecked(path))


def load_bundle_unchecked(path: Path):  # type: ignore[no-untyped-def]
    from edge.bundle import Manifest

    return Manifest.model_validate(json.loads((path / "manifest.json").read_text()))


def test_a_golden_frame_beyond_the_range_is_allowed_more_and_a_map_by_its_own_tolerance(tmp_path: Path) -> None:
    known = ValueRange(low=0.0, high=1e-3)
    bundle = with_golden(tmp_path, [5e-4], known, golden_tolerance=1e-7, golden_map_tolerance=1e-6)
    assert check_golden(bundle, Backend(bundle, 0.9e-7, 0.5e-6)) == pytest.approx(0.9e-7, rel=0.01)
    assert check_golden(bundle, Backend(bundle, 0.1e-7, 0.5e-6)) == pytest.approx(0.5e-7, rel=0.01)
    for more in ((2e-7, 0.0), (0.0, 2e-6), (float("nan"), 0.0)):
        with pytest.raises(BundleError, match="on this machine"):
            check_golden(bundle, Backend(bundle, *more))
    shutil.rmtree(bundle.path)
    far = with_golden(tmp_path, [5e-4, 1.0], known, golden_tolerance=1e-7, golden_map_tolerance=1e-6)
    with pytest.raises(BundleError, match="golden frame 0 "):
        check_golden(far, Backend(far, 0.9e-4))


def test_old_golden_scores_that_a_tolerance_swallows_prove_nothing(tmp_path: Path) -> None:
    bundle = with_golden(tmp_path, [0.6, 0.7], None, golden_tolerance=0.5)
    with pytest.raises(BundleError, match=r"golden_tolerance of openvino is 0\.5, more than the range of the golden"):
        check_golden(bundle, Backend(bundle, 0.0))
