"""The supervisor's hold on the inference child and its loaded model, which one station has or several share."""

import time
from collections.abc import Hashable
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from edge.errors import BundleError
from edge.machine import cores
from edge.station.config.resolved import StationConfig
from edge.station.inference.child import run_inference
from edge.station.process.child import Child
from edge.station.process.messages import Failed, Infer, Inferred, Loaded, SelfTest, Stop

if TYPE_CHECKING:
    from edge.station.inference.seat import Scoring

STUCK_MS = 500
"""An inference this long past its part's deadline is killed. A self-test that takes this long, and five times as long
as the last one, is overdue: the station is not ready meanwhile."""

SELF_TEST_MS = 1000
LONGEST_PAUSE_MS = 15_000
"""A model that has judged nothing for so long is asked to prove that it still can: 1 s, or twenty times as long as the
proof took last if that is more, but no longer than the second of these."""

SELF_TEST_PATIENCE_MS = 2000
"""A self-test that takes this long, and is overdue, hangs."""

MOST_FAULTS = 10
"""Frames of a station on which the runtime failed in a row: the process is replaced then. Where others share it, a
station has that done after twice as many each further time."""

LOADING_S = 120.0
"""A child that loads longer than this hangs. The demonstration bundle takes 2.4 s without a cache,
both runtimes measured."""

FIRST_DEATHS = 3
"""An inference process that died this often before it was ready will not be ready the next time either."""

AHEAD = 1
"""Frames that may wait in the child's pipe where several stations share it: it goes on with the next one at once. The
stored pictures of a single station go ahead so, too."""

MANY_PROOFS = 20
"""Where stations share a model, one with a long budget may hold it no longer than the shortest budget of them, or as
long as so many self-tests took."""

_TEST = (0, 0)


@dataclass
class _Flight:
    """A frame, or a self-test, that the child has. `stuck_at_ns` is known once nothing is before it."""

    seat: "Scoring | None"
    deadline_ns: int
    stuck_at_ns: int | None = None


