"""The location of defects on the frame from the map: the pixels that a box must contain, and those that it must not."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge.letterbox.contract import LetterboxContract, RegionOfInterest
from edge.letterbox.geometry import letterbox
from edge.report.heat import map_in_frame
from edge.station.inference.locating import Region, find_regions
from edge.verdict import MOST_DEFECTS

frames = st.integers(16, 8192)
sides = st.integers(1, 64).map(lambda n: 16 * n)
strides = st.sampled_from([1, 2, 4, 8, 16])
modes = st.sampled_from(["letterbox", "stretch"])
shares = st.floats(0, 1, exclude_max=True)


def contract(side: int, mode: str = "letterbox") -> LetterboxContract:
    return LetterboxContract(side=side, mode=mode)  # type: ignore[arg-type]


def holds(region: Region, x: int, y: int) -> bool:
    return region.x <= x < region.x + region.width and region.y <= y < region.y + region.height


def cell_of(place: Fraction, cells: int, side: int, before: int, inside: int, pixels: int) -> int:
    """The map cell at a place of the frame, computed with fractions."""
    return floor((before + place * inside / pixels) * cells / side)


@settings(max_examples=300, deadline=None)
@given(frames, frames, sides, strides, modes, shares, shares, st.sampled_from([Fraction(1, 1000), Fraction(1, 2)]))
@example(16, 8192, 16, 1, "letterbox", 0.5, 0.999, Fraction(1, 2))
@example(299, 299, 224, 16, "stretch", 0.999, 0.999, Fraction(1, 1000))
def test_a_cell_that_covers_a_pixel_maps_back_to_a_box_that_holds_it(
    height: int, width: int, side: int, stride: int, mode: str, down: float, across: float, inside: Fraction
) -> None:
    y, x = int(down * height), int(across * width)
    box = letterbox(height, width, side, mode == "stretch")
    cells = side // stride
    row = cell_of(y + inside, cells, side, box.top, box.height, height)
    column = cell_of(x + inside, cells, side, box.left, box.width, width)
    heat = np.zeros((cells, cells), np.float32)
    heat[row, column] = 1
    (region,) = find_regions(heat, (height, width), contract(side, mode), 0.5)
    assert holds(region, x, y)
    assert region.peak == 1
    # no larger than the cell and the pixels that it cuts through
    assert region.width <= Fraction(stride * width, box.width) + 2
    assert region.height <= Fraction(stride * height, box.height) + 2


@settings(max_examples=150, deadline=None)
@given(frames, frames, sides, strides, modes, st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.5, 0.95]))
def test_no_box_leaves_the_frame_and_each_holds_its_area(
    height: int, width: int, side: int, stride: int, mode: str, seed: int, threshold: float
) -> None:
    heat = np.random.default_rng(seed).random((side // stride, side // stride), np.float32)
    found = find_regions(heat, (height, width), contract(side, mode), threshold)
    assert len(found) <= MOST_DEFECTS
    assert [region.peak for region in found] == sorted((region.peak for region in found), reverse=True)
    for region in found:
        assert min(region.x, region.y) >= 0
        assert min(region.width, region.height, region.area) >= 1
        assert region.x + region.width <= width
        assert region.y + region.height <= height
        assert region.area <= region.width * region.height
        assert region.peak >= threshold


@settings(max_examples=150, deadline=None)
@given(frames, frames, sides, strides)
def test_padding_never_becomes_a_region(height: int, width: int, side: int, stride: int) -> None:
    box, cells = letterbox(height, width, side), side // stride
    begins = np.arange(cells) * stride
    rows = (begins + stride > box.top) & (begins < box.top + box.height)
    columns = (begins + stride > box.left) & (begins < box.left + box.width)
    on_frame = np.outer(rows, columns)
    assert find_regions((~on_frame).astype(np.float32), (height, width), contract(side), 0.5) == []
    (whole,) = find_regions(on_frame.astype(np.float32), (height, width), contract(side), 0.5)
    assert (whole.x, whole.y, whole.width, whole.height, whole.area) == (0, 0, width, height, width * height)


def test_a_map_that_is_not_square_maps_each_axis_by_its_own_stride() -> None:
    heat = np.zeros((10, 40), np.float32)
    heat[5, 20:24] = 0.75
    (region,) = find_regions(heat, (320, 320), contract(320), 0.5)
    assert (region.x, region.y, region.width, region.height, region.area) == (160, 160, 32, 32, 1024)


def test_cells_that_touch_at_a_corner_are_one_region_and_others_are_not() -> None:
    heat = np.zeros((8, 8), np.float32)
    heat[0, 0] = heat[1, 1] = 0.6
    heat[5, 5] = 0.9
    found = find_regions(heat, (64, 64), contract(64), 0.5)
    assert [(r.x, r.y, r.width, r.height, r.area) for r in found] == [(40, 40, 8, 8, 64), (0, 0, 16, 16, 128)]
    assert find_regions(heat, (64, 64), contract(64), 0.95) == []


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_value_that_is_no_number_is_no_defect(value: float) -> None:
    assert find_regions(np.full((4, 4), value, np.float32), (64, 64), contract(64), 0.5) == []


def test_an_endless_peak_is_told_as_a_number() -> None:
    (region,) = find_regions(np.full((4, 4), np.inf, np.float32), (64, 64), contract(64), 0.5)
    assert np.isfinite(region.peak)


def test_the_map_over_the_frame_is_hot_where_the_box_is() -> None:
    heat = np.zeros((20, 20), np.float32)
    heat[8, 3:6] = 1
    (region,) = find_regions(heat, (333, 777), contract(320), 0.5)
    rows, columns = np.nonzero(map_in_frame(heat, contract(320), 333, 777) >= 0.5)
    assert holds(region, int(columns.min()), int(rows.min()))
    assert holds(region, int(columns.max()), int(rows.max()))


@settings(max_examples=100, deadline=None)
@given(frames, frames, st.integers(0, 900), st.integers(0, 900), sides, modes, st.integers(0, 2**32 - 1))
@example(height=879, width=989, top=83, left=0, side=144, mode="letterbox", seed=0)
def test_what_is_found_in_a_region_lies_there_in_the_frame(
    height: int, width: int, top: int, left: int, side: int, mode: str, seed: int
) -> None:
    height, width = min(height, 1000), min(width, 1000)
    heat = np.random.default_rng(seed).random((side // 8, side // 8), np.float32)
    region = RegionOfInterest(top=top, left=left, height=height, width=width)
    whole, part = contract(side, mode), contract(side, mode).model_copy(update={"region": region})
    shape = region.bottom + seed % 7, region.right + seed % 3
    for there, here in zip(
        find_regions(heat, shape, part, 0.7), find_regions(heat, (height, width), whole, 0.7), strict=True
    ):
        assert (there.x, there.y) == (here.x + left, here.y + top)
        assert (there.width, there.height, there.area, there.peak) == (here.width, here.height, here.area, here.peak)
    over = map_in_frame(heat, part, *shape)
    inside = over[top : region.bottom, left : region.right]
    assert np.array_equal(inside, map_in_frame(heat, whole, height, width))
    assert np.isneginf(over).sum() == over.size - inside.size, "where nothing was looked at, nothing is hot"
