"""Model of the belt without parts, per cell: learned where no part is, and adapted as the light drifts."""

import cv2
import numpy as np
import numpy.typing as npt

from edge.presence import Belt
from edge.presence.belt_segments import MARGIN
from edge.presence.grid import Cells

CONTRAST = 16.0
"""Smallest difference from the belt, in grey levels, of a cell that shows something on the belt."""

NOISE_FACTOR = 5.0
"""The same threshold as a multiple of the row's mean difference from the belt: a rough belt has a higher threshold."""

RATE = 1 / 12
"""Weight of the newest frame."""

SIMILAR = 12.0
"""Largest mean difference, in grey levels, of two columns of the same belt: texture, dirt and uneven light."""

STALE_FRAMES = 200
"""After this many frames without a view of the belt a column is a guess; if all columns are, learning restarts."""

FEWEST_COLUMNS, MOST_COLUMNS = 4, 16
"""Fewest columns of belt from which the light is estimated, and most that are used."""

LEAST_GAIN, MOST_GAIN = 0.6, 1.6
"""Range of the gain of the light from one frame to the next."""

NOTHING_KNOWN = Belt()

Columns = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


class Background:
    """Starts from the most similar columns of the first frame. The other columns are guesses of unknown brightness
    until they were seen once without a part. With a `remembered` belt it starts from that, in the first frame's light.
    """

    def __init__(self, remembered: Belt = NOTHING_KNOWN) -> None:
        """`remembered` is the result of an earlier `remember`."""
        self._remembered = remembered
        self._belt: Cells | None = None
        self._noise: Columns = np.zeros((0, 1), np.float32)
        self._difference: Columns = np.zeros((0, 0), np.float32)
        self._is_belt: Mask = np.zeros(0, bool)
        self._unseen = np.zeros(0, int)  # frames since the column last showed belt; above STALE_FRAMES it is a guess

    @property
    def belt(self) -> Cells:
        """The belt in the light of the last frame, `float32 [rows, columns, 3]`."""
        assert self._belt is not None
        return self._belt

    def remember(self) -> Belt:
        """The belt in a few numbers, for a successor."""
        if self._belt is None:
            return self._remembered
        known = self._unseen <= STALE_FRAMES
        colours = np.median(self._belt[:, known] if known.any() else self._belt, axis=1)
        light = np.where(known, np.median(self._belt / (colours[:, None] + 1), axis=(0, 2)), 1.0)
        return Belt(tuple(np.round(colours.ravel(), 1).tolist()), tuple(np.round(light, 3).tolist()))

    def foreign(self, cells: Cells, displacement: float = 0.0) -> Columns:
        """Fraction of each column that is not belt, `float32 [columns]` in 0..1; it moved by `displacement` columns."""
        if self._belt is None or self._belt.shape != cells.shape or self._unseen.min() > STALE_FRAMES:
            self._begin(cells)
        self._follow_light(cells, round(displacement))
        guesses = np.flatnonzero(self._unseen > STALE_FRAMES)
        if len(guesses):
            self._light_guesses(cells, guesses)
        difference = cv2.absdiff(cells, self.belt)
        self._difference = np.maximum(np.maximum(difference[..., 0], difference[..., 1]), difference[..., 2])
        return np.asarray(
            (self._difference > np.maximum(CONTRAST, NOISE_FACTOR * self._noise)).mean(axis=0), np.float32
        )

    def learn(self, cells: Cells, is_belt: Mask) -> None:
        """Update the columns without a part, `is_belt` `bool [columns]`, from the cells last passed to `foreign`."""
        self._is_belt = is_belt
        new = is_belt & (self._unseen > STALE_FRAMES)
        self._unseen = np.where(is_belt, 0, self._unseen + 1)
        if not is_belt.any():
            return
        self._noise += RATE * ((self._difference @ is_belt.astype(np.float32))[:, None] / is_belt.sum() - self._noise)
        weight = np.where(new, 1.0, is_belt * RATE).astype(np.float32)
        self.belt[...] += (cells - self.belt) * weight[:, None]

    def _follow_light(self, cells: Cells, displacement: int) -> None:
        """Scale the belt's brightness by the change of the columns that showed belt in the last frame and still do."""
        columns = np.flatnonzero(self._is_belt) + displacement
        columns = columns[(columns >= 0) & (columns < cells.shape[1])][:: 1 + len(columns) // MOST_COLUMNS]
        if len(columns) < FEWEST_COLUMNS:
            return
        seen, known = cells[:, columns], self.belt[:, columns]
        gain = float(np.median(seen.sum(axis=(0, 2)) / (known.sum(axis=(0, 2)) + 1)))
        if LEAST_GAIN < gain < MOST_GAIN:
            fits = float(np.quantile(np.abs(seen - gain * known).mean(axis=(0, 2)), 0.75)) < SIMILAR / 2
            self.belt[...] *= np.float32(gain if fits else 1.0)

    def _light_guesses(self, cells: Cells, columns: npt.NDArray[np.intp]) -> None:
        """Give unseen columns the typical belt colours, scaled to the brightness that fits them best."""
        known = self._unseen <= STALE_FRAMES
        if not known.any():
            return
        typical = np.median(self.belt[:, known], axis=1)[:, None]
        gain = np.median(cells[:, columns] / (typical + 1), axis=(0, 2))
        self.belt[:, columns] = typical * np.clip(gain, LEAST_GAIN, MOST_GAIN)[None, :, None]

    def _begin(self, cells: Cells) -> None:
        rows, count = cells.shape[:2]
        if (len(self._remembered.colours), len(self._remembered.light)) == (3 * rows, count):
            self._begin_as_remembered(cells)
        else:
            self._begin_anew(cells)
        self._noise = np.full((rows, 1), CONTRAST / NOISE_FACTOR, np.float32)
        self._is_belt = np.zeros(count, bool)
        self._remembered = NOTHING_KNOWN  # a camera that is moved later sees another belt

    def _begin_anew(self, cells: Cells) -> None:
        """Start from the group of most similar columns, extended over the whole width."""
        columns = cells.transpose(1, 0, 2).reshape(cells.shape[1], -1)
        difference = np.abs(columns[:, None] - columns[None]).mean(axis=2)
        typical = int(np.argmax((difference < SIMILAR).sum(axis=1)))
        is_belt = _interior(difference[typical] < SIMILAR)
        middle = np.median(columns[is_belt], axis=0) if is_belt.any() else columns[typical]
        self._belt = np.repeat(middle.reshape(cells.shape[0], 1, 3), len(columns), axis=1).astype(np.float32)
        self._belt[:, is_belt] = cells[:, is_belt]
        self._unseen = np.where(is_belt, 0, STALE_FRAMES + 1 if is_belt.any() else 0)

    def _begin_as_remembered(self, cells: Cells) -> None:
        """Start from the remembered belt, scaled to the light of the columns that match it."""
        colours = np.array(self._remembered.colours, np.float32).reshape(-1, 1, 3)
        belt = colours * np.array(self._remembered.light, np.float32)[:, None]
        gain = np.clip(np.median(cells / (belt + 1), axis=(0, 2)), LEAST_GAIN, MOST_GAIN)
        is_belt = _interior(np.abs(cells - gain[:, None] * belt).mean(axis=(0, 2)) < SIMILAR)
        self._belt = (belt * (np.median(gain[is_belt]) if is_belt.any() else 1.0)).astype(np.float32)
        self._unseen = np.zeros(cells.shape[1], int)


def _interior(alike: Mask) -> Mask:
    """The columns whose neighbours, within MARGIN, all look like belt too."""
    return np.asarray(cv2.erode(alike.astype(np.uint8)[None], np.ones((1, 2 * MARGIN + 1), np.uint8))[0] > 0)
