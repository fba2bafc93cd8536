"""The belt without parts, cell by cell: learned where no part is, and followed as the light drifts."""

import cv2
import numpy as np
import numpy.typing as npt

from edge.presence import Belt
from edge.presence.belt_segments import BESIDE
from edge.presence.grid import Cells

CONTRAST = 16.0
"""Grey levels by which a cell differs from the belt, at the least, to be of something that lies on it."""

NOISES = 5.0
"""The same as a multiple of what the row differs from the belt on the average: a rough belt is forgiven more."""

RATE = 1 / 12
"""Weight of the newest frame."""

ALIKE = 12.0
"""Mean difference in grey levels of two columns of one belt: texture, dirt and uneven light together."""

STARVED = 200
"""A column that was not seen as belt for so many frames is a guess; if all are, the belt is learned anew."""

FEW, MANY = 4, 16
"""Columns of belt that do not tell the light, and such that do."""

MOST_DARKER, MOST_BRIGHTER = 0.6, 1.6
"""What the light may become from one frame to the next."""

NOTHING_KNOWN = Belt()

Columns = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


class Background:
    """Begins with the columns of the first frame that are most alike; the others are guesses, of unknown light, until
    they were once seen without a part. One that remembers the belt begins with that, in the light of the first frame.
    """

    def __init__(self, remembered: Belt = NOTHING_KNOWN) -> None:
        """`remembered` is what `remember` of an earlier one gave."""
        self._remembered = remembered
        self._belt: Cells | None = None
        self._noise: Columns = np.zeros((0, 1), np.float32)
        self._far: Columns = np.zeros((0, 0), np.float32)
        self._is_belt: Mask = np.zeros(0, bool)
        self._unseen = np.zeros(0, int)  # frames since a column was seen as belt; more than STARVED: a guess

    @property
    def belt(self) -> Cells:
        """The belt in the light of the last frame, `float32 [rows, columns, 3]`."""
        assert self._belt is not None
        return self._belt

    def remember(self) -> Belt:
        """The belt in a few numbers, for one that takes over."""
        if self._belt is None:
            return self._remembered
        known = self._unseen <= STARVED
        colours = np.median(self._belt[:, known] if known.any() else self._belt, axis=1)
        light = np.where(known, np.median(self._belt / (colours[:, None] + 1), axis=(0, 2)), 1.0)
        return Belt(tuple(np.round(colours.ravel(), 1).tolist()), tuple(np.round(light, 3).tolist()))

    def foreign(self, cells: Cells, way: float = 0.0) -> Columns:
        """Which share of each column is not belt, `float32 [columns]` in 0..1, after all moved by `way` columns."""
        if self._belt is None or self._belt.shape != cells.shape or self._unseen.min() > STARVED:
            self._begin(cells)
        self._follow_light(cells, round(way))
        guesses = np.flatnonzero(self._unseen > STARVED)
        if len(guesses):
            self._light_guesses(cells, guesses)
        apart = cv2.absdiff(cells, self.belt)
        self._far = np.maximum(np.maximum(apart[..., 0], apart[..., 1]), apart[..., 2])
        return np.asarray((self._far > np.maximum(CONTRAST, NOISES * self._noise)).mean(axis=0), np.float32)

    def learn(self, cells: Cells, is_belt: Mask) -> None:
        """Learn the columns `bool [columns]` where no part is, of the cells that `foreign` has just seen."""
        self._is_belt = is_belt
        new = is_belt & (self._unseen > STARVED)
        self._unseen = np.where(is_belt, 0, self._unseen + 1)
        if not is_belt.any():
            return
        self._noise += RATE * ((self._far @ is_belt.astype(np.float32))[:, None] / is_belt.sum() - self._noise)
        weight = np.where(new, 1.0, is_belt * RATE).astype(np.float32)
        self.belt[...] += (cells - self.belt) * weight[:, None]

    def _follow_light(self, cells: Cells, way: int) -> None:
        """Brighten or darken the belt as those columns are that were belt in the last frame, if they still are."""
        columns = np.flatnonzero(self._is_belt) + way
        columns = columns[(columns >= 0) & (columns < cells.shape[1])][:: 1 + len(columns) // MANY]
        if len(columns) < FEW:
            return
        seen, known = cells[:, columns], self.belt[:, columns]
        gain = float(np.median(seen.sum(axis=(0, 2)) / (known.sum(axis=(0, 2)) + 1)))
        if MOST_DARKER < gain < MOST_BRIGHTER:
            fits = float(np.quantile(np.abs(seen - gain * known).mean(axis=(0, 2)), 0.75)) < ALIKE / 2
            self.belt[...] *= np.float32(gain if fits else 1.0)

    def _light_guesses(self, cells: Cells, columns: npt.NDArray[np.intp]) -> None:
        """A column never seen, or not for long, is taken to be like the others, in whatever light suits it best."""
        known = self._unseen <= STARVED
        if not known.any():
            return
        typical = np.median(self.belt[:, known], axis=1)[:, None]
        gain = np.median(cells[:, columns] / (typical + 1), axis=(0, 2))
        self.belt[:, columns] = typical * np.clip(gain, MOST_DARKER, MOST_BRIGHTER)[None, :, None]

    def _begin(self, cells: Cells) -> None:
        rows, count = cells.shape[:2]
        if (len(self._remembered.colours), len(self._remembered.light)) == (3 * rows, count):
            self._begin_as_remembered(cells)
        else:
            self._begin_anew(cells)
        self._noise = np.full((rows, 1), CONTRAST / NOISES, np.float32)
        self._is_belt = np.zeros(count, bool)
        self._remembered = NOTHING_KNOWN  # a camera that is moved later shows another one

    def _begin_anew(self, cells: Cells) -> None:
        """All is like the columns that are most alike."""
        columns = cells.transpose(1, 0, 2).reshape(cells.shape[1], -1)
        apart = np.abs(columns[:, None] - columns[None]).mean(axis=2)
        typical = int(np.argmax((apart < ALIKE).sum(axis=1)))
        is_belt = _clear(apart[typical] < ALIKE)
        middle = np.median(columns[is_belt], axis=0) if is_belt.any() else columns[typical]
        self._belt = np.repeat(middle.reshape(cells.shape[0], 1, 3), len(columns), axis=1).astype(np.float32)
        self._belt[:, is_belt] = cells[:, is_belt]
        self._unseen = np.where(is_belt, 0, STARVED + 1 if is_belt.any() else 0)

    def _begin_as_remembered(self, cells: Cells) -> None:
        """All is as remembered, in the light of the columns that are like it."""
        colours = np.array(self._remembered.colours, np.float32).reshape(-1, 1, 3)
        belt = colours * np.array(self._remembered.light, np.float32)[:, None]
        gain = np.clip(np.median(cells / (belt + 1), axis=(0, 2)), MOST_DARKER, MOST_BRIGHTER)
        is_belt = _clear(np.abs(cells - gain[:, None] * belt).mean(axis=(0, 2)) < ALIKE)
        self._belt = (belt * (np.median(gain[is_belt]) if is_belt.any() else 1.0)).astype(np.float32)
        self._unseen = np.zeros(cells.shape[1], int)


def _clear(alike: Mask) -> Mask:
    """Of columns that look like belt those that have only such beside them."""
    return np.asarray(cv2.erode(alike.astype(np.uint8)[None], np.ones((1, 2 * BESIDE + 1), np.uint8))[0] > 0)
