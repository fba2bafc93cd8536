"""The training letterbox: the antialiased filter at the integer size, padded and normalised as the contract says."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.letterbox.contract import LetterboxContract
from edge.letterbox.geometry import letterbox
from train.letterbox import in_levels, letterboxed, letterboxed_truth, normalised, placed, shrunk

PLAIN = LetterboxContract(side=224)
IMAGENET = LetterboxContract(side=224, fill=114, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))

sizes = st.tuples(st.integers(16, 700), st.integers(16, 700))


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * 1000 + width).integers(0, 256, (height, width, 3), np.uint8)


def triangle(length: int, size: int) -> np.ndarray:
    """Weights [size, length] of the antialiased bilinear filter, computed from its definition."""
    scale = length / size
    centre = (np.arange(size)[:, None] + 0.5) * scale
    weights = np.maximum(0, 1 - np.abs(np.arange(length) + 0.5 - centre) / max(1, scale))
    return weights / weights.sum(axis=1, keepdims=True)


@settings(max_examples=25, deadline=None)
@given(sizes)
def test_letterbox_equals_the_filter_written_as_two_matrix_products(size: tuple[int, int]) -> None:
    frame = noise(*size)
    box = letterbox(*size, 224)
    rows, columns = triangle(size[0], box.height), triangle(size[1], box.width)
    wanted = np.einsum("yY,YXc,xX->cyx", rows, frame[:, :, ::-1].astype(float), columns, optimize=True)
    np.testing.assert_allclose(shrunk(frame, PLAIN).numpy(), wanted, atol=1e-2)


@settings(max_examples=25, deadline=None)
@given(sizes)
def test_frame_lies_where_the_geometry_says_and_the_rest_is_fill(size: tuple[int, int]) -> None:
    box = letterbox(*size, 224)
    image, mask = letterboxed(noise(*size), IMAGENET)
    assert image.shape == (3, 224, 224)
    assert image.dtype == mask.dtype == torch.float32
    wanted = torch.zeros(1, 224, 224)
    wanted[:, box.top : box.top + box.height, box.left : box.left + box.width] = 1
    assert torch.equal(mask, wanted)
    fill = (114 / 255 - np.array(IMAGENET.mean)) / np.array(IMAGENET.std)
    padding = image[:, mask[0] == 0]
    np.testing.assert_allclose(padding.numpy(), np.broadcast_to(fill[:, None], padding.shape), atol=1e-6)


def test_size_where_floats_are_off_by_one_is_the_integer_one() -> None:
    assert shrunk(noise(299, 299), PLAIN).shape == (3, 224, 224)


def test_colours_are_swapped_to_rgb_before_each_has_its_own_mean() -> None:
    frame = np.zeros((224, 224, 3), np.uint8)
    frame[:, :, 0], frame[:, :, 2] = 255, 51
    image, _ = letterboxed(frame, IMAGENET)
    wanted = [(0.2 - 0.485) / 0.229, (0 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    np.testing.assert_allclose(image[:, 100, 100].numpy(), wanted, atol=1e-6)


def test_thin_line_survives_shrinking() -> None:
    frame = np.zeros((720, 1280, 3), np.uint8)
    frame[:, 641] = 255
    brightest = shrunk(frame, PLAIN)[:, 50].max()
    assert 20 < brightest < 70


def test_values_between_grey_levels_are_kept() -> None:
    pixels = shrunk(noise(301, 433), PLAIN)
    assert (pixels != pixels.round()).float().mean() > 0.9
    image, _ = placed(pixels, PLAIN)
    assert (image * 255 != (image * 255).round()).float().mean() > 0.5


def test_what_is_no_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="uint8"):
        letterboxed(np.zeros((4, 4, 3), np.float32), PLAIN)
    with pytest.raises(ValueError, match="uint8"):
        letterboxed(np.zeros((4, 4), np.uint8), PLAIN)


def test_truth_lies_where_its_defect_lies() -> None:
    truth = np.zeros((720, 1280), np.uint8)
    truth[300:340, 600:680] = 255
    small = letterboxed_truth(truth, PLAIN)
    box = letterbox(720, 1280, 224)
    rows, columns = small[0].nonzero().T
    assert small.shape == (1, 224, 224)
    assert set(small.unique().tolist()) == {0.0, 1.0}
    assert abs(float(rows.min()) - (box.top + 300 * box.height / 720)) <= 1
    assert abs(float(columns.max() + 1) - (box.left + 680 * box.width / 1280)) <= 1


@given(st.integers(0, 719), st.integers(0, 1279))
@settings(max_examples=20, deadline=None)
def test_defect_of_one_pixel_never_vanishes_from_the_truth(y: int, x: int) -> None:
    truth = np.zeros((720, 1280), np.uint8)
    truth[y, x] = 255
    assert letterboxed_truth(truth, LetterboxContract(side=32)).any()


def test_truth_without_a_defect_is_empty() -> None:
    assert not letterboxed_truth(np.zeros((720, 1280), np.uint8), PLAIN).any()


def test_picture_and_truth_are_cut_to_the_region() -> None:
    region = {"top": 100, "left": 200, "height": 90, "width": 160}
    contract = LetterboxContract(side=64, region=region)  # type: ignore[arg-type]
    frame, truth = noise(300, 400), np.zeros((300, 400), np.uint8)
    truth[120:140, 230:250] = 255
    cut = slice(100, 190), slice(200, 360)
    plain = LetterboxContract(side=64)
    assert torch.equal(letterboxed(frame, contract)[0], letterboxed(frame[cut], plain)[0])
    assert torch.equal(letterboxed_truth(truth, contract), letterboxed_truth(truth[cut], plain))
    truth[:] = 255
    truth[cut] = 0
    assert not letterboxed_truth(truth, contract).any()


def test_a_thin_defect_stays_in_the_truth_where_the_filter_loses_it_in_the_picture() -> None:
    contract = LetterboxContract(side=32, filter="bilinear")
    frame, truth = np.zeros((720, 1280, 3), np.uint8), np.zeros((720, 1280), np.uint8)
    frame[:, 650], truth[:, 650] = 255, 255
    assert not shrunk(frame, contract).any()
    assert letterboxed_truth(truth, contract).any()


@pytest.mark.parametrize("colour", ["rgb", "bgr", "grey"])
def test_levels_come_back_from_what_was_normalised(colour: str) -> None:
    channels = 1 if colour == "grey" else 3
    contract = LetterboxContract(
        side=32, colour=colour, mean=(0.1, 0.2, 0.3)[:channels], std=(0.5, 0.6, 0.7)[:channels]
    )
    levels = torch.rand(channels, 8, 8)
    torch.testing.assert_close(in_levels(normalised(levels, contract), contract), levels)
