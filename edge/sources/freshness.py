"""Decides whether a frame from a driver's queue is the newest, or waited there while newer frames arrived."""

AT_ONCE_NS = 2_000_000
"""A grab that took less than this found a frame waiting in the queue."""


class Freshness:
    """Decides whether a grabbed frame is the newest that the camera has exposed.

    Even without waiting, a frame takes some time from its stamp to the reader: the exposure, if the driver stamps its
    beginning, and the transfer. Frames for which the grab had to wait show this latency.
    """

    def __init__(self, rate: float | None) -> None:
        """`rate` is the frame rate that the driver reports, frames per second; None if it reports none."""
        self._period_ns = None if rate is None else 1e9 / rate
        self._least_ns = 0 if rate is None else 0.5e9 / rate  # closer stamps are jitter
        self._latency_ns: int | None = None
        self._last_ns: int | None = None
        self._is_doubted = False

    def is_newest(self, stamp_ns: int | None, began_ns: int, now_ns: int) -> bool:
        """Whether the frame with this stamp is the newest. The grab lasted from `began_ns` to `now_ns`.

        A frame that was available at once may be old if neither a stamp nor a rate shows how long it waited. A frame
        for which the grab waited, and that looks old, was delayed only if this process was not scheduled meanwhile; if
        two in a row look old, both are new.
        """
        was_doubted, self._is_doubted = self._is_doubted, False
        had_to_wait = now_ns - began_ns >= AT_ONCE_NS
        self._learn_period(stamp_ns)
        if stamp_ns is None:
            return had_to_wait
        latency_ns = 0 if self._latency_ns is None else self._latency_ns
        looks_new = self._period_ns is not None and now_ns - stamp_ns - latency_ns < self._period_ns
        if not had_to_wait:
            return looks_new
        if self._latency_ns is not None and not looks_new and not was_doubted:
            self._is_doubted = True
            return False
        self._latency_ns = now_ns - stamp_ns
        return True

    def _learn_period(self, stamp_ns: int | None) -> None:
        last_ns, self._last_ns = self._last_ns, stamp_ns
        if stamp_ns is None or last_ns is None or stamp_ns <= last_ns:
            return
        step_ns = max(stamp_ns - last_ns, self._least_ns)
        self._period_ns = step_ns if self._period_ns is None else min(self._period_ns, step_ns)