class Model:
    """Every frame that a station submits is answered by exactly one Inferred in its seat, with a `fault` if the child
    died on it or hung; one that the child had not begun with is given back instead.
    """

    def __init__(self, config: StationConfig, digest: str) -> None:
        """Nothing runs before `revive`. `digest` is that of the bundle whose threshold the stations use."""
        self.child = Child("edge-inference", run_inference, lambda: (*self._arguments, self.streams))
        how = config.threads or cores(), config.spinning, config.keep_warm
        self._arguments = (config.bundle, digest, config.backend, *how)
        self._most_streams = config.streams
        self._seats: dict[int, Scoring] = {}
        self._next_seat = 0
        self._flights: dict[tuple[int, int], _Flight] = {}  # by seat and seq, in the order they were submitted
        self._was_loaded = False
        self._refusal: str | None = None  # why it can never be loaded
        self._said: str | None = None  # its last words
        self._first_deaths = 0
        self._progress_ns = 0
        self._self_test_ns = 0  # how long it took last

    @staticmethod
    def key(config: StationConfig, digest: str) -> Hashable:
        """What stations must have in common to share a model."""
        how = config.threads or cores(), config.spinning, config.keep_warm, config.streams
        return digest, config.bundle, config.backend, how, config.trust

    # -------------------------------------------------------------------------------------------------- its seats

    def seat(self, seat: "Scoring") -> int:
        """Take a seat; its number."""
        self._next_seat += 1
        self._seats[self._next_seat - 1] = seat
        return self._next_seat - 1

    def leave(self, number: int) -> None:
        """Give a seat up; what the child still has of it is answered to nobody. The last to leave ends the child."""
        self._seats.pop(number, None)
        if not self._seats:
            self.child.send(Stop())

    def close(self, patience_s: float) -> None:
        """End the child."""
        self.child.stop(patience_s)

    @property
    def is_shared(self) -> bool:
        """Whether more than one station uses it."""
        return len(self._seats) > 1

    @property
    def streams(self) -> int:
        """How many frames the child scores at once: one of a station at the most."""
        return max(1, min(self._most_streams, len(self._seats)))

    @property
    def has_room(self) -> bool:
        """Whether the child takes a further frame now."""
        return _TEST not in self._flights and len(self._flights) < (self.streams + AHEAD if self.is_shared else 1)

    @property
    def takes_ahead(self) -> bool:
        """Whether the child takes a second frame of the one station that uses it, to go on with it at once."""
        return not self.is_shared and len(self._flights) == 1 and _TEST not in self._flights

    @property
    def age_ms(self) -> float:
        """Since it last proved that it works, once it was loaded."""
        return (time.monotonic_ns() - self._progress_ns) / 1e6

    def overdue_ms(self) -> float:
        """How long the child has been past the deadline of all that it has; 0 if it is not, or takes more."""
        if self.has_room:
            return 0.0
        latest_ns = max(flight.deadline_ns for flight in self._flights.values())
        return max(0.0, (time.monotonic_ns() - latest_ns) / 1e6)

    @property
    def is_tested(self) -> bool:
        """True while a self-test is under way."""
        return _TEST in self._flights

    def submit(self, number: int, order: Infer, deadline_ns: int) -> None:
        """Hand over a frame; allowed only with room, or ahead."""
        assert self.has_room or self.takes_ahead
        self._flights[number, order.seq] = _Flight(self._seats[number], deadline_ns)
        self._watch()
        self.child.send(order)

    def postpone(self, number: int, seq: int, deadline_ns: int) -> None:
        """The frame is the oldest one now and its clock has begun: so does the child's."""
        if (flight := self._flights.get((number, seq))) is not None:
            flight.deadline_ns, flight.stuck_at_ns = deadline_ns, None
            self._watch()

    def _watch(self) -> None:
        """The child works on the oldest frames now; from here on its patience counts."""
        for flight in islice(self._flights.values(), self.streams):
            if flight.stuck_at_ns is not None:
                continue
            now, due_ns = time.monotonic_ns(), flight.deadline_ns
            if self.is_shared:
                budget_ns = int(min(seat.budget_ms for seat in self._seats.values()) * 1e6)
                due_ns = min(due_ns, now + max(budget_ns, MANY_PROOFS * self._self_test_ns))
            flight.stuck_at_ns = max(due_ns, now) + STUCK_MS * 1_000_000

    # ------------------------------------------------------------------------------------------------ in each turn

    def hear(self) -> None:
        """Put what the child has said into its seats. Raises BundleError if the bundle cannot be loaded at first."""
        try:
            while (message := self.child.receive()) is not None:
                match message:
                    case Inferred():
                        self._take(message)
                    case Loaded():
                        self._was_loaded = True
                        self._progress_ns, self._self_test_ns = time.monotonic_ns(), message.proof_ns
                        if (seat := self._seats.get(message.seat)) is not None:
                            seat.load(message)
                    case Failed():
                        self._fail(message)
        except EOFError:
            self._lose(self._said or "the inference process died")
        if self._refusal is not None:
            raise BundleError(self._refusal)

    def _fail(self, failed: Failed) -> None:
        """The child cannot load the bundle, or cannot compile it for one seat; what it could once, it will again."""
        seat = None if failed.seat is None else self._seats.get(failed.seat)
        if failed.seat is None and not self._was_loaded:
            self._refusal = failed.message
        elif seat is not None and seat.loaded is None:
            seat.refuse(failed.message)
        elif failed.seat is None:
            self._said = failed.message
        elif seat is not None:
            self._lose(failed.message)

    def _take(self, result: Inferred) -> None:
        """A result came. One fault is the fault of its frame; many in a row, or one of a self-test, are the child's.

        A self-test that goes well between them proves nothing of frames.
        """
        self._flights.pop((result.seat, result.seq), None)
        self._progress_ns = time.monotonic_ns()
        self._watch()
        if not result.seq:
            self._self_test_ns = result.end_ns - result.start_ns
            if result.fault is not None:
                self._lose(f"the self-test failed: {result.fault}")
            return
        seat = self._seats.get(result.seat)
        if seat is not None and seat.take(result):
            for flight in self._flights.values():
                flight.stuck_at_ns = None  # the next model shall judge it: this one is not lost by it
            self._lose(f"it failed {seat.faults} times in a row: {result.fault}")

    def test(self) -> None:
        """Ask for a self-test if the model has had nothing to do for long enough."""
        took_ms = self._self_test_ns / 1e6
        pause_ms = min(max(SELF_TEST_MS, 20 * took_ms), LONGEST_PAUSE_MS)
        if self._flights or self.age_ms <= pause_ms or not any(seat.is_up for seat in self._seats.values()):
            return
        now = time.monotonic_ns()
        deadline_ns = now + int(max(STUCK_MS, 5 * took_ms) * 1e6)
        stuck_at_ns = max(deadline_ns, now + SELF_TEST_PATIENCE_MS * 1_000_000)
        self._flights[_TEST] = _Flight(None, deadline_ns, stuck_at_ns)
        self.child.send(SelfTest())

    def revive(self) -> None:
        """Kill the child if it hangs; start one where there is none and its time has come. Raises BundleError."""
        now = time.monotonic_ns()
        if any(flight.stuck_at_ns is not None and now > flight.stuck_at_ns for flight in self._flights.values()):
            self._lose("the inference process hung and was killed")
        if any(seat.loading_s > LOADING_S for seat in self._seats.values()):
            self._lose(f"the inference process did not load the bundle within {LOADING_S:.0f} s")
        if self._seats and not self.child.is_running and self.child.due_in_s == 0:
            self.child.start()
            for seat in self._seats.values():
                seat.send_configure()

    def _lose(self, cause: str) -> None:
        self.child.bury()
        self._said = None
        flights, self._flights = self._flights, {}
        for seat in self._seats.values():
            seat.lose(cause)
        now = time.monotonic_ns()
        for (number, seq), flight in flights.items():
            if flight.seat is not None and flight.stuck_at_ns is None:
                flight.seat.given_back.append(seq)
            elif flight.seat is not None:
                flight.seat.results.append(Inferred(seq, float("nan"), cause, now, now, seat=number))
        if not self._was_loaded:
            self._first_deaths += 1
            if self._first_deaths >= FIRST_DEATHS:
                self._refusal = f"{self._arguments[0]}: the inference process died {FIRST_DEATHS} times loading it"
                raise BundleError(self._refusal)
