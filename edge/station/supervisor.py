"""The station: accepts frames, keeps their deadlines, publishes exactly one verdict for each.

This process never touches a pixel and loads neither OpenCV nor a runtime: whatever hangs or crashes in its two
children, the deadlines here hold.
"""

import secrets
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from multiprocessing.connection import wait
from typing import Any

from edge.bundle import Artifact, load_bundle
from edge.channel.publisher import Publisher
from edge.geometry import LARGEST_FRAME, SMALLEST_FRAME
from edge.signature import Trust
from edge.station.config import StationConfig
from edge.station.intake import Intake
from edge.station.ledger import Books
from edge.station.messages import Captured, Inferred, Located
from edge.station.scoring import Scoring
from edge.station.signals import Signals
from edge.verdict import (
    UNKNOWN_REASONS,
    Box,
    Defect,
    Heartbeat,
    Outcome,
    Reason,
    State,
    StateChange,
    Timing,
    Verdict,
)

HEARTBEAT_MS = 100
LEASE_MS = 3 * HEARTBEAT_MS
CHILD_PATIENCE_S = 0.5
SUBSCRIBER_POLL_S = 0.01


@dataclass(frozen=True)
class Finding:
    """What is known of a part: the score, or the reason why there is none."""

    score: float | None = None
    reason: Reason | None = None
    detail: str | None = None


@dataclass
class Part:
    """An accepted frame on its way to its verdict. `finding` is set once, by whatever comes first."""

    seq: int
    capture: Captured
    captured_ns: int
    deadline_ns: int
    is_submitted: bool = False
    finding: Finding | None = None
    inferred: Inferred | None = None


