"""How the clock of a camera on the network stands to ours; what it is for says `edge.sources.stream`."""

SETTLED_MS = 500
"""Pictures of a new connection come steadily when for this long none took a shorter way than those before it."""

JITTER_MS = 20
"""A way that is shorter by less than this is not a shorter one."""

DRIFT = 1e-3
"""How fast the camera's clock and ours may part. Crystals are ten times better."""

JUMP_MS = 1000
"""A picture that was taken so long before the last one was not, nor one that came so much faster than any before it:
the camera has set its clock."""


class CameraClock:
    """How the camera's clock stands to ours, from the packets that came: the shortest way tells.

    `is_known` False: the stamps are not the camera's, and pictures count as taken when they arrive. `is_held_back`: a
    packet is given out when the next one begins, so that it is the next one's stamp that belongs to the arrival.
    """

    def __init__(self, is_known: bool, is_held_back: bool) -> None:
        self._is_known, self._is_held_back = is_known, is_held_back
        self._has_begun = False
        self._held_back_ns: int | None = None  # when the packet before was given out
        self._last: tuple[int, int] | None = None  # stamp and arrival
        self._shortest_ns: int | None = None  # arrival less stamp
        self._settling_ns = 0  # the same, when it last became shorter by more than jitter
        self._since_ns: int | None = None  # when that was, and None once it has lasted

    def hear(self, stamp_ns: int | None, arrived_ns: int) -> int:
        """A packet with this stamp came out at this moment. Packets are heard in the order of their arrival.

        Returns when it arrived: that of one that is held back is when the one before it came out.
        """
        if self._is_held_back:
            arrived_ns, self._held_back_ns = self._held_back_ns or arrived_ns, arrived_ns
        if not self._has_begun:
            self._has_begun, self._since_ns = True, arrived_ns
        if stamp_ns is not None and self._is_known:
            self._compare(stamp_ns, arrived_ns)
        if self._since_ns is not None and arrived_ns - self._since_ns > SETTLED_MS * 1_000_000:
            self._since_ns = None
        return arrived_ns

    def _compare(self, stamp_ns: int, arrived_ns: int) -> None:
        way_ns, jump_ns = arrived_ns - stamp_ns, JUMP_MS * 1_000_000
        if (
            self._shortest_ns is None
            or self._last is None
            or stamp_ns < self._last[0] - jump_ns
            or way_ns < self._shortest_ns - jump_ns
        ):  # the first, or the camera has set its clock: nobody knows yet whether this one came the shortest way
            self._shortest_ns = self._settling_ns = way_ns
            self._since_ns = arrived_ns
        else:
            drifted_ns = self._shortest_ns + int((arrived_ns - self._last[1]) * DRIFT)
            self._shortest_ns = min(way_ns, drifted_ns)
        if self._since_ns is not None and way_ns < self._settling_ns - JITTER_MS * 1_000_000:
            self._settling_ns, self._since_ns = way_ns, arrived_ns
        self._last = stamp_ns, arrived_ns

    def moment_ns(self, stamp_ns: int | None, arrived_ns: int) -> int:
        """When on our clock the camera gave a picture this stamp; its arrival where nothing better is known."""
        if stamp_ns is None or self._shortest_ns is None:
            return arrived_ns
        return min(arrived_ns, stamp_ns + self._shortest_ns)

    @property
    def is_settled(self) -> bool:
        """Whether pictures come as fast as they are taken, not faster. False again when the camera sets its clock."""
        return self._has_begun and self._since_ns is None
