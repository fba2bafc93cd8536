"""What annotations mark, pixel by pixel: polygons, boxes, and COCO's run lengths."""

import cv2
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edge.errors import DataError
from edge.photographs.shapes import Polygon, RunLengths, box, painted, polygon, run_lengths

HEIGHT, WIDTH = 24, 40
coordinate = st.tuples(st.floats(0, WIDTH), st.floats(0, HEIGHT))


@given(st.lists(coordinate, min_size=3, max_size=8))
def test_a_polygon_marks_the_pixels_whose_centres_are_inside(points: list[tuple[float, float]]) -> None:
    across, down = zip(*points, strict=True)
    assume(min(across) < WIDTH and max(across) > 0 and min(down) < HEIGHT and max(down) > 0)
    marked = painted(Polygon(tuple(points)), HEIGHT, WIDTH)
    crossings = np.zeros((HEIGHT, WIDTH), int)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
        with np.errstate(all="ignore"):
            at = x0 + (rows - y0) * (x1 - x0) / (y1 - y0)
        crossings += ((y0 <= rows) != (y1 <= rows)) & (at <= columns)
    inside = crossings % 2 == 1
    assert marked.any()
    if inside.any():
        np.testing.assert_array_equal(marked, inside)


def test_a_polygon_is_the_one_that_opencv_tests_points_of() -> None:
    points = [(3.2, 2.1), (30.7, 5.4), (36.1, 20.9), (18.3, 12.2), (5.5, 22.6)]
    contour = np.array(points, np.float32)
    expected = [
        [cv2.pointPolygonTest(contour, (x + 0.5, y + 0.5), False) > 0 for x in range(WIDTH)] for y in range(HEIGHT)
    ]
    np.testing.assert_array_equal(painted(Polygon(tuple(points)), HEIGHT, WIDTH), expected)


@given(st.integers(0, WIDTH - 1), st.integers(0, HEIGHT - 1), st.integers(1, WIDTH), st.integers(1, HEIGHT))
def test_a_box_between_pixels_marks_exactly_these(left: int, top: int, width: int, height: int) -> None:
    right, bottom = min(left + width, WIDTH), min(top + height, HEIGHT)
    marked = painted(box(left, top, right, bottom), HEIGHT, WIDTH)
    assert marked.sum() == (right - left) * (bottom - top)
    assert marked[top:bottom, left:right].all()
    shares = painted(box(left / WIDTH, top / HEIGHT, right / WIDTH, bottom / HEIGHT, is_relative=True), HEIGHT, WIDTH)
    np.testing.assert_array_equal(shares, marked)


def test_a_defect_thinner_than_a_pixel_is_marked_along_its_outline() -> None:
    marked = painted(polygon([2, 3.1, 30, 3.2, 30, 3.3]), HEIGHT, WIDTH)
    assert {*np.flatnonzero(marked.any(axis=1))} == {3}
    assert marked[3, 2:30].all()
    assert painted(box(5.1, 6.1, 5.2, 6.2), HEIGHT, WIDTH).sum() == 1
    assert painted(box(WIDTH - 0.1, HEIGHT - 0.1, WIDTH, HEIGHT), HEIGHT, WIDTH)[-1, -1]


def test_a_shape_may_reach_a_little_over_the_edge_and_no_further() -> None:
    assert painted(box(-1.5, -1, 10, 10), HEIGHT, WIDTH).sum() == 100
    for outside in (box(-5, 0, 10, 10), box(0, 0, WIDTH + 3, 10), box(WIDTH, 0, WIDTH + 1, 10), box(0, -1, 9, 0)):
        with pytest.raises(
            DataError, match=r"^reaches from .* outside the 40×24 pixels of the photograph, as if that was"
        ):
            painted(outside, HEIGHT, WIDTH)
    with pytest.raises(DataError, match="a coordinate that is no number"):
        painted(box(0, 0, float("nan"), 10), HEIGHT, WIDTH)


def encoded(counts: list[int]) -> str:
    """`rleToString` of cocoapi."""
    text = ""
    for index, count in enumerate(counts):
        left = count - counts[index - 2] if index > 2 else count
        while True:
            bits, left = left & 31, left >> 5
            more = left != (-1 if bits & 16 else 0)
            text += chr(48 + (bits | 32 if more else bits))
            if not more:
                break
    return text


@given(st.lists(st.integers(0, 100_000), min_size=1, max_size=30))
def test_compressed_run_lengths_are_decoded(counts: list[int]) -> None:
    assert run_lengths(encoded(counts)) == tuple(counts)


def test_run_lengths_go_down_the_columns() -> None:
    truth = np.zeros((HEIGHT, WIDTH), bool)
    truth[5:9, 7:9] = True
    counts = (7 * HEIGHT + 5, 4, HEIGHT - 4, 4, HEIGHT * WIDTH - (8 * HEIGHT + 9))
    np.testing.assert_array_equal(painted(RunLengths(counts, HEIGHT, WIDTH), HEIGHT, WIDTH), truth)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (RunLengths((10, 5), HEIGHT, WIDTH), "has run lengths of 15 pixels in all, and the photograph has 960"),
        (RunLengths((960,), HEIGHT, WIDTH), "marks no pixel"),
        (RunLengths((0, 960), WIDTH, HEIGHT), "is of 24×40 pixels, and the photograph has 40×24"),
        (RunLengths((970, -10), HEIGHT, WIDTH), "has run lengths of 960 pixels in all"),
    ],
)
def test_run_lengths_that_do_not_fit_are_refused(shape: RunLengths, message: str) -> None:
    with pytest.raises(DataError, match=message):
        painted(shape, HEIGHT, WIDTH)


@pytest.mark.parametrize(("text", "message"), [("PPé", "the character 'é'"), ("`", "are cut off")])
def test_run_lengths_that_are_no_text_of_coco_are_refused(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        run_lengths(text)
