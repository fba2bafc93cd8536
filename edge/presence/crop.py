"""The model's view of a part: the part in the middle, as if it were alone on the belt."""

import numpy as np

from edge.frame import Frame
from edge.presence.grid import Cells, Grid

MARGIN = 4
"""Cells around a part that remain visible; over them the frame fades into the learned belt."""


def alone(frame: Frame, grid: Grid, centre: float, length: float, belt: Cells) -> Frame:
    """A frame `uint8 [H, W, 3]` with the part of `length` cells at `centre` (cells) moved to the middle.

    It is moved by whole pixels. The rest of the frame shows the smooth colours of `belt`, whatever lies there.
    """
    shown = grid.picture(belt)
    middle, place = grid.length // 2, round(centre * grid.cell)
    half = round((length / 2 + MARGIN) * grid.cell)
    before, after = min(half, place, middle), min(half, grid.length - place, grid.length - middle)
    along = slice(middle - before, middle + after), slice(place - before, place + after)
    into, out_of = (shown[:, along[0]], frame[:, along[1]]) if grid.axis == "x" else (shown[along[0]], frame[along[1]])
    fade = max(1, round(MARGIN * grid.cell))
    steps = np.arange(before + after)
    depth = np.minimum(steps + half - before, before + half - 1 - steps)  # pixels to the end of the visible window
    weight = np.clip((depth + 0.5) / fade, 0, 1).astype(np.float32)
    for side in (slice(0, fade), slice(max(fade, before + after - fade), before + after)):
        part = (slice(None), side) if grid.axis == "x" else (side,)
        share = weight[side, None] if grid.axis == "x" else weight[side, None, None]
        old, new = into[part].astype(np.float32), out_of[part].astype(np.float32)
        into[part] = np.rint(old + (new - old) * share)
    core = slice(fade, max(fade, before + after - fade))
    part = (slice(None), core) if grid.axis == "x" else (core,)
    into[part] = out_of[part]
    return shown
