"""How a station stands: its state and why, its heartbeats, and what it counts for people and programs."""

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from edge.channel.control_messages import Fate
from edge.station.part_counts import Books
from edge.text import counted
from edge.verdict import Heartbeat, State, StateChange

if TYPE_CHECKING:
    from edge.bundle import Bundle
    from edge.channel.channel import Channel
    from edge.channel.publisher import Publisher
    from edge.station.capture.process import Intake
    from edge.station.config.resolved import StationConfig
    from edge.station.control_server import Desk
    from edge.station.inference.seat import Scoring
    from edge.station.metrics import Metrics, Vitals
    from edge.station.process.messages import Captured
    from edge.station.record_keeping import Records
    from edge.station.systemd import Reports

HEARTBEAT_MS = 100
LEASE_MS = 3 * HEARTBEAT_MS

ABLE = (State.READY, State.EXECUTING)
"""States in which camera and model work and the required controllers are there."""

NO_PROGRESS_MS = 30_000
"""A station whose model proved nothing for this long gives systemd no sign of life; it has replaced it long before."""


class Standing:
    """The part of a station that looks at it and says how it stands, and changes nothing but that."""

    config: "StationConfig"
    bundle: "Bundle"
    epoch: str
    boot: int
    state: State
    cause: str | None
    ready_after_s: float | None
    books: Books
    intake: "Intake"
    scoring: "Scoring"
    records: "Records | None"
    metrics: "Metrics | None"
    channel: "Channel"
    publisher: "Publisher"
    desk: "Desk"
    service: "Reports"
    _progress: Callable[[Any], None]
    _pending: "deque[Captured]"
    _listeners_came: bool
    _begun_ns: int
    _beat_due_ns: int

    @property
    def is_simulated(self) -> bool:
        """True if the source or the bundle is the built-in demonstration."""
        opened = self.intake.opened
        return self.config.simulated or self.bundle.manifest.simulated or bool(opened and opened.simulated)

    @property
    def is_ready(self) -> bool:
        """True while parts that come are judged: not before those whom the source waits for have come, nor while an
        inference is past its deadline and makes no progress.
        """
        return self.state in ABLE and self._listeners_came and not self.scoring.is_overdue

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
            "boot": self.boot,
            "source": self.config.source_name,
            "bundle": self.bundle.label,
            "simulated": self.is_simulated,
            "backend": loaded.backend if loaded else None,
            "golden_difference": loaded.golden_difference if loaded else None,
            "ready_after_s": self.ready_after_s,
            "restarts": self.restarts,
            "requests": dict(self.desk.counts),
            "malformed_requests": self.desk.malformed,
            "acknowledged": dict(self.desk.fates),
        }

    def _current_state(self) -> tuple[State, str | None]:
        if self.intake.opened is None:
            return State.PREOPERATIONAL, self.intake.cause
        if self.scoring.loaded is None:
            return State.PREOPERATIONAL, self.scoring.cause
        if not self.scoring.is_up:
            return State.HELD, f"model: {self.scoring.cause}"
        if not self.intake.is_up or self.intake.is_resuming:
            return State.HELD, f"camera: {self.intake.cause}"
        if self.intake.blind is not None:
            return State.HELD, f"camera: {self.intake.blind}"
        if missing := self.desk.missing():
            return State.SUSPENDED, f"controller: nothing heard from {', '.join(missing)}"
        if not self._listeners_came:
            return State.READY, f"waiting for {counted(self.config.wait_subscribers, 'subscriber')}"
        return (State.EXECUTING if self.books.accepted else State.READY), None

    def beat(self) -> None:
        """Announce a change of state at once, with a heartbeat; else a heartbeat when it is due."""
        current = self._current_state()
        if current != (self.state, self.cause):
            self._announce(*current)
            self._beat_due_ns = 0
        now = time.monotonic_ns()
        if now >= self._beat_due_ns:
            self._beat_due_ns = now + HEARTBEAT_MS * 1_000_000
            subscribers = self.publisher.subscribers()  # takes the notes of who came and went off the socket
            beat = self._current_heartbeat()
            self.publisher.send(beat)
            if self.metrics is not None:
                self.metrics.beat(self._vitals(beat, subscribers))
            self.service.beat(self.scoring.loaded is not None, self._makes_progress, f"{beat.state} {beat.cause or ''}")
            self._progress(self)

    def _announce(self, state: State, cause: str | None) -> None:
        self.state, self.cause = state, cause
        if state in ABLE and self.ready_after_s is None:
            self.ready_after_s = (time.monotonic_ns() - self._begun_ns) / 1e9
        last_seq, now = self.books.published, time.monotonic_ns()
        self.publisher.send(StateChange(**self._sender(), sent=now, state=state, cause=cause, last_seq=last_seq))

    def _current_heartbeat(self) -> Heartbeat:
        now = time.monotonic_ns()
        return Heartbeat(
            **self._sender(),
            sent=now,
            state=self.state,
            ready=self.is_ready,
            valid_ms=LEASE_MS,
            valid_until=now + LEASE_MS * 1_000_000,
            cause=self.cause,
            alarms=self.records.alarms if self.records else (),
            last_seq=self.books.published,
            durable_seq=self.records.recorder.durable_seq if self.records else None,
            camera_age_ms=self.intake.age_ms,
            loop_age_ms=self.scoring.age_ms,
            ledger=self.books.ledger(),
            restarts=self.restarts,
        )

    @property
    def _makes_progress(self) -> bool:
        """Whether a restart of the whole could not help: the model works, or the station is replacing it itself, or it
        is the camera that is missing.
        """
        age_ms = self.scoring.age_ms
        return age_ms is None or age_ms < NO_PROGRESS_MS or self.state is State.PREOPERATIONAL

    def _vitals(self, beat: Heartbeat, subscribers: int) -> "Vitals":
        from edge.station.metrics import Vitals

        records = self.records
        return Vitals(
            state=beat.state,
            is_ready=beat.ready,
            is_simulated=beat.simulated,
            boot=self.boot,
            subscribers=subscribers,
            in_flight=beat.ledger.in_flight,
            pending=len(self._pending),
            dropped=self.books.dropped,
            late_results=self.books.late_results,
            alarms=len(beat.alarms),
            camera_age_ms=beat.camera_age_ms,
            loop_age_ms=beat.loop_age_ms,
            journal_backlog=records.recorder.backlog if records else None,
            durable_lag=beat.last_seq - beat.durable_seq if beat.durable_seq is not None else None,
            images_kept=records.images_kept if records else 0,
            images_skipped=records.archiving.skipped if records else 0,
            malformed_requests=self.desk.malformed,
            limits=dict(self.channel.acted),
            restarts={
                child.name.removeprefix("edge-"): max(0, child.restarts)
                for child in (self.intake.child, self.scoring.child, *([records.archiving.child] if records else []))
            },
            requests=self.desk.counts,
            acknowledgements={Fate(fate): count for fate, count in self.desk.fates.items()},
        )

    def _sender(self) -> dict[str, Any]:
        return {
            "station": self.config.station,
            "epoch": self.epoch,
            "boot": self.boot,
            "simulated": self.is_simulated,
        }
