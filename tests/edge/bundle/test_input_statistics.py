"""Statistics of the training photographs in a manifest, and the distance of a picture from them."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis
from support.line import DEMO_BUNDLE, TILE_BUNDLE, refused

from edge.bundle import MANIFEST, MANIFEST_HASH, InputStatistics, Measured, load_bundle, seal, sha256
from edge.bundle.input_distance import InputDistance
from edge.bundle.input_statistics import LARGEST, SMALLEST
from edge.demo.line import DemoLine
from edge.errors import BundleError
from edge.letterbox.contract import LetterboxContract
from edge.pictures.features import FEATURES

COUNT = len(FEATURES)
CONTRACT = LetterboxContract(side=64)


def statistics(**changes: Any) -> InputStatistics:
    """Statistics of uncorrelated features with mean 0 and deviation 1."""
    fields = {
        "data": "nothing", "features": FEATURES, "mean": [0.0] * COUNT, "deviation": [1.0] * COUNT, "shrinkage": 0.5,
        "whitening": [[0.0] * n + [1.0] for n in range(COUNT)], "limit": 4.0, "strategy": "by hand", "held_out": 9,
        "beyond": 0,
    }  # fmt: skip
    return InputStatistics.model_validate(fields | changes)


def test_the_distance_is_that_of_mahalanobis() -> None:
    rng = np.random.default_rng(3)
    mixed = rng.normal(size=(COUNT, COUNT))
    covariance, mean, deviation = mixed @ mixed.T, rng.normal(size=COUNT), rng.uniform(0.5, 2, COUNT)
    whitening = np.linalg.inv(np.linalg.cholesky(covariance))
    found = statistics(
        mean=mean.tolist(), deviation=deviation.tolist(), whitening=[row[: n + 1] for n, row in enumerate(whitening)]
    )
    scaled = np.diag(deviation) @ covariance @ np.diag(deviation)
    for features in rng.normal(size=(20, COUNT)):
        expected = mahalanobis(features, mean, np.linalg.inv(scaled))
        assert InputDistance(found, CONTRACT).of_features(features).distance == pytest.approx(expected)


def test_the_feature_that_is_named_is_the_farthest_in_deviations() -> None:
    found = statistics(deviation=[1.0] * (COUNT - 1) + [0.01])
    features = np.zeros(COUNT)
    features[2], features[-1] = 3.0, -0.05
    assert InputDistance(found, CONTRACT).of_features(features) == (pytest.approx(np.hypot(3, 5)), FEATURES[-1])


def test_a_picture_at_the_limit_is_not_beyond_it() -> None:
    found = statistics(limit=4.0)
    assert [found.is_unlike(Measured(distance, "edges")) for distance in (3.9, 4.0, 4.1)] == [False, False, True]


def test_a_distance_is_finite_whatever_numbers_a_bundle_holds() -> None:
    largest = [[LARGEST] * (n + 1) for n in range(COUNT)]
    found = statistics(mean=[-LARGEST] * COUNT, deviation=[SMALLEST] * COUNT, whitening=largest)
    distance, _ = InputDistance(found, CONTRACT).of_features(np.full(COUNT, 255.0))
    assert np.isfinite(distance)
    assert found.is_unlike(Measured(distance, "edges"))


def test_a_black_picture_to_warm_up_holds_the_region() -> None:
    region = {"top": 40, "left": 50, "height": 60, "width": 70}
    InputDistance(statistics(), LetterboxContract(side=64, region=region)).warm_up()


@pytest.mark.parametrize("path", [DEMO_BUNDLE, TILE_BUNDLE], ids=lambda path: path.stem)
def test_the_shipped_bundles_have_statistics_of_as_many_photographs_as_their_thresholds(path: Path) -> None:
    manifest = load_bundle(path).manifest
    found = manifest.input_statistics
    assert found is not None
    threshold = manifest.artifacts["onnxruntime"].threshold
    assert found.held_out == threshold.recall.count + threshold.specificity.count
    assert found.beyond <= 0.01 * found.held_out


def test_the_shipped_demonstration_knows_its_own_line_and_the_tiles_bundle_does_not() -> None:
    line = DemoLine(seed=77)
    frames = [line.render(index).frame for index in range(12)]
    for path, knows in ((DEMO_BUNDLE, True), (TILE_BUNDLE, False)):
        manifest = load_bundle(path).manifest
        comparison, found = InputDistance.of(manifest), manifest.input_statistics
        assert comparison is not None
        assert found is not None
        unlike = sum(found.is_unlike(comparison.measure_frame(frame)) for frame in frames)
        assert unlike <= 1 if knows else unlike == len(frames)


# ---------------------------------------------------------------------------------------------------- the manifest


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DEMO_BUNDLE, tmp_path / "copy.edge"))


def rewrite(bundle: Path, block: Any) -> None:
    """Replace the block in the manifest, with the correct hash. None removes it, as in bundles of earlier versions."""
    manifest = json.loads((bundle / MANIFEST).read_text())
    if block is None:
        del manifest["input_statistics"]
    else:
        manifest["input_statistics"] = block
    (bundle / MANIFEST).write_text(json.dumps(manifest))
    (bundle / MANIFEST_HASH).write_text(f"{sha256(bundle / MANIFEST)}  {MANIFEST}\n")


def test_a_bundle_of_before_has_no_statistics_and_loads(bundle: Path) -> None:
    rewrite(bundle, None)
    manifest = load_bundle(bundle).manifest
    assert manifest.input_statistics is None
    assert InputDistance.of(manifest) is None


def test_statistics_survive_sealing(bundle: Path) -> None:
    before = load_bundle(bundle).manifest
    assert seal(bundle, before).manifest.input_statistics == before.input_statistics is not None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": 2}, "input_statistics.version = 2: must be 1"),
        ({"features": ["brightness"]}, "input_statistics: features are not those of version 1"),
        ({"mean": [0.0] * (COUNT - 1)}, f"input_statistics: mean has {COUNT - 1} entries, there are {COUNT} features"),
        ({"deviation": [0.0] * COUNT}, "input_statistics.deviation.0 = 0.0: must be at least 1e-09"),
        ({"mean": [1e300] * COUNT}, "input_statistics.mean.0 = 1e+300: must be at most 1000000000"),
        ({"whitening": [[1.0]] * COUNT}, "input_statistics: whitening is not lower triangular"),
        ({"whitening": [[0.0] * (n + 1) for n in range(COUNT)]}, "input_statistics: whitening is not lower triangular"),
        ({"limit": -1.0}, "input_statistics.limit = -1.0: must be at least 1e-09"),
        ({"limit": float("nan")}, "input_statistics.limit = nan: must be"),
        ({"beyond": 10}, "input_statistics: beyond is 10, of 9 photographs"),
        ({"extra": 1}, "unknown key 'input_statistics.extra'"),
    ],
)
def test_a_malformed_block_is_refused_in_one_line(bundle: Path, changes: dict[str, Any], said: str) -> None:
    rewrite(bundle, statistics().model_dump(mode="json") | changes)
    with pytest.raises(BundleError) as caught:
        load_bundle(bundle)
    assert said in str(caught.value)
    assert str(caught.value).endswith("export the bundle again")
    assert len(str(caught.value).splitlines()) == 1


def test_a_station_refuses_a_malformed_block_in_one_line(bundle: Path) -> None:
    rewrite(bundle, [])
    assert "input_statistics" in refused("--source", "demo", "--bundle", bundle)
