"""The supervisor's side of the inference child and its loaded model, used by one station or shared by several."""

import time
from collections.abc import Hashable
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from edge.errors import BundleError
from edge.machine import cores
from edge.station.config.resolved import StationConfig
from edge.station.inference.child import run_inference
from edge.station.process.child import Child, messages
from edge.station.process.messages import Failed, Infer, Inferred, Loaded, SelfTest, Stop

if TYPE_CHECKING:
    from edge.station.inference.seat import Scoring

STUCK_MS = 500
"""An inference that exceeds its part's deadline by this much is killed. A self-test that takes this long, and five
times as long as the previous one, is overdue: the station is not ready meanwhile."""

SELF_TEST_MS = 1000
LONGEST_PAUSE_MS = 15_000
"""A model that has scored nothing for some time gets a self-test: after 1 s, or twenty times the duration of the last
self-test if that is longer, but at most after the second of these."""

STANDBY_PAUSE_MS = 60_000
"""The same for a model by which no station judges now, so that its tests do not delay the parts of others."""

SELF_TEST_PATIENCE_MS = 2000
"""A self-test that is overdue and takes this long hangs."""

MOST_FAULTS = 10
"""Consecutive frames of a station on which the runtime failed before the process is replaced. If stations share the
process, this number doubles for the station each time."""

LOADING_S = 120.0
"""A child that loads longer than this hangs. The demonstration bundle takes 2.4 s without a cache, with both runtimes
measured."""

FIRST_DEATHS = 3
"""After this many deaths before it was first ready, the inference process is given up."""

AHEAD = 1
"""Frames that may wait in the child's socket while it is busy, so that it continues without a pause."""

MANY_PROOFS = 20
"""If stations share a model, one with a long budget may occupy it no longer than the shortest budget of all, or the
duration of this many self-tests."""

_TEST = (0, 0)


@dataclass
class _Flight:
    """A frame or self-test submitted to the child. `stuck_at_ns` is set when nothing is queued before it."""

    seat: "Scoring | None"
    deadline_ns: int
    stuck_at_ns: int | None = None


