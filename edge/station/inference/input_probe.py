"""Compares the pictures of one station with the bundle's training photographs, in the inference process.

Before a result is sent, a few rows of its picture are copied, because the frame's memory may be reused afterwards. The
rows are compared after the result was sent. The distance is sent with the next result, so that no additional message
wakes the supervisor.
"""

import threading
import time
from typing import TYPE_CHECKING

from edge.bundle.input_statistics import Measured, Unmeasured
from edge.station.drift.block import Summed

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from edge.bundle.input_distance import InputFeatures
    from edge.frame import Frame
    from edge.pictures.features import Rows

SUMMED = 20
"""Number of pictures whose features are summed before the sums are sent, with the next result."""

FIRST = 400
"""Pictures of which each is compared, however fast they come: twice as many as the alarm needs."""

MOST_A_SECOND = 25
"""Pictures that are compared in a second, later. A line changes more slowly."""

MOST_SKIPPED = 3
"""Largest number of consecutive pictures that are not compared because a part of another station waits."""


class InputProbe:
    """Computes the distances of one station's pictures. A failure loses distances, never a score. With several streams
    two threads use the object at once.
    """

    def __init__(self, comparison: "InputFeatures | None") -> None:
        """With None nothing is measured; with one that is no `InputDistance`, features are and distances are not."""
        self._comparison = comparison
        self._rows: Rows | None = None
        self._measured: Measured | Unmeasured | None = None
        self._features: list[npt.NDArray[np.float64]] = []
        self._summed: Summed | None = None
        self._skipped = 0
        self._due = 0.0  # when the next picture is compared
        self._comparing = threading.Lock()
        self.compared = 0
        """Number of pictures compared."""
        if comparison is not None:
            try:
                comparison.warm_up()
            except Exception as error:
                self._give_up(error)

    def copy_rows(self, picture: "Frame") -> None:
        """Copy the rows of a picture `uint8 [h, w, 3]` BGR that are compared; they replace those of an earlier picture.

        Nothing is copied while another thread still compares the earlier picture, or while they come too fast.
        """
        if self._comparison is None or (self.compared >= FIRST and time.monotonic() < self._due):
            return
        if not self._comparing.acquire(blocking=False):
            return
        self._due = time.monotonic() + 1 / MOST_A_SECOND
        try:
            self._rows = self._comparison.copy_rows(picture)
        except Exception as error:
            self._give_up(error)
        finally:
            self._comparing.release()

    def compare(self, is_awaited: bool) -> None:
        """Compare the copied picture. While a part of another station waits (`is_awaited`), only every fourth picture
        is compared.
        """
        with self._comparing:
            rows, self._rows = self._rows, None
            if self._comparison is None or rows is None:
                return
            if is_awaited and self._skipped < MOST_SKIPPED:
                self._skipped += 1
                return
            self._skipped = 0
            try:
                features = self._comparison.features(rows)
                self._measured = self._comparison.of_features(features)
                self._sum(features)
                self.compared += 1
            except Exception as error:
                self._give_up(error)

    def take(self) -> Measured | Unmeasured | None:
        """The distance of the picture compared last, once; None if none was compared since. Unmeasured, once, after a
        failure, which ends the comparison.
        """
        measured, self._measured = self._measured, None
        return measured

    def take_sums(self) -> Summed | None:
        """The sums of the features of the last pictures, once; None while there are fewer than `SUMMED`."""
        summed, self._summed = self._summed, None
        return summed

    def _sum(self, features: "npt.NDArray[np.float64]") -> None:
        self._features.append(features)
        if len(self._features) < SUMMED or self._summed is not None:
            return
        import numpy as np

        pictures = np.array(self._features)
        self._features.clear()
        self._summed = Summed(len(pictures), tuple(pictures.sum(0).tolist()), tuple((pictures**2).sum(0).tolist()))

    def _give_up(self, error: Exception) -> None:
        self._comparison = None
        self._measured = Unmeasured((str(error).strip() or type(error).__name__).splitlines()[0])
