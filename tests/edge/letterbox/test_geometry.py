"""Letterbox arithmetic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.letterbox.geometry import letterbox

sizes = st.integers(1, 4096)
sides = st.integers(16, 640)


def test_integers_get_the_size_right_where_floats_do_not() -> None:
    assert int(299 * (224 / 299)) == 223
    assert letterbox(299, 299, 224).height == 224


@given(sizes, sizes, sides)
def test_the_longest_edge_fills_the_square_and_padding_differs_by_one_at_most(h: int, w: int, side: int) -> None:
    box = letterbox(h, w, side)
    assert max(box.height, box.width) == side
    assert box.top + box.height + box.bottom == side
    assert box.left + box.width + box.right == side
    assert 0 <= box.bottom - box.top <= 1
    assert 0 <= box.right - box.left <= 1


@given(sizes, sizes, sides)
def test_corners_map_back_onto_the_frame_exactly(h: int, w: int, side: int) -> None:
    box = letterbox(h, w, side)
    assert box.to_frame(box.left, box.top) == (0, 0)
    assert box.to_frame(side - box.right, side - box.bottom) == pytest.approx((w, h))


def test_a_frame_without_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        letterbox(0, 10, 224)
