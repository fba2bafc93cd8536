"""Where parts are between the camera and the gate: by time where the belt's speed is constant, by an encoder else."""

from bisect import bisect_right
from collections import deque
from typing import Protocol

ENCODER_SILENCE_NS = 200_000_000
"""An encoder is read at fixed times, also while the belt stands. After a longer silence the belt's place is unknown."""


class Belt(Protocol):
    """A place on the belt is a whole number that grows as it moves: nanoseconds or pulses.

    A part exposed at place p is at the gate at p + `travel`; the gate decides at p + `travel` - `lead`.
    """

    travel: int
    lead: int

    def place(self, at_ns: int) -> int | None:
        """Where the belt was at a local moment, at the latest now; None if that is not known."""

    def wait_ns(self, place: int, now_ns: int) -> int:
        """The longest sleep, in nanoseconds, after which the belt has not passed `place` yet."""

    def due_ns(self, place: int, now_ns: int) -> int | None:
        """The local moment at which the belt is at a place, or was; None if that is not known."""

    @property
    def decides_after_ms(self) -> float | None:
        """Milliseconds from the exposure of a part to the decision; None if the speed of the belt may change."""


class SteadyBelt:
    """A belt of constant speed: its place is the time."""

    def __init__(self, travel_ms: float, lead_ms: float) -> None:
        """Milliseconds from the camera to the gate, and from the decision to the arrival at the gate."""
        self.travel, self.lead = int(travel_ms * 1e6), int(lead_ms * 1e6)

    def place(self, at_ns: int) -> int:
        """The time itself."""
        return at_ns

    def wait_ns(self, place: int, now_ns: int) -> int:
        """The time from now until `place`."""
        return max(0, place - now_ns)

    def due_ns(self, place: int, now_ns: int) -> int:
        """The place itself."""
        return place

    @property
    def decides_after_ms(self) -> float:
        """Travel less lead."""
        return (self.travel - self.lead) / 1e6


class EncoderBelt:
    """A belt with an encoder. While it stands no part arrives."""

    def __init__(self, travel_pulses: int, lead_pulses: int) -> None:
        """Pulses from the camera to the gate, and from the decision to the arrival at the gate."""
        self.travel, self.lead = travel_pulses, lead_pulses
        self._samples: deque[tuple[int, int]] = deque(maxlen=10_000)

    def sample(self, at_ns: int, pulses: int) -> None:
        """Add the encoder's count at a local moment, in the order of time. The last 10,000 are kept."""
        self._samples.append((at_ns, pulses))

    def place(self, at_ns: int) -> int | None:
        """The count at that moment, interpolated; None before the first sample and in a silence of the encoder."""
        after = bisect_right(self._samples, at_ns, key=lambda sample: sample[0])
        if after == 0:
            return None
        then, pulses = self._samples[after - 1]
        if after == len(self._samples):
            return pulses if at_ns - then <= ENCODER_SILENCE_NS else None
        later, pulses_later = self._samples[after]
        if later - then > ENCODER_SILENCE_NS:
            return None
        return pulses + (pulses_later - pulses) * (at_ns - then) // (later - then)

    def wait_ns(self, place: int, now_ns: int) -> int:
        """2 ms, since the belt may go faster at any time."""
        return 2_000_000

    def due_ns(self, place: int, now_ns: int) -> int | None:
        """Now if the belt is there, or past it by what a turn of the gate takes; None before: the belt may stop."""
        here = self.place(now_ns)
        return now_ns if here is not None and here >= place else None

    @property
    def decides_after_ms(self) -> None:
        """None, since the belt may stop."""
