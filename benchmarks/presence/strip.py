"""docs/reports/presence.jpg: frames with the marks of the finder; below, the model's input for each part."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.presence.judge import capture_of
from edge.demo.moving import MovingBelt
from edge.demo.stamp import Pixels
from edge.presence import Presence
from edge.presence.finder import Finder

SIZE, RATE, SPEED, PITCH, SEED = (360, 640), 30.0, 1.5, 0.65, 1
FIRST, FRAMES = 40, 15
COLUMNS = 3

GREEN, AMBER, GREY, BLACK = (90, 200, 60), (0, 170, 255), (190, 190, 190), (0, 0, 0)


def write_strip(path: Path) -> None:
    """Draw the picture and write it to `path` as JPEG."""
    belt = MovingBelt(SEED, SIZE, RATE, SPEED, PITCH)
    finder = Finder(Presence())
    tiles = []
    for number in range(FIRST + FRAMES):
        capture = capture_of(belt.view(number), number, RATE)
        passed = finder.see(capture)
        if number < FIRST:
            continue
        assert capture.frame is not None
        tiles.append(_tile(capture.frame, finder, number))
        tiles += [_shown(one.captures[0].frame, f"part {one.number}: as the model sees it") for one in passed]
    tiles = tiles[: len(tiles) // COLUMNS * COLUMNS]
    rows = [np.hstack(tiles[first : first + COLUMNS]) for first in range(0, len(tiles), COLUMNS)]
    picture = cv2.resize(np.vstack(rows), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 88])
    path.write_bytes(encoded.tobytes())


def _tile(frame: Pixels, finder: Finder, number: int) -> npt.NDArray[np.uint8]:
    """A frame with brackets around each followed part, green after its choice; dashes where a border cuts the part."""
    tile, cell, height = frame.copy(), SIZE[1] / finder.columns, SIZE[0]
    cv2.line(tile, (SIZE[1] // 2, 0), (SIZE[1] // 2, height), GREY, 1)
    for track in finder.tracks:
        if track.missed:
            continue
        colour = GREEN if track.is_answered else AMBER
        low, high = track.piece.low, track.piece.high
        left, right = round((low or 0) * cell), round((finder.columns if high is None else high) * cell)
        for y in (26, height - 26):
            cv2.line(tile, (left, y), (right, y), colour, 3)
        for x, end in ((left, low), (right, high)):
            if end is not None:
                cv2.line(tile, (x, 14), (x, height - 14), colour, 3)
    return _labelled(tile, f"frame {number}")


def _shown(frame: Pixels | None, text: str) -> npt.NDArray[np.uint8]:
    assert frame is not None
    tile = frame.copy()
    cv2.rectangle(tile, (0, 0), (SIZE[1] - 1, SIZE[0] - 1), GREEN, 10)
    return _labelled(tile, text)


def _labelled(tile: npt.NDArray[np.uint8], text: str) -> npt.NDArray[np.uint8]:
    place = (16, SIZE[0] - 40)
    cv2.putText(tile, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.9, BLACK, 5, cv2.LINE_AA)
    cv2.putText(tile, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.9, (255, 255, 255), 2, cv2.LINE_AA)
    return np.asarray(cv2.copyMakeBorder(tile, 4, 4, 4, 4, cv2.BORDER_CONSTANT, value=(255, 255, 255)), np.uint8)