class Station:
    """Runs one line until its source ends or it is told to stop."""

    def __init__(
        self, config: StationConfig, progress: Callable[["Station"], None], allow_insecure: bool = False
    ) -> None:
        """Check the bundle and bind the socket. Raises BundleError, KeyFileError, ChannelError.

        `progress` is called with the station at each heartbeat.
        """
        self.config = config
        self.bundle = load_bundle(config.bundle, Trust.read(config.trust))
        self.epoch = secrets.token_hex(8)
        self.books = Books()
        self.intake = Intake(config)
        self.scoring = Scoring(config, self.bundle.digest)
        self.state = State.PREOPERATIONAL
        self.cause: str | None = None
        self.ready_after_s: float | None = None
        self.publisher = Publisher(config.bind, config.station, allow_insecure)
        self._progress = progress
        self._pending: deque[Captured] = deque()
        self._parts: dict[int, Part] = {}
        self._slots_inferring: dict[int, int] = {}  # by seq; busy until the runtime is done with them
        self._passed_over = 0
        self._is_opened = False
        self._shape: tuple[int, int] | None = None  # of every frame, as first opened
        self._subscribers_came = config.wait_subscribers == 0
        self._beat_due_ns = 0
        self._begun_ns = time.monotonic_ns()

    # -------------------------------------------------------------------------------------------------- life

    def run(self) -> None:
        """Serve to the end. SIGINT, SIGTERM and SIGHUP end it in order. Raises EdgeError if it cannot start."""
        with Signals() as signals:
            try:
                while not (signals.came or self._is_finished()):
                    self._hear()
                    self._accept()
                    self._expire()
                    self._submit()
                    self._publish()
                    self._beat()
                    self._wait(signals)
                self._shut_down("the source has ended" if self._is_finished() else "told to stop")
            except BaseException as error:
                self._shut_down(str(error) or type(error).__name__)
                raise

    def _is_finished(self) -> bool:
        return self.intake.has_ended and not self._pending and not self._parts

    def _wait(self, signals: Signals) -> None:
        """Sleep until a child or a signal has something to say, or the clock has."""
        if self._is_finished():
            return
        children = (self.intake.child, self.scoring.child)
        due_ns = [part.deadline_ns for part in self._parts.values() if part.finding is None]
        waits_s = [(min([self._beat_due_ns, *due_ns]) - time.monotonic_ns()) / 1e9]
        if not self.intake.child.is_running and not self.intake.has_ended:
            waits_s.append(self.intake.child.due_in_s)
        if not self.scoring.child.is_running:
            waits_s.append(self.scoring.child.due_in_s)
        if not self._subscribers_came:
            waits_s.append(SUBSCRIBER_POLL_S)
        wait([signals.wake, *(c.connection for c in children if c.connection)], max(0.0, min(waits_s)))

    def _shut_down(self, cause: str) -> None:
        """Answer the parts in flight, say goodbye, and leave nothing behind."""
        with ExitStack() as last:  # in reverse order, each whatever becomes of the others
            last.callback(self._progress, self)
            last.callback(self.publisher.close)
            last.callback(self.intake.close, CHILD_PATIENCE_S)
            last.callback(self.scoring.child.stop, CHILD_PATIENCE_S)
            for part in self._parts.values():
                part.finding = part.finding or Finding(reason=Reason.STOPPED, detail="the station was stopped")
            self._publish()
            self.state, self.cause = State.STOPPED, cause
            self._heartbeat()
            self._announce(self.state, cause)

    # --------------------------------------------------------------------------------------- one turn of the loop

    def _hear(self) -> None:
        """Take what the children have said; kill and start them where that is due."""
        for source in (self.intake.hear, self.intake.revive):
            self._pending.extend(source())
        if self.intake.opened is not None and not self._is_opened:
            self._is_opened = True
            self._shape = self.intake.opened.shape
            self.scoring.configure(self._shape)
        for results in (self.scoring.hear, self.scoring.revive):
            for result in results():
                self._settle(result)

    def _settle(self, result: Inferred) -> None:
        """The runtime is done with a frame; if its part has its verdict already, the result is only counted."""
        self.intake.release(self._slots_inferring.pop(result.seq))
        part = self._parts.get(result.seq)
        if part is None or part.finding is not None:
            self.books.late_results += 1
        elif result.fault is not None:
            part.finding = Finding(reason=Reason.BACKEND, detail=result.fault)
        elif not isfinite(result.score):
            part.finding = Finding(reason=Reason.BACKEND, detail=f"the model's score is {result.score}")
        else:
            part.finding, part.inferred = Finding(score=result.score), result

    def _expire(self) -> None:
        """A part whose budget is over is unknown now, whatever comes later."""
        now = time.monotonic_ns()
        for part in self._parts.values():
            if part.finding is None and now >= part.deadline_ns:
                if part.is_submitted or self.scoring.is_up:
                    part.finding = Finding(reason=Reason.LATE, detail="no result within the budget")
                else:
                    part.finding = Finding(reason=Reason.BACKEND, detail=self.scoring.cause)

    def _accept(self) -> None:
        """Give pending frames their sequence numbers, by policy: from here on each is owed a verdict.

        The source begins when the station is ready for the first time; a camera that runs anyway is passed over till
        then.
        """
        opened = self.intake.opened
        if opened is None:
            return
        if not self._subscribers_came:
            self._subscribers_came = self.publisher.subscribers() >= self.config.wait_subscribers
        may_begin = self._subscribers_came and self.scoring.loaded is not None
        if opened.policy == "latest" or (opened.live and not may_begin):
            self._pass_over_all_but(1 if may_begin else 0)
        if may_begin:
            self.intake.begin()
        if not may_begin or not self._pending:
            return
        if opened.live and opened.policy == "every":
            while self._pending:
                self._enter(self._pending.popleft())
        elif self.scoring.is_idle and not self._parts:
            self._enter(self._pending.popleft())

    def _pass_over_all_but(self, newest: int) -> None:
        while len(self._pending) > newest:
            self.intake.release(self._pending.popleft().slot)
            self._passed_over += 1
        self.books.dropped = self._passed_over + self.intake.dropped

    def _enter(self, capture: Captured) -> None:
        now = time.monotonic_ns()
        captured_ns = now if capture.captured_ns is None else min(capture.captured_ns, now)
        deadline_ns = captured_ns + int(self.config.budget_ms * 1e6)
        part = Part(self.books.accept(), capture, captured_ns, deadline_ns)
        fault = capture.fault or self._wrong_shape(capture)
        if fault is not None:
            kind, _, detail = fault.partition(": ")
            reason = Reason(kind) if kind in UNKNOWN_REASONS else Reason.CORRUPT
            part.finding = Finding(reason=reason, detail=detail or fault)
        self._parts[part.seq] = part

    def _wrong_shape(self, capture: Captured) -> str | None:
        shape = self._shape
        if not all(SMALLEST_FRAME <= n <= LARGEST_FRAME for n in (capture.height, capture.width)):
            limits = f"{SMALLEST_FRAME} to {LARGEST_FRAME}"
            return f"corrupt: the frame is {capture.width}×{capture.height}; a side may have {limits} pixels"
        if shape not in (None, (capture.height, capture.width)):
            return f"corrupt: the frame is {capture.width}×{capture.height}, the line began with {shape[1]}×{shape[0]}"
        refusal = self.bundle.manifest.letterbox.refusal(capture.height, capture.width)
        return refusal and f"corrupt: the frame of {refusal}"

    def _submit(self) -> None:
        """Give the runtime the oldest part that waits for it."""
        if not self.scoring.is_idle:
            return
        for part in self._parts.values():
            if part.finding is None and not part.is_submitted:
                c = part.capture
                assert c.slot is not None
                part.is_submitted, self._slots_inferring[part.seq] = True, c.slot
                self.scoring.submit(part.seq, self.intake.memory(c.slot), c.height, c.width, part.deadline_ns)
                return

    def _publish(self) -> None:
        """Publish what is final, in order of sequence."""
        while self._parts:
            part = next(iter(self._parts.values()))
            if part.finding is None:
                return
            verdict = self._verdict(part, part.finding, time.monotonic_ns())
            self.publisher.send(verdict)
            del self._parts[part.seq]
            self.books.enter(verdict)
            if not part.is_submitted:
                self.intake.release(part.capture.slot)

    @property
    def _artifact(self) -> Artifact | None:
        """The artifact that runs; None until one is loaded."""
        loaded = self.scoring.loaded
        return self.bundle.manifest.artifacts[loaded.backend] if loaded else None

    def _verdict(self, part: Part, finding: Finding, now: int) -> Verdict:
        age_ms = (now - part.captured_ns) / 1e6
        if finding.score is not None and age_ms > self.config.budget_ms:
            finding = Finding(reason=Reason.LATE, detail="the result came within the budget, publication did not")
        artifact = self._artifact
        if finding.score is None or artifact is None:
            outcome, reason = Outcome.UNKNOWN, finding.reason or Reason.BACKEND
        elif finding.score >= artifact.threshold.value:
            outcome, reason = Outcome.REJECT, Reason.DEFECT
        else:
            outcome, reason = Outcome.GOOD, Reason.CLEAR
        return Verdict(
            station=self.config.station,
            epoch=self.epoch,
            simulated=self.is_simulated,
            seq=part.seq,
            part=part.capture.name,
            verdict=outcome,
            reason=reason,
            detail=finding.detail,
            score=finding.score,
            threshold=artifact.threshold.value if artifact else None,
            marginal=artifact is not None and _is_marginal(finding.score, artifact),
            defects=_defects(part.inferred) if outcome is Outcome.REJECT else None,
            age_ms=age_ms,
            budget_ms=self.config.budget_ms,
            source=self.config.source,
            bundle=self.bundle.label,
            backend=self.scoring.loaded.backend if self.scoring.loaded else None,
            truth=part.capture.truth,
            timing=Timing(
                captured=part.captured_ns,
                in_ring=part.capture.in_ring_ns,
                inference_start=part.inferred.start_ns if part.inferred else None,
                inference_end=part.inferred.end_ns if part.inferred else None,
                published=now,
            ),
            time=datetime.now(UTC).isoformat(timespec="milliseconds"),
        )

    # -------------------------------------------------------------------------------------------------- state

    @property
    def is_simulated(self) -> bool:
        """True if the source or the bundle is the built-in demonstration."""
        opened = self.intake.opened
        return self.config.simulated or self.bundle.manifest.simulated or bool(opened and opened.simulated)

    @property
    def is_ready(self) -> bool:
        """True while parts that come are judged."""
        return self.state in (State.READY, State.EXECUTING)

    @property
    def restarts(self) -> int:
        """How many times a child was started again."""
        return max(0, self.intake.child.restarts) + max(0, self.scoring.child.restarts)

    def result(self) -> dict[str, Any]:
        """What this run was, for the report at its end."""
        loaded = self.scoring.loaded
        return {
            "station": self.config.station,
            "epoch": self.epoch,
            "source": self.config.source,
            "bundle": self.bundle.label,
            "simulated": self.is_simulated,
            "backend": loaded.backend if loaded else None,
            "golden_difference": loaded.golden_difference if loaded else None,
            "ready_after_s": self.ready_after_s,
            "restarts": self.restarts,
        }

    def _current_state(self) -> tuple[State, str | None]:
        if self.intake.opened is None:
            return State.PREOPERATIONAL, self.intake.cause
        if self.scoring.loaded is None:
            return State.PREOPERATIONAL, self.scoring.cause
        if not self.scoring.is_up:
            return State.HELD, f"model: {self.scoring.cause}"
        if not self.intake.is_up:
            return State.HELD, f"camera: {self.intake.cause}"
        if not self._subscribers_came:
            return State.READY, f"waiting for {self.config.wait_subscribers} subscribers"
        return (State.EXECUTING if self.books.accepted else State.READY), None

    def _beat(self) -> None:
        """Announce a change of state at once, and a heartbeat when it is due."""
        current = self._current_state()
        if current != (self.state, self.cause):
            self._announce(*current)
        now = time.monotonic_ns()
        if now >= self._beat_due_ns:
            self._beat_due_ns = max(self._beat_due_ns + HEARTBEAT_MS * 1_000_000, now)
            self.publisher.subscribers()  # takes the notes of who came and went off the socket
            self._heartbeat()
            self._progress(self)

    def _announce(self, state: State, cause: str | None) -> None:
        self.state, self.cause = state, cause
        if self.is_ready and self.ready_after_s is None:
            self.ready_after_s = (time.monotonic_ns() - self._begun_ns) / 1e9
        last_seq, now = self.books.published, time.monotonic_ns()
        self.publisher.send(StateChange(**self._sender(), sent=now, state=state, cause=cause, last_seq=last_seq))

    def _heartbeat(self) -> None:
        now = time.monotonic_ns()
        self.publisher.send(
            Heartbeat(
                **self._sender(),
                sent=now,
                state=self.state,
                ready=self.is_ready,
                valid_ms=LEASE_MS,
                valid_until=now + LEASE_MS * 1_000_000,
                cause=self.cause,
                last_seq=self.books.published,
                ledger=self.books.ledger(),
                restarts=self.restarts,
            )
        )

    def _sender(self) -> dict[str, Any]:
        return {"station": self.config.station, "epoch": self.epoch, "simulated": self.is_simulated}


def _is_marginal(score: float | None, artifact: Artifact) -> bool:
    """Whether the score is as near the threshold as runtimes differ."""
    return score is not None and abs(score - artifact.threshold.value) <= artifact.margin


def _defects(inferred: Inferred | None) -> tuple[Defect, ...] | None:
    """What the inference child located, as the verdict says it; None if it did not look."""
    if inferred is None or inferred.located is None:
        return None
    return tuple(_defect(located) for located in inferred.located)


def _defect(located: Located) -> Defect:
    box = Box(x=located.x, y=located.y, width=located.width, height=located.height)
    return Defect(box=box, area=located.area, peak=located.peak)
