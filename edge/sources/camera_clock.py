"""Offset between a network camera's clock and this machine's; `edge.sources.stream` explains its use."""

SETTLED_MS = 500
"""A new connection is steady when no packet had a lower delay than its predecessors for this long."""

JITTER_MS = 20
"""A delay that is lower by less than this does not count as lower."""

DRIFT = 1e-3
"""Assumed relative drift between the camera's clock and this machine's. Crystals are ten times better."""

JUMP_MS = 1000
"""If a time stamp goes back by this much, or a delay is lower than all before by this much, the camera has set its
clock."""


class CameraClock:
    """Maps the camera's time stamps to this machine's clock by the lowest delay of the packets received so far.

    `is_known` False: the stamps are not the camera's, and pictures count as taken at their arrival. `is_held_back`:
    FFmpeg returns a packet only when the next one begins, so that the arrival belongs to the next packet's stamp.
    """

    def __init__(self, is_known: bool, is_held_back: bool) -> None:
        self._is_known, self._is_held_back = is_known, is_held_back
        self._has_begun = False
        self._held_back_ns: int | None = None  # when the previous packet was returned
        self._last: tuple[int, int] | None = None  # stamp and arrival
        self._lowest_delay_ns: int | None = None  # lowest (arrival - stamp), with drift
        self._settling_delay_ns = 0  # the same, when it last fell by more than JITTER_MS
        self._fell_ns: int | None = None  # when it last fell so; None once the delay has settled

    def record(self, stamp_ns: int | None, arrived_ns: int) -> int:
        """Record a packet with this stamp, returned at `arrived_ns`. Packets are recorded in the order of arrival.

        Returns the arrival time: for a packet that was held back, the time at which the previous one was returned.
        """
        if self._is_held_back:
            arrived_ns, self._held_back_ns = self._held_back_ns or arrived_ns, arrived_ns
        if not self._has_begun:
            self._has_begun, self._fell_ns = True, arrived_ns
        if stamp_ns is not None and self._is_known:
            self._compare(stamp_ns, arrived_ns)
        if self._fell_ns is not None and arrived_ns - self._fell_ns > SETTLED_MS * 1_000_000:
            self._fell_ns = None
        return arrived_ns

    def _compare(self, stamp_ns: int, arrived_ns: int) -> None:
        delay_ns, jump_ns = arrived_ns - stamp_ns, JUMP_MS * 1_000_000
        if (
            self._lowest_delay_ns is None
            or self._last is None
            or stamp_ns < self._last[0] - jump_ns
            or delay_ns < self._lowest_delay_ns - jump_ns
        ):  # the first packet, or the camera has set its clock: whether this delay is the lowest is not known yet
            self._lowest_delay_ns = self._settling_delay_ns = delay_ns
            self._fell_ns = arrived_ns
        else:
            drifted_ns = self._lowest_delay_ns + int((arrived_ns - self._last[1]) * DRIFT)
            self._lowest_delay_ns = min(delay_ns, drifted_ns)
        if self._fell_ns is not None and delay_ns < self._settling_delay_ns - JITTER_MS * 1_000_000:
            self._settling_delay_ns, self._fell_ns = delay_ns, arrived_ns
        self._last = stamp_ns, arrived_ns

    def moment_ns(self, stamp_ns: int | None, arrived_ns: int) -> int:
        """This machine's time at which the camera stamped a picture; its arrival if the offset is unknown."""
        if stamp_ns is None or self._lowest_delay_ns is None:
            return arrived_ns
        return min(arrived_ns, stamp_ns + self._lowest_delay_ns)

    @property
    def is_settled(self) -> bool:
        """Whether pictures arrive at the pace at which they are taken. False again after the camera sets its clock."""
        return self._has_begun and self._fell_ns is None
