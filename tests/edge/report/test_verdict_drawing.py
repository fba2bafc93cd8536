"""The drawing of a part: no pixel is lost, each box surrounds its defect, and the text grows with the picture."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.frame import Frame
from edge.report.verdict_drawing import BACKGROUND, BOX, INK, Marked, drawn

LINES = ["REJECT  part código 7", "score 0.9 ≥ threshold 0.5, 1 place", "verdict 1 of line1"]
RED = BOX[::-1]


def noise(height: int, width: int) -> Frame:
    """A picture without red and white."""
    return np.random.default_rng(0).integers(60, 160, (height, width, 3), np.uint8)


def place_of(frame: Frame, sheet: Frame, scale: int) -> tuple[int, int]:
    """Row and column at which the enlarged frame lies on the sheet."""
    large = frame.repeat(scale, 0).repeat(scale, 1)
    height, width = large.shape[:2]
    for row, column in np.argwhere((sheet == large[0, 0]).all(2)):
        if np.array_equal(sheet[row : row + height, column : column + width], large):
            return int(row), int(column)
    raise AssertionError("the picture is not on the sheet")


@pytest.mark.parametrize(("height", "width", "scale"), [(25, 49, 13), (480, 640, 1), (40, 3, 16)])
def test_the_picture_is_on_the_sheet_pixel_by_pixel_and_small_ones_are_enlarged(
    height: int, width: int, scale: int
) -> None:
    frame = noise(height, width)
    place_of(frame, drawn(frame, LINES, []), scale)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 48), st.integers(0, 24), st.data())
def test_a_box_surrounds_its_pixels_and_covers_none_of_them(x: int, y: int, data: st.DataObject) -> None:
    width, height = data.draw(st.integers(1, 49 - x)), data.draw(st.integers(1, 25 - y))
    frame = noise(25, 49)
    top, left = place_of(frame, drawn(frame, LINES, []), 13)
    sheet = drawn(frame, LINES, [Marked(x, y, width, height, "")])
    at = top + y * 13, left + x * 13
    inside = sheet[at[0] : at[0] + height * 13, at[1] : at[1] + width * 13]
    assert np.array_equal(inside, frame[y : y + height, x : x + width].repeat(13, 0).repeat(13, 1))
    around = sheet[at[0] - 1, at[1] : at[1] + width * 13], sheet[at[0] : at[0] + height * 13, at[1] + width * 13]
    assert all((edge == RED).all() for edge in around)


@pytest.mark.parametrize(("height", "width"), [(25, 49), (1080, 1920), (3000, 4096)])
def test_letters_can_be_read_when_the_drawing_is_as_wide_as_a_small_screen(height: int, width: int) -> None:
    sheet = drawn(noise(height, width), ["H"], [])
    ink = (sheet == INK).all(2).any(1)
    assert ink.sum() * 1024 / sheet.shape[1] >= 12, "a letter is at least 12 pixels high on 1024 pixels"


def test_a_line_that_is_too_long_keeps_both_ends_and_stays_on_the_sheet() -> None:
    frame = noise(200, 300)
    short, long = (drawn(frame, ["x" * count + "END"], []) for count in (3, 3000))
    assert short.shape == long.shape
    assert (long[:, -3:] == BACKGROUND[::-1]).all()


def test_a_label_stays_on_the_sheet_wherever_its_box_is() -> None:
    def ink(x: int, y: int) -> int:
        blank, sheet = (drawn(noise(25, 49), LINES, [Marked(x, y, 1, 1, text)]) for text in ("", "1×1 at (48, 24)"))
        return int(((sheet == INK).all(2) & (blank != INK).any(2)).sum())

    whole = ink(24, 12)
    assert whole > 30
    assert all(ink(x, y) >= 0.9 * whole for x, y in ((0, 0), (48, 0), (0, 24), (48, 24)))
