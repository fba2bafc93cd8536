"""A station's connection to a model: each submitted frame yields one result, or is given back."""

import time
from collections import deque
from collections.abc import Iterator

from edge.bundle import Measured, Unmeasured
from edge.errors import BundleError
from edge.station.config.resolved import StationConfig
from edge.station.drift.block import Summed
from edge.station.inference.process import MOST_FAULTS, Model
from edge.station.process.child import Child
from edge.station.process.messages import Configure, Infer, Inferred, Loaded

RECENT = 8
"""Inferences whose median time is expected of the next one."""

OTHERS_PATIENCE_MS = 100
"""A model that exceeds all its deadlines, of all stations, by this much is considered unresponsive."""


class Scoring:
    """Each `submit` is answered by exactly one Inferred, with a `fault` if the child died on it or hung, or is given
    back if the child was lost before it started on the frame.
    """

    def __init__(self, config: StationConfig, model: Model) -> None:
        """The process starts with `supervise`."""
        self.model = model
        self.loaded: Loaded | None = None
        self.is_up = False
        self.is_current = True
        """Whether parts are judged by it now; if not, its model is tested more rarely."""
        self.cause: str | None = "the model is being loaded"
        self.budget_ms = config.budget_ms
        self.results: deque[Inferred] = deque()
        self.given_back: deque[int] = deque()
        self.measured: deque[Measured | Unmeasured] = deque()  # not yet counted by the station
        self.summed: deque[Summed] = deque()  # not yet counted by the station
        self.faults = 0  # consecutive
        self._took_ns: deque[int] = deque(maxlen=RECENT)
        self._began_ns = 0  # when the model began with the oldest pending frame
        self._most_faults = MOST_FAULTS
        self._regions, self._aggregate = config.regions, config.presence.aggregate
        self._number = model.seat(self)
        self._configure: Configure | None = None
        self._asked_ns: int | None = None  # when Configure was sent
        self._refusal: str | None = None
        self._deadlines_ns: dict[int, int] = {}  # of the pending frames by seq, in order

    @property
    def child(self) -> Child:
        """The inference process, possibly shared with other stations."""
        return self.model.child

    @property
    def has_more(self) -> bool:
        """Whether results wait for the station."""
        return bool(self.results or self.given_back)

    @property
    def is_idle(self) -> bool:
        """True if a frame can be submitted that the model begins with at once, or after frames of other stations."""
        return self.is_up and not self._deadlines_ns and self.model.has_room

    def result_due_in_ns(self, now_ns: int) -> int:
        """Nanoseconds until the result of a frame that would be submitted now, as the last inferences of this station
        took; 0 before the first one.
        """
        usual_ns = sorted(self._took_ns)[len(self._took_ns) // 2] if self._took_ns else 0
        return usual_ns + (max(0, self._began_ns + usual_ns - now_ns) if self._deadlines_ns else 0)

    @property
    def has_pending(self) -> bool:
        """Whether a submitted frame is yet to be answered or given back."""
        return bool(self._deadlines_ns or self.results or self.given_back)

    @property
    def takes_ahead(self) -> bool:
        """True if a frame can be submitted behind the one being scored."""
        return self.is_up and len(self._deadlines_ns) == 1 and self.model.takes_ahead

    @property
    def is_overdue(self) -> bool:
        """True while the submitted frame has missed its deadline, a self-test takes too long, or frames of other
        stations delay the model.
        """
        if self._deadlines_ns:
            return time.monotonic_ns() > next(iter(self._deadlines_ns.values()))
        return self.model.overdue_ms() > (0 if self.model.is_tested else OTHERS_PATIENCE_MS)

    @property
    def age_ms(self) -> float | None:
        """Milliseconds since the model's last result; None before it is loaded."""
        return None if self.loaded is None else self.model.age_ms

    @property
    def loading_s(self) -> float:
        """Seconds for which the child has been compiling for this station; 0 if it is not."""
        return 0.0 if self.is_up or self._asked_ns is None else (time.monotonic_ns() - self._asked_ns) / 1e9

    def configure(self, shape: tuple[int, int] | None) -> None:
        """Announce the (height, width) of all frames, once; the child compiles its graph for them."""
        self._configure = Configure(shape, self._number, self._regions, self._aggregate)
        self.send_configure()

    def submit(
        self, seq: int, memory: str, height: int, width: int, deadline_ns: int, frames: int = 1,
        wants_map: bool = False, keeps_map: bool = False, is_part: bool = True,
    ) -> None:  # fmt: skip
        """Submit a part's frame or `frames`, in shared memory `memory`; requires `is_idle` or `takes_ahead`. What shows
        no part of the line is in no statistics.
        """
        assert self.is_idle or self.takes_ahead
        if not self._deadlines_ns:
            self._began_ns = time.monotonic_ns()
        self._deadlines_ns[seq] = deadline_ns
        order = Infer(seq, memory, height, width, self._number, frames, wants_map, keeps_map, is_part)
        self.model.submit(self._number, order, deadline_ns)

    def postpone(self, seq: int, deadline_ns: int) -> None:
        """Set the deadline of a frame that was submitted ahead, when its clock starts."""
        if seq in self._deadlines_ns:
            self._deadlines_ns[seq] = deadline_ns
            self.model.postpone(self._number, seq, deadline_ns)

    def receive(self, most: int | None = None) -> Iterator[Inferred]:
        """Results since the last call; of the messages that have come at most `most` are read. Raises BundleError if
        the bundle cannot be loaded at first.
        """
        self.model.receive(most)
        if self._refusal is not None:
            raise BundleError(self._refusal)
        yield from self._results()

    def test(self) -> None:
        """Start a self-test if the model has been idle for long enough."""
        self.model.test()

    def supervise(self) -> Iterator[Inferred]:
        """Kill the child if it hangs; start it if it does not run and its restart is due."""
        self.model.supervise()
        yield from self._results()

    def leave(self) -> None:
        """Give up the seat; pending frames are not answered any more."""
        self.is_up = False
        self.model.leave(self._number)

    def _results(self) -> Iterator[Inferred]:
        while self.results:
            result = self.results.popleft()
            self._deadlines_ns.pop(result.seq, None)
            yield result

    def take_back(self) -> Iterator[int]:
        """Sequence numbers of frames that the lost child had not started; they can be submitted again."""
        while self.given_back:
            seq = self.given_back.popleft()
            self._deadlines_ns.pop(seq, None)
            yield seq

    # -------------------------------------------------------------------------------------------- called by the model

    def send_configure(self) -> None:
        """Send the frame shape to a new child."""
        if self._configure is not None and self.child.is_running:
            self._asked_ns = time.monotonic_ns()
            self.child.send(self._configure)

    def load(self, loaded: Loaded) -> None:
        """Record that the child is ready for this station's frames."""
        self.loaded, self.is_up, self.cause = loaded, True, None

    def refuse(self, why: str) -> None:
        """Record why the child cannot serve this station's frames."""
        self._refusal = why

    def take(self, result: Inferred) -> bool:
        """Record a result. True if the child has failed on too many frames in a row."""
        self.results.append(result)
        self._began_ns = time.monotonic_ns()
        if result.fault is None:
            self._took_ns.append(result.end_ns - result.start_ns)
        if result.measured is not None:
            self.measured.append(result.measured)
        if result.summed is not None:
            self.summed.append(result.summed)
        self.faults = 0 if result.fault is None else self.faults + 1
        is_over = self.faults >= self._most_faults
        if is_over and self.model.is_shared:
            self._most_faults *= 2
        return is_over

    def lose(self, cause: str) -> None:
        """Record that the child is gone."""
        self.is_up, self.cause, self.faults, self._asked_ns = False, cause, 0, None
