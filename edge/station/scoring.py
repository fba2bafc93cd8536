"""The supervisor's hold on the inference child: one frame at a time goes in, one result or the loss of it comes out."""

import time
from collections.abc import Iterator

from edge.errors import BundleError
from edge.machine import cores
from edge.station.child import Child
from edge.station.config import StationConfig
from edge.station.inference import run_inference
from edge.station.messages import Configure, Failed, Infer, Inferred, Loaded, SelfTest

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
"""Frames on which the runtime failed in a row: the process is replaced then."""

LOADING_S = 120.0
"""A child that loads longer than this hangs. The demonstration bundle takes 2.4 s without a cache,
both runtimes measured."""

FIRST_DEATHS = 3
"""An inference process that died this often before it was ready will not be ready the next time either."""


class Scoring:
    """Every `submit` is answered by exactly one Inferred, with a `fault` if the child died on it or hung."""

    def __init__(self, config: StationConfig, digest: str) -> None:
        """Nothing runs before `revive`. `digest` is that of the bundle whose threshold the station uses."""
        self.child = Child("edge-inference", run_inference, lambda: self._arguments)
        self.loaded: Loaded | None = None
        self.is_up = False
        self.cause: str | None = "the model is being loaded"
        threads = config.threads or cores()
        self._arguments = (config.bundle, digest, config.backend, threads, config.regions, config.presence.aggregate)
        self._shape: Configure | None = None
        self._said: str | None = None  # its last words
        self._first_deaths = 0
        self._seq: int | None = None
        self._deadline_ns = self._stuck_at_ns = 0
        self._progress_ns: int | None = None
        self._self_test_ns = 0  # how long it took last
        self._faults = 0  # in a row

    @property
    def is_idle(self) -> bool:
        """True if a frame can be submitted now."""
        return self.is_up and self._seq is None

    @property
    def is_overdue(self) -> bool:
        """True while the frame that was submitted has missed its deadline, or a self-test takes too long."""
        return self._seq is not None and time.monotonic_ns() > self._deadline_ns

    @property
    def age_ms(self) -> float | None:
        """Since the model last proved that it works; None before it is loaded."""
        return None if self._progress_ns is None else (time.monotonic_ns() - self._progress_ns) / 1e6

    def configure(self, shape: tuple[int, int] | None) -> None:
        """Say once what frames will come; the child compiles its graph for them."""
        self._shape = Configure(shape)
        self.child.send(self._shape)

    def submit(self, seq: int, memory: str, height: int, width: int, deadline_ns: int, frames: int = 1) -> None:
        """Hand over a part's frame, or its frames; allowed only when idle."""
        assert self.is_idle
        self._seq, self._deadline_ns = seq, deadline_ns
        self._stuck_at_ns = max(deadline_ns, time.monotonic_ns()) + STUCK_MS * 1_000_000
        self.child.send(Infer(seq, memory, height, width, frames))

    def hear(self) -> Iterator[Inferred]:
        """Results that have come since. Raises BundleError if the bundle cannot be loaded at first."""
        try:
            while (message := self.child.receive()) is not None:
                match message:
                    case Inferred():
                        yield from self._take(message)
                    case Loaded():
                        self.loaded, self.is_up, self.cause = message, True, None
                        self._progress_ns, self._self_test_ns = time.monotonic_ns(), message.proof_ns
                    case Failed():
                        if self.loaded is None:
                            raise BundleError(message.message)
                        self._said = message.message
        except EOFError:
            yield from self._lose(self._said or "the inference process died")

    def _take(self, result: Inferred) -> Iterator[Inferred]:
        """A result came. One fault is the fault of its frame; many in a row, or one of a self-test, are the child's.

        A self-test that goes well between them proves nothing of frames.
        """
        self._seq, self._progress_ns = None, time.monotonic_ns()
        if not result.seq:
            self._self_test_ns = result.end_ns - result.start_ns
            if result.fault is not None:
                yield from self._lose(f"the self-test failed: {result.fault}")
            return
        self._faults = 0 if result.fault is None else self._faults + 1
        yield result
        if self._faults >= MOST_FAULTS:
            yield from self._lose(f"it failed {self._faults} times in a row: {result.fault}")

    def test(self) -> None:
        """Ask for a self-test if the model has had nothing to do for long enough."""
        took_ms = self._self_test_ns / 1e6
        pause_ms = min(max(SELF_TEST_MS, 20 * took_ms), LONGEST_PAUSE_MS)
        now = time.monotonic_ns()
        if self.is_idle and self.age_ms is not None and self.age_ms > pause_ms:
            self._seq, self._deadline_ns = 0, now + int(max(STUCK_MS, 5 * took_ms) * 1e6)
            self._stuck_at_ns = max(self._deadline_ns, now + SELF_TEST_PATIENCE_MS * 1_000_000)
            self.child.send(SelfTest())

    def revive(self) -> Iterator[Inferred]:
        """Kill the child if it hangs; start one where there is none and its time has come."""
        if self._seq is not None and time.monotonic_ns() > self._stuck_at_ns:
            yield from self._lose("the inference process hung and was killed")
        if self._shape is not None and not self.is_up and self.child.lived_s > LOADING_S:
            yield from self._lose(f"the inference process did not load the bundle within {LOADING_S:.0f} s")
        if not self.child.is_running and self.child.due_in_s == 0:
            self.child.start()
            if self._shape is not None:
                self.child.send(self._shape)

    def _lose(self, cause: str) -> Iterator[Inferred]:
        self.child.bury()
        self.is_up, self.cause, self._said, self._faults = False, cause, None, 0
        if self.loaded is None:
            self._first_deaths += 1
            if self._first_deaths >= FIRST_DEATHS:
                raise BundleError(f"{self._arguments[0]}: the inference process died {FIRST_DEATHS} times loading it")
        seq, self._seq = self._seq, None
        if seq:
            now = time.monotonic_ns()
            yield Inferred(seq, float("nan"), cause, now, now)
