"""Compares the pictures of one station with the bundle's training photographs, in the inference process.

Before a result is sent, a few rows of its picture are copied, because the frame's memory may be reused afterwards. The
rows are compared after the result was sent. The distance is sent with the next result, so that no additional message
wakes the supervisor.
"""

import threading
from typing import TYPE_CHECKING

from edge.bundle.input_statistics import Measured, Unmeasured

if TYPE_CHECKING:
    from edge.bundle.input_distance import InputDistance
    from edge.frame import Frame
    from edge.pictures.features import Rows

MOST_SKIPPED = 3
"""Largest number of consecutive pictures that are not compared because a part of another station waits."""


class InputProbe:
    """Computes the distances of one station's pictures. A failure loses distances, never a score. With several streams
    two threads use the object at once.
    """

    def __init__(self, comparison: "InputDistance | None") -> None:
        """With None, for a bundle without statistics, nothing is compared."""
        self._comparison = comparison
        self._rows: Rows | None = None
        self._measured: Measured | Unmeasured | None = None
        self._skipped = 0
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

        Nothing is copied while another thread still compares the earlier picture.
        """
        if self._comparison is None or not self._comparing.acquire(blocking=False):
            return
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
                self._measured = self._comparison.measure(rows)
                self.compared += 1
            except Exception as error:
                self._give_up(error)

    def take(self) -> Measured | Unmeasured | None:
        """The distance of the picture compared last, once; None if none was compared since. Unmeasured, once, after a
        failure, which ends the comparison.
        """
        measured, self._measured = self._measured, None
        return measured

    def _give_up(self, error: Exception) -> None:
        self._comparison = None
        self._measured = Unmeasured((str(error).strip() or type(error).__name__).splitlines()[0])
