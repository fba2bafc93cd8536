"""Features of a picture: their meaning, and their restriction to the part of the picture that the model gets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import DataError
from edge.frame import Frame
from edge.letterbox.contract import LetterboxContract
from edge.pictures.features import FEATURES, RESOLUTION, FeatureExtractor

CONTRACT = LetterboxContract(side=320)


def features(frame: Frame, contract: LetterboxContract = CONTRACT) -> dict[str, float]:
    extractor = FeatureExtractor(contract)
    return dict(zip(FEATURES, extractor.features(extractor.copy_rows(frame)).tolist(), strict=True))


def textures(found: dict[str, float], which: str) -> list[float]:
    return [value for name, value in found.items() if name.endswith(f"{which} texture")]


def waves(height: int, width: int) -> Frame:
    """A smooth coloured picture with the same content at every size."""
    rows, columns = np.mgrid[0:height, 0:width] / max(height, width)
    channels = [110 + 60 * np.sin(9 * columns + k) * np.cos(7 * rows + k) + 15 * k for k in range(3)]
    return np.stack(channels, axis=2).round().astype(np.uint8)


def test_a_flat_picture_has_its_brightness_and_colour_and_nothing_else() -> None:
    found = features(np.full((300, 400, 3), (120, 100, 70), np.uint8))
    assert found["brightness"] == pytest.approx(0.114 * 120 + 0.587 * 100 + 0.299 * 70, abs=0.6)
    assert (found["blue"], found["red"]) == (20, -30)
    assert found["colourfulness"] == pytest.approx(np.log1p(50))
    assert {found[name] for name in FEATURES if name not in ("brightness", "blue", "red", "colourfulness")} == {0}


@pytest.mark.parametrize(("axis", "striped", "even"), [(1, "horizontal", "vertical"), (0, "vertical", "horizontal")])
def test_stripes_are_texture_across_them_only(axis: int, striped: str, even: str) -> None:
    position = np.indices((512, 512))[axis]
    found = features(np.repeat(np.where(position % 4 < 2, 60, 180)[:, :, None], 3, axis=2).astype(np.uint8))
    assert max(textures(found, striped)) > 4
    assert textures(found, even) == [0, 0, 0]


def test_texture_has_a_scale() -> None:
    """Steps of 2 pixels differ at distance 1 and not at distance 4; for stripes of 16 pixels it is reversed."""
    fine, coarse = (np.where(np.indices((256, 256))[1] // width % 2, 200, 50) for width in (2, 16))
    of_fine, of_coarse = (features(np.repeat(one[:, :, None], 3, axis=2).astype(np.uint8)) for one in (fine, coarse))
    assert of_fine["medium horizontal texture"] == 0
    assert of_fine["fine horizontal texture"] > of_coarse["fine horizontal texture"] + 1
    assert of_coarse["coarse horizontal texture"] > of_coarse["fine horizontal texture"] + 2


def test_shares_of_dark_and_bright_areas_are_those_of_the_picture() -> None:
    frame = np.full((256, 256, 3), 120, np.uint8)
    frame[:, :64], frame[:, 192:] = 0, 255
    found = features(frame)
    assert found["dark area"] ** 2 == pytest.approx(0.25)
    assert found["bright area"] ** 2 == pytest.approx(0.25)
    assert found["edges"] ** 2 == pytest.approx(2 / 255)


def test_the_size_of_a_frame_is_no_feature() -> None:
    small, large = features(waves(720, 1280)), features(waves(1080, 1920))
    for name, resolution in RESOLUTION.items():
        assert large[name] == pytest.approx(small[name], abs=resolution), name


def test_a_region_of_a_frame_is_measured_as_its_copy() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (120, 200, 3), np.uint8)
    view = frame[10:110, 20:180]
    assert not view.flags.c_contiguous
    extractor = FeatureExtractor(LetterboxContract(side=64))
    expected = extractor.features(extractor.copy_rows(view.copy()))
    assert np.array_equal(extractor.features(extractor.copy_rows(view)), expected)


def test_only_the_region_of_the_contract_counts() -> None:
    contract = LetterboxContract(side=128, region={"top": 20, "left": 30, "height": 100, "width": 120})
    frame = waves(200, 300)
    other = np.random.default_rng(0).integers(0, 256, frame.shape, dtype=np.uint8)
    other[20:120, 30:150] = frame[20:120, 30:150]
    assert features(other, contract) == features(frame, contract)
    with pytest.raises(DataError, match="does not hold the region"):
        features(frame[:100], contract)


@pytest.mark.parametrize("grey", [{"frame": "grey"}, {"colour": "grey"}])
def test_colours_that_the_model_does_not_see_do_not_count(grey: dict[str, str]) -> None:
    found = features(waves(90, 160), LetterboxContract(side=64, **grey))
    assert (found["blue"], found["red"], found["colourfulness"]) == (0, 0, 0)
    assert found["brightness"] > 0


def test_the_same_frame_gives_the_same_features_after_one_of_another_size() -> None:
    extractor, frame = FeatureExtractor(CONTRACT), waves(90, 160)
    first = extractor.features(extractor.copy_rows(frame))
    extractor.copy_rows(waves(300, 200))
    assert np.array_equal(extractor.features(extractor.copy_rows(frame)), first)


def test_a_copy_of_the_rows_outlives_the_frame() -> None:
    extractor, frame = FeatureExtractor(CONTRACT), waves(90, 160)
    rows = extractor.copy_rows(frame)
    before = extractor.features(rows)
    frame[:] = 0
    assert np.array_equal(extractor.features(rows), before)


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(16, 700),
    width=st.integers(16, 700),
    side=st.integers(16, 512),
    mode=st.sampled_from(["letterbox", "stretch"]),
)
def test_features_of_any_size_are_finite(height: int, width: int, side: int, mode: str) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    assert np.isfinite(list(features(frame, LetterboxContract(side=side, mode=mode)).values())).all()


def test_the_flattest_frame_that_is_allowed_has_features() -> None:
    for shape in ((16, 8192, 3), (8192, 16, 3)):
        assert np.isfinite(list(features(np.zeros(shape, np.uint8)).values())).all()
