"""Whether a frame out of a driver's queue is the newest there is, or waited there while newer ones came."""

AT_ONCE_NS = 2_000_000
"""A grab that took less had a frame waiting for it."""


class Freshness:
    """Whether a frame that was grabbed is the newest that the camera has exposed.

    A frame takes a while from its stamp to the reader even if nobody lets it wait: the exposure itself, where the
    driver stamps its beginning, and the way. Frames that were waited for show how long.
    """

    def __init__(self, rate: float | None) -> None:
        """`rate` is what the driver says of its frames a second, None if it says nothing."""
        self._period_ns = None if rate is None else 1e9 / rate
        self._least_ns = 0 if rate is None else 0.5e9 / rate  # stamps nearer to each other are a hiccup
        self._way_ns: int | None = None
        self._last_ns: int | None = None
        self._is_doubted = False

    def is_newest(self, stamp_ns: int | None, began_ns: int, now_ns: int) -> bool:
        """Of a frame stamped so, whose grab lasted from `began_ns` to `now_ns`.

        One that was there at once, and of which neither a stamp nor a rate says how long it waited, may be old. One
        that was waited for and looks old is so only if this process was not scheduled meanwhile: two in a row are new.
        """
        was_doubted, self._is_doubted = self._is_doubted, False
        had_to_wait = now_ns - began_ns >= AT_ONCE_NS
        self._learn_period(stamp_ns)
        if stamp_ns is None:
            return had_to_wait
        way_ns = 0 if self._way_ns is None else self._way_ns
        looks_new = self._period_ns is not None and now_ns - stamp_ns - way_ns < self._period_ns
        if not had_to_wait:
            return looks_new
        if self._way_ns is not None and not looks_new and not was_doubted:
            self._is_doubted = True
            return False
        self._way_ns = now_ns - stamp_ns
        return True

    def _learn_period(self, stamp_ns: int | None) -> None:
        last_ns, self._last_ns = self._last_ns, stamp_ns
        if stamp_ns is None or last_ns is None or stamp_ns <= last_ns:
            return
        step_ns = max(stamp_ns - last_ns, self._least_ns)
        self._period_ns = step_ns if self._period_ns is None else min(self._period_ns, step_ns)
