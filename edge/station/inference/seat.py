"""A station's seat at a model: a frame goes in, one result or the loss of it comes out."""

import time
from collections import deque
from collections.abc import Iterator

from edge.errors import BundleError
from edge.station.config.resolved import StationConfig
from edge.station.inference.process import MOST_FAULTS, Model
from edge.station.process.child import Child
from edge.station.process.messages import Configure, Infer, Inferred, Loaded

OTHERS_PATIENCE_MS = 100
"""A model that is this long past the deadlines of all that it has, of whatever station, judges nothing now."""


class Scoring:
    """Every `submit` is answered by exactly one Inferred, with a `fault` if the child died on it or hung; or
    taken back, if the child was lost before it began with it.
    """

    def __init__(self, config: StationConfig, model: Model) -> None:
        """Nothing runs before `revive`."""
        self.model = model
        self.loaded: Loaded | None = None
        self.is_up = False
        self.cause: str | None = "the model is being loaded"
        self.budget_ms = config.budget_ms
        self.results: deque[Inferred] = deque()
        self.given_back: deque[int] = deque()
        self.faults = 0  # in a row
        self._most_faults = MOST_FAULTS
        self._regions, self._aggregate = config.regions, config.presence.aggregate
        self._number = model.seat(self)
        self._configure: Configure | None = None
        self._asked_ns: int | None = None  # when the child was told to compile for this station's frames
        self._refusal: str | None = None
        self._deadlines_ns: dict[int, int] = {}  # by seq, of what the child has, in order

    @property
    def child(self) -> Child:
        """The inference process, which other stations may use, too."""
        return self.model.child

    @property
    def is_idle(self) -> bool:
        """True if a frame can be submitted now."""
        return self.is_up and not self._deadlines_ns and self.model.has_room

    @property
    def takes_ahead(self) -> bool:
        """True if a frame can be submitted behind the one that is scored now."""
        return self.is_up and len(self._deadlines_ns) == 1 and self.model.takes_ahead

    @property
    def is_overdue(self) -> bool:
        """True while the frame that was submitted has missed its deadline, or a self-test takes too long, or the frames
        of other stations hold the model up.
        """
        if self._deadlines_ns:
            return time.monotonic_ns() > next(iter(self._deadlines_ns.values()))
        return self.model.overdue_ms() > (0 if self.model.is_tested else OTHERS_PATIENCE_MS)

    @property
    def age_ms(self) -> float | None:
        """Since the model last proved that it works; None before it is loaded."""
        return None if self.loaded is None else self.model.age_ms

    @property
    def loading_s(self) -> float:
        """How long the child has been compiling for this station; 0 if it is not."""
        return 0.0 if self.is_up or self._asked_ns is None else (time.monotonic_ns() - self._asked_ns) / 1e9

    def configure(self, shape: tuple[int, int] | None) -> None:
        """Say once what frames will come; the child compiles its graph for them."""
        self._configure = Configure(shape, self._number, self._regions, self._aggregate)
        self.send_configure()

    def submit(self, seq: int, memory: str, height: int, width: int, deadline_ns: int, frames: int = 1) -> None:
        """Hand over a part's frame, or its frames; allowed only when idle, or ahead."""
        assert self.is_idle or self.takes_ahead
        self._deadlines_ns[seq] = deadline_ns
        self.model.submit(self._number, Infer(seq, memory, height, width, self._number, frames), deadline_ns)

    def postpone(self, seq: int, deadline_ns: int) -> None:
        """The clock of a frame that went ahead has begun."""
        if seq in self._deadlines_ns:
            self._deadlines_ns[seq] = deadline_ns
            self.model.postpone(self._number, seq, deadline_ns)

    def hear(self) -> Iterator[Inferred]:
        """Results that have come since. Raises BundleError if the bundle cannot be loaded at first."""
        self.model.hear()
        if self._refusal is not None:
            raise BundleError(self._refusal)
        yield from self._results()

    def test(self) -> None:
        """Ask for a self-test if the model has had nothing to do for long enough."""
        self.model.test()

    def revive(self) -> Iterator[Inferred]:
        """Kill the child if it hangs; start one where there is none and its time has come."""
        self.model.revive()
        yield from self._results()

    def leave(self) -> None:
        """Submit nothing more; what is under way is answered no more."""
        self.is_up = False
        self.model.leave(self._number)

    def _results(self) -> Iterator[Inferred]:
        while self.results:
            result = self.results.popleft()
            self._deadlines_ns.pop(result.seq, None)
            yield result

    def take_back(self) -> Iterator[int]:
        """The frames that the child had and had not begun with when it was lost; they can be submitted again."""
        while self.given_back:
            seq = self.given_back.popleft()
            self._deadlines_ns.pop(seq, None)
            yield seq

    # -------------------------------------------------------------------------------------------- said by the model

    def send_configure(self) -> None:
        """A new child is to know what frames will come."""
        if self._configure is not None and self.child.is_running:
            self._asked_ns = time.monotonic_ns()
            self.child.send(self._configure)

    def load(self, loaded: Loaded) -> None:
        """The child is ready for this station's frames."""
        self.loaded, self.is_up, self.cause = loaded, True, None

    def refuse(self, why: str) -> None:
        """The child cannot be made ready for this station's frames."""
        self._refusal = why

    def take(self, result: Inferred) -> bool:
        """The child is done with a frame. True if it has failed on too many in a row."""
        self.results.append(result)
        self.faults = 0 if result.fault is None else self.faults + 1
        is_over = self.faults >= self._most_faults
        if is_over and self.model.is_shared:
            self._most_faults *= 2
        return is_over

    def lose(self, cause: str) -> None:
        """The child is gone."""
        self.is_up, self.cause, self.faults, self._asked_ns = False, cause, 0, None
