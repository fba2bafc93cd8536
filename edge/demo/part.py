"""One part drawn alone, without the belt: its picture and the mask of its defects."""

from dataclasses import dataclass

import cv2
import numpy as np

from edge.demo.defects import draw_defect
from edge.demo.design import CODE_CENTRE_Y, CODE_DOT, CODE_LEFT, Design
from edge.demo.lettering import CELL_COLUMNS
from edge.demo.stamp import Pixels, darken, overlap
from edge.demo.truth import DemoPart, Stream, random_stream


@dataclass(frozen=True)
class PartPicture:
    """A part without its surroundings, upright, at its size in the frame.

    `pixels` is `uint8 [h, w, 4]`: blue, green, red (0 outside the part) and the visibility of the belt (0 behind the
    part, 255 far from it). `mask` is `uint8 [h, w]`, 255 on defects.
    """

    pixels: Pixels
    mask: Pixels


def draw_part(design: Design, part: DemoPart, seed: int) -> PartPicture:
    """Draw one part: its own brushing, reflection, dust, smudges and code, and its defects."""
    rng = random_stream(seed, part.index, Stream.PART)
    pixels = design.blank.copy()
    _brush(pixels, design, rng)
    _mount_boss(pixels, design, rng)
    _print_code(pixels, design, part.code, rng)
    _soil(pixels, design, rng)
    mask = np.zeros(pixels.shape[:2], np.uint8)
    defect_rng = random_stream(seed, part.index, Stream.DEFECT)
    not_plate = design.not_plate.copy() if part.defects else design.not_plate
    for defect in part.defects:
        draw_defect(defect, design, defect_rng, pixels, not_plate, mask)
    cv2.subtract(pixels, not_plate, dst=pixels)
    return PartPicture(pixels, mask)


def _brush(pixels: Pixels, design: Design, rng: np.random.Generator) -> None:
    height, width = pixels.shape[:2]
    top = rng.integers(design.brushing.shape[0] - height + 1)
    left = rng.integers(design.brushing.shape[1] - width + 1)
    cv2.add(pixels, design.brushing[top : top + height, left : left + width], dst=pixels)
    gleam = rng.integers(2 * width + 1)
    cv2.add(pixels, design.reflection[:, gleam : gleam + width], dst=pixels)


def _mount_boss(pixels: Pixels, design: Design, rng: np.random.Generator) -> None:
    boss = design.bosses[rng.integers(len(design.bosses))]
    windows = overlap(pixels.shape, boss.shape, *design.boss_corner)
    if windows:
        cv2.copyTo(boss[windows[1]], design.boss_cover[windows[1]], pixels[windows[0]])


def _print_code(pixels: Pixels, design: Design, code: str, rng: np.random.Generator) -> None:
    ink = rng.uniform(105, 150) / 255
    left, centre = design.place(CODE_LEFT + rng.uniform(-0.006, 0.006), CODE_CENTRE_Y + rng.uniform(-0.008, 0.008))
    height, advance = design.letters["0"].shape[0], CELL_COLUMNS * CODE_DOT * design.width
    for position, character in enumerate(code):
        letter = cv2.convertScaleAbs(design.letters[character], alpha=ink)
        nothing = np.zeros_like(letter)
        stamp = np.asarray(cv2.merge([letter, letter, letter, nothing]), np.uint8)
        darken(pixels, stamp, round(left + position * advance), round(centre - height / 2))


def _soil(pixels: Pixels, design: Design, rng: np.random.Generator) -> None:
    """Add dirt that a good part may have: smudges of oil, dust."""
    height, width = pixels.shape[:2]
    for _ in range(rng.integers(0, 3)):
        smudge = design.smudges[rng.integers(len(design.smudges))]
        darken(
            pixels,
            smudge,
            int(rng.integers(width)) - smudge.shape[1] // 2,
            int(rng.integers(height)) - smudge.shape[0] // 2,
        )
    for _ in range(rng.integers(0, 9)):
        side = max(1, round(design.width * rng.uniform(0.001, 0.0035)))
        speck = np.zeros((side, side, 4), np.uint8)
        speck[..., :3] = rng.integers(15, 50)
        darken(pixels, speck, int(rng.integers(width)), int(rng.integers(height)))
