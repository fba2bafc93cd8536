"""A picture of a part with boxes drawn around its defects, and lines of text above it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from edge.frame import Frame

SMALLEST_SIDE = 640
"""A picture whose longer side is shorter is enlarged, by a whole factor and without smoothing."""

NARROWEST = 480
"""Least width of the drawing, pixels: the lines of text need it."""

BACKGROUND, INK, FAINT = (32, 32, 32), (255, 255, 255), (170, 170, 170)
BOX, EDGE = (230, 20, 20), (255, 255, 255)
"""Colours, RGB. A box has an edge of another colour, so that it shows on a picture of any colour."""

SIGNS = str.maketrans({"×": "x", "≥": ">="})


class Marked(NamedTuple):
    """A rectangle to draw: `x`, `y`, `width`, `height` in pixels of the frame, and the text beside it."""

    x: int
    y: int
    width: int
    height: int
    text: str


def drawn(frame: Frame, lines: Sequence[str], boxes: Sequence[Marked]) -> Frame:
    """The drawing, `uint8 [H, W, 3]` BGR: the text lines above the picture, and each box just outside of its pixels.

    `frame` is `uint8 [H, W, 3]` BGR. Letters grow with the picture. What the font lacks is written out as an escape
    sequence, and a line that is too long is shortened in the middle.
    """
    picture = Image.fromarray(np.ascontiguousarray(frame[:, :, ::-1]))
    scale = max(1, SMALLEST_SIDE // max(picture.size))
    picture = picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)
    thickness = max(2, round(max(picture.size) / 500))
    margin = 3 * thickness
    width = max(NARROWEST, picture.width + 2 * margin)
    size = max(14, min(round(max(picture.size) / 48), width // 24))
    font, small = ImageFont.load_default(size), ImageFont.load_default(round(0.75 * size))
    pitch = round(1.4 * size)
    top = len(lines) * pitch + margin
    sheet = Image.new("RGB", (width, top + picture.height + 2 * margin), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for number, line in enumerate(lines):
        place, letters = (margin, margin + number * pitch), font if number < 2 else small
        draw.text(place, _fitted(_spelled(line), letters, width - 2 * margin), INK if number < 2 else FAINT, letters)
    corner = margin, top + margin
    sheet.paste(picture, corner)
    for box in boxes:
        _frame(draw, box, scale, corner, thickness)
    for box in boxes:
        _label(draw, box, scale, corner, thickness, font, sheet.size)
    return np.ascontiguousarray(np.asarray(sheet)[:, :, ::-1])


def _inner(box: Marked, scale: int, corner: tuple[int, int]) -> tuple[int, int, int, int]:
    """The box on the sheet: left, top, and the first pixel beyond its right and bottom."""
    left, top = corner[0] + box.x * scale, corner[1] + box.y * scale
    return left, top, left + box.width * scale, top + box.height * scale


def _frame(draw: ImageDraw.ImageDraw, box: Marked, scale: int, corner: tuple[int, int], thickness: int) -> None:
    left, top, right, bottom = _inner(box, scale, corner)
    for out, colour in ((thickness + max(1, thickness // 2), EDGE), (thickness, BOX)):
        width = out if colour == EDGE else thickness
        draw.rectangle((left - out, top - out, right - 1 + out, bottom - 1 + out), outline=colour, width=width)


def _label(
    draw: ImageDraw.ImageDraw, box: Marked, scale: int, corner: tuple[int, int], thickness: int,
    font: "ImageFont.FreeTypeFont | ImageFont.ImageFont", size: tuple[int, int],
) -> None:  # fmt: skip
    """The text of a box: above it, or below it where there is no room above, within the sheet."""
    text = _spelled(box.text)
    left, top, _, bottom = _inner(box, scale, corner)
    _, _, wide, high = (round(value) for value in draw.textbbox((0, 0), text, font))
    wide, high, gap = wide + 2 * thickness, high + 2 * thickness, 2 * thickness
    x = max(0, min(left - gap, size[0] - wide))
    y = top - gap - high
    if y < corner[1]:
        y = min(bottom + gap, size[1] - high)
    draw.rectangle((x, y, x + wide, y + high), fill=BOX)
    draw.text((x + thickness, y + thickness), text, INK, font)


def _spelled(text: str) -> str:
    """The text in characters that the font has."""
    return text.translate(SIGNS).encode("ascii", "backslashreplace").decode()


def _fitted(text: str, font: "ImageFont.FreeTypeFont | ImageFont.ImageFont", width: int) -> str:
    """The text, shortened in the middle until it is at most `width` pixels wide."""
    if font.getlength(text) <= width:
        return text
    kept = len(text)
    while kept > 2 and font.getlength(_shortened(text, kept)) > width:
        kept -= 1 + kept // 50
    return _shortened(text, kept)


def _shortened(text: str, kept: int) -> str:
    return f"{text[: kept - kept // 2]}…{text[len(text) - kept // 2 :]}"
