"""The status of a station: its state and cause, its heartbeats, and its counts for users and programs."""

import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from edge.channel.control_messages import Fate
from edge.station.change_log import ChangeLog
from edge.text import counted
from edge.verdict import Heartbeat, State, StateChange

if TYPE_CHECKING:
    from edge.station.metrics import Vitals
    from edge.station.process.child import Child
    from edge.station.supervisor import Station

HEARTBEAT_MS = 100
LEASE_MS = 3 * HEARTBEAT_MS

ABLE = (State.READY, State.EXECUTING)
"""States in which camera and model work and the required controllers are present."""

NO_PROGRESS_MS = 30_000
"""A station whose model made no progress for this long stops its watchdog pings to systemd; normally the station
replaces the model long before."""


class StationStatus:
    """State and cause, derived from the other parts of the station, and their announcement."""

    def __init__(self, station: "Station", progress: Callable[["Station"], None]) -> None:
        """`progress` is called with the station at each heartbeat."""
        self.state = State.PREOPERATIONAL
        self.cause: str | None = None
        self.ready_after_s: float | None = None
        self._station, self.progress = station, progress
        self.beat_due_ns = 0
        self._changes: ChangeLog | None = None
        self._begun_ns = time.monotonic_ns()

    @property
    def is_simulated(self) -> bool:
        """True if the source or the bundle is the built-in demonstration."""
        station = self._station
        opened = station.intake.opened
        return station.config.simulated or station.bundle.manifest.simulated or bool(opened and opened.simulated)

    @property
    def is_ready(self) -> bool:
        """True while arriving parts are judged: all awaited listeners have come, and no inference is past its deadline
        without progress.
        """
        station = self._station
        return self.state in ABLE and station.acceptance.have_listeners_come and not station.scoring.is_overdue

    @property
    def restarts(self) -> int:
        """Number of restarts of the children."""
        station = self._station
        return station.rollout.restarts + sum(
            max(0, child.restarts) for child in (station.intake.child, *self._models())
        )

    def _models(self) -> "list[Child]":
        """The models' processes of all products, each once."""
        return [*{id(child): child for one in self._station.products if (child := one.scoring.child)}.values()]

    def _restarts_by_child(self) -> Counter[str]:
        """Number of restarts by the kind of process; those of the models of all products are one kind."""
        station = self._station
        found = Counter({"inference": station.rollout.restarts})
        children = [station.intake.child, *self._models()]
        children += [station.records.archiving.child] if station.records else []
        children += [station.codes.child] if station.codes else []
        for child in children:
            found[child.name.removeprefix("edge-")] += max(0, child.restarts)
        return found

    @property
    def images_skipped(self) -> int:
        """Number of images that should have been kept and were not."""
        records = self._station.records
        return records.archiving.skipped + records.archiving.not_stored if records else 0

    def result(self) -> dict[str, Any]:
        """Summary of this run, for the report at its end."""
        station = self._station
        loaded, watch = station.scoring.loaded, station.inspection.input_watch
        return {
            "station": station.config.station,
            "epoch": station.epoch,
            "boot": station.boot,
            "source": station.config.source_name,
            "bundle": station.bundle.label,
            "simulated": self.is_simulated,
            "backend": loaded.backend if loaded else None,
            "golden_difference": loaded.golden_difference if loaded else None,
            "ready_after_s": self.ready_after_s,
            "restarts": self.restarts,
            "requests": dict(station.control_server.counts),
            "malformed_requests": station.control_server.malformed,
            "compared": watch.compared if watch else None,
            "unlike": watch.unlike if watch else None,
            "images_skipped": self.images_skipped,
            "codes": dict(station.codes.counts) if station.codes else None,
            "acknowledged": dict(station.control_server.fates),
        }

    def _derived(self) -> tuple[State, str | None]:
        station = self._station
        if station.intake.opened is None:
            return State.PREOPERATIONAL, station.intake.cause
        if (loading := station.products.loading) is not None:
            return State.PREOPERATIONAL, loading
        if not station.scoring.is_up:
            return State.HELD, f"model: {station.scoring.cause}"
        if not station.intake.is_up or station.intake.is_resuming:
            return State.HELD, f"camera: {station.intake.cause}"
        if station.intake.blind is not None:
            return State.HELD, f"camera: {station.intake.blind}"
        if (person := station.control_server.suspended_by) is not None:
            return State.SUSPENDED, f"operator: {person}"
        if missing := station.control_server.missing():
            return State.SUSPENDED, f"controller: nothing heard from {', '.join(missing)}"
        if doubled := station.control_server.doubled():
            return State.SUSPENDED, f"controller: two have the name {', '.join(doubled)}; stop one of them"
        if not station.acceptance.have_listeners_come:
            return State.READY, f"waiting for {counted(station.config.wait_subscribers, 'subscriber')}"
        return (State.EXECUTING if station.books.accepted else State.READY), None

    def _suspension(self) -> tuple[str, ...]:
        """A person's suspension as an alarm while the state has another cause, such as the camera."""
        person = self._station.control_server.suspended_by
        return () if person is None or self.state is State.SUSPENDED else (f"suspended by {person}",)

    def beat(self) -> None:
        """Announce a change of state at once, with a heartbeat; otherwise send a heartbeat when it is due."""
        station = self._station
        current = self._derived()
        if current != (self.state, self.cause):
            self.announce(*current)
            self.beat_due_ns = 0
        now = time.monotonic_ns()
        if now >= self.beat_due_ns:
            self.beat_due_ns = now + HEARTBEAT_MS * 1_000_000
            subscribers = station.publisher.subscribers()  # also drains the socket's subscription events
            beat = self.heartbeat()
            station.publisher.send(beat)
            if station.records is not None:
                self._changes = self._changes or ChangeLog(station.records.recorder.event)
                self._changes.follow(beat.state, beat.cause, beat.alarms)
            if station.metrics is not None:
                station.metrics.beat(self._vitals(beat, subscribers))
            station.service.beat(station.products.are_loaded, self._makes_progress, f"{beat.state} {beat.cause or ''}")
            self.progress(station)

    def announce(self, state: State, cause: str | None) -> None:
        """Publish a change of state."""
        station = self._station
        self.state, self.cause = state, cause
        if state in ABLE and self.ready_after_s is None:
            self.ready_after_s = (time.monotonic_ns() - self._begun_ns) / 1e9
        last_seq, now = station.books.published, time.monotonic_ns()
        station.publisher.send(StateChange(**self.sender(), sent=now, state=state, cause=cause, last_seq=last_seq))

    def heartbeat(self) -> Heartbeat:
        """The station's heartbeat as of now."""
        station = self._station
        now = time.monotonic_ns()
        return Heartbeat(
            **self.sender(),
            sent=now,
            state=self.state,
            ready=self.is_ready,
            valid_ms=LEASE_MS,
            valid_until=now + LEASE_MS * 1_000_000,
            cause=self.cause,
            alarms=self._suspension() + station.alarms,
            product=station.products.name,
            product_number=station.products.number,
            bundle=station.bundle.label,
            drift=station.inspection.drift_watch.state if station.inspection.drift_watch else None,
            last_seq=station.books.published,
            durable_seq=station.records.recorder.durable_seq if station.records else None,
            camera_age_ms=station.intake.age_ms,
            loop_age_ms=station.scoring.age_ms,
            ledger=station.books.ledger(),
            restarts=self.restarts,
        )

    @property
    def _makes_progress(self) -> bool:
        """Whether a restart of the process would not help: the model works, or the station is replacing it itself, or
        the camera is missing.
        """
        age_ms = self._station.scoring.age_ms
        return age_ms is None or age_ms < NO_PROGRESS_MS or self.state is State.PREOPERATIONAL

    def _vitals(self, beat: Heartbeat, subscribers: int) -> "Vitals":
        station = self._station
        from edge.station.metrics import Vitals

        records = station.records
        return Vitals(
            state=beat.state,
            is_ready=beat.ready,
            is_simulated=beat.simulated,
            boot=station.boot,
            subscribers=subscribers,
            in_flight=beat.ledger.in_flight,
            pending=len(station.acceptance.pending),
            dropped=station.books.dropped,
            late_results=station.books.late_results,
            alarms=len(beat.alarms),
            unlike_share=station.inspection.input_watch.recent_share if station.inspection.input_watch else None,
            drift_levels=station.inspection.drift_watch.levels if station.inspection.drift_watch else {},
            drift_learned=beat.drift.learned if beat.drift else None,
            camera_age_ms=beat.camera_age_ms,
            loop_age_ms=beat.loop_age_ms,
            journal_backlog=records.recorder.backlog if records else None,
            durable_lag=beat.last_seq - beat.durable_seq if beat.durable_seq is not None else None,
            images_kept=records.images_kept if records else 0,
            images_skipped=self.images_skipped,
            malformed_requests=station.control_server.malformed,
            codes=dict(station.codes.counts) if station.codes else {},
            limits=dict(station.channel.acted),
            restarts=self._restarts_by_child(),
            requests=station.control_server.counts,
            acknowledgements={Fate(fate): count for fate, count in station.control_server.fates.items()},
        )

    def sender(self) -> dict[str, Any]:
        """The fields that every message of the station has."""
        station = self._station
        return {
            "station": station.config.station,
            "epoch": station.epoch,
            "boot": station.boot,
            "simulated": self.is_simulated,
        }