class Model:
    """Each submitted frame is answered by exactly one Inferred in its seat, with a `fault` if the child died on it or
    hung; a frame that the child had not started is given back instead.
    """

    def __init__(self, config: StationConfig, digest: str, niceness: int = 0) -> None:
        """The process starts with `supervise`. `digest` is that of the bundle whose threshold the stations use.
        `niceness` is that of a process that must not delay any other.
        """
        name = "edge-candidate" if niceness else "edge-inference"
        self.child = Child(name, run_inference, lambda: (*self._arguments, self.streams), niceness=niceness)
        how = config.threads or cores(), config.spinning, config.keep_warm
        self._arguments = (config.bundle, digest, config.backend, *how)
        self._most_streams = config.streams
        self._child_streams = 1  # of the process that runs, which keeps them when stations leave
        self._seats: dict[int, Scoring] = {}
        self._next_seat = 0
        self._flights: dict[tuple[int, int], _Flight] = {}  # by seat and seq, in order of submission
        self._was_loaded = False
        self._refusal: str | None = None  # why loading can never succeed
        self._failure: str | None = None  # the message of its last Failed
        self._first_deaths = 0
        self._progress_ns = 0
        self._self_test_ns = 0  # duration of the last one

    @staticmethod
    def key(config: StationConfig, digest: str) -> Hashable:
        """Key of the settings that stations must have in common to share a model."""
        how = config.threads or cores(), config.spinning, config.keep_warm, config.streams
        return digest, config.bundle, config.backend, how, config.trust

    # ---------------------------------------------------------------------------------------- called by the seats

    def seat(self, seat: "Scoring") -> int:
        """Register a seat; returns its number."""
        self._next_seat += 1
        self._seats[self._next_seat - 1] = seat
        return self._next_seat - 1

    def leave(self, number: int) -> None:
        """Remove a seat; results of its pending frames are dropped. Removing the last seat ends the child."""
        self._seats.pop(number, None)
        if not self._seats:
            self.child.send(Stop())

    def close(self, patience_s: float) -> None:
        """End the child within `patience_s` seconds."""
        self.child.stop(patience_s)

    @property
    def is_shared(self) -> bool:
        """Whether more than one station uses the model."""
        return len(self._seats) > 1

    @property
    def streams(self) -> int:
        """Number of frames scored in parallel: at most one per station."""
        return max(1, min(self._most_streams, len(self._seats)))

    @property
    def has_room(self) -> bool:
        """Whether a further frame can be submitted now."""
        return _TEST not in self._flights and len(self._flights) < (self.streams + AHEAD if self.is_shared else 1)

    @property
    def takes_ahead(self) -> bool:
        """Whether a second frame of the only station can be submitted, so that the child continues without a pause."""
        has_one = len(self._flights) == 1 and _TEST not in self._flights
        return has_one and not self.is_shared and self._child_streams == 1

    @property
    def age_ms(self) -> float:
        """Milliseconds since the last result, or since loading."""
        return (time.monotonic_ns() - self._progress_ns) / 1e6

    def overdue_ms(self) -> float:
        """Milliseconds by which the child is past the deadlines of all its frames; 0 if it is not, or has room."""
        if self.has_room:
            return 0.0
        latest_ns = max(flight.deadline_ns for flight in self._flights.values())
        return max(0.0, (time.monotonic_ns() - latest_ns) / 1e6)

    @property
    def is_tested(self) -> bool:
        """True while a self-test is pending."""
        return _TEST in self._flights

    def submit(self, number: int, order: Infer, deadline_ns: int) -> None:
        """Submit a frame of seat `number`; requires `has_room` or `takes_ahead`."""
        assert self.has_room or self.takes_ahead
        self._flights[number, order.seq] = _Flight(self._seats[number], deadline_ns)
        self._watch()
        self.child.send(order)

    def postpone(self, number: int, seq: int, deadline_ns: int) -> None:
        """Set the deadline of a frame submitted ahead, which is now the oldest; its timeout restarts."""
        if (flight := self._flights.get((number, seq))) is not None:
            flight.deadline_ns, flight.stuck_at_ns = deadline_ns, None
            self._watch()

    def _watch(self) -> None:
        """Start the timeout of the frames that the child works on now."""
        for flight in islice(self._flights.values(), self.streams):
            if flight.stuck_at_ns is not None:
                continue
            now, due_ns = time.monotonic_ns(), flight.deadline_ns
            if self.is_shared:
                budget_ns = int(min(seat.budget_ms for seat in self._seats.values()) * 1e6)
                due_ns = min(due_ns, now + max(budget_ns, MANY_PROOFS * self._self_test_ns))
            flight.stuck_at_ns = max(due_ns, now) + STUCK_MS * 1_000_000

    # ------------------------------------------------------------------------------------------------ in each turn

    def receive(self, most: int | None = None) -> None:
        """Put the child's results into the seats, of at most `most` messages. Raises BundleError if the bundle cannot
        be loaded at first.
        """
        try:
            for message in messages(self.child, most):
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
            self._lose(self._failure or "the inference process died")
        if self._refusal is not None:
            raise BundleError(self._refusal)

    def _fail(self, failed: Failed) -> None:
        """The child cannot load the bundle, or not compile it for one seat; after an earlier success it is retried."""
        seat = None if failed.seat is None else self._seats.get(failed.seat)
        if failed.seat is None and not self._was_loaded:
            self._refusal = failed.message
        elif seat is not None and seat.loaded is None:
            seat.refuse(failed.message)
        elif failed.seat is None:
            self._failure = failed.message
        elif seat is not None:
            self._lose(failed.message)

    def _take(self, result: Inferred) -> None:
        """Handle a result. One fault concerns only its frame; many in a row, or a failed self-test, concern the child.

        A successful self-test does not reset the count of failed frames.
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
                flight.stuck_at_ns = None  # not started here: the next process scores it
            self._lose(f"it failed {seat.faults} times in a row: {result.fault}")

    def test(self) -> None:
        """Start a self-test if the model has been idle for long enough."""
        took_ms = self._self_test_ns / 1e6
        pause_ms = min(max(SELF_TEST_MS, 20 * took_ms), LONGEST_PAUSE_MS)
        if not any(seat.is_current for seat in self._seats.values()):
            pause_ms = STANDBY_PAUSE_MS
        if self._flights or self.age_ms <= pause_ms or not any(seat.is_up for seat in self._seats.values()):
            return
        now = time.monotonic_ns()
        deadline_ns = now + int(max(STUCK_MS, 5 * took_ms) * 1e6)
        stuck_at_ns = max(deadline_ns, now + SELF_TEST_PATIENCE_MS * 1_000_000)
        self._flights[_TEST] = _Flight(None, deadline_ns, stuck_at_ns)
        self.child.send(SelfTest())

    def supervise(self) -> None:
        """Kill the child if it hangs; start it if it does not run and its restart is due. Raises BundleError."""
        now = time.monotonic_ns()
        if any(flight.stuck_at_ns is not None and now > flight.stuck_at_ns for flight in self._flights.values()):
            self._lose("the inference process hung and was killed")
        if any(seat.loading_s > LOADING_S for seat in self._seats.values()):
            self._lose(f"the inference process did not load the bundle within {LOADING_S:.0f} s")
        if self._seats and not self.child.is_running and self.child.due_in_s == 0:
            self._child_streams = self.streams
            self.child.start()
            for seat in self._seats.values():
                seat.send_configure()

    def _lose(self, cause: str) -> None:
        self.child.kill()
        self._failure = None
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
