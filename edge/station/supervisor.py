"""The station: accepts parts, keeps their deadlines, publishes exactly one verdict for each.

This process never touches a pixel and loads neither OpenCV nor a runtime: whatever hangs or crashes in its children,
the deadlines here hold.
"""

import secrets
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from math import isfinite
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

from edge.bundle import load_bundle
from edge.channel.channel import Channel
from edge.channel.control import Fate
from edge.geometry import LARGEST_FRAME, SMALLEST_FRAME
from edge.signature import Trust
from edge.station.config import StationConfig
from edge.station.desk import Desk, Line
from edge.station.intake import Intake
from edge.station.ledger import Books
from edge.station.messages import Captured, Inferred
from edge.station.parts import Finding, Part, judge
from edge.station.records import Records
from edge.station.replay import Replays
from edge.station.scoring import Scoring
from edge.station.signals import Signals
from edge.station.systemd import Service
from edge.verdict import UNKNOWN_REASONS, Heartbeat, Reason, State, StateChange, Verdict

if TYPE_CHECKING:
    from edge.station.metrics import Metrics, Vitals

HEARTBEAT_MS = 100
LEASE_MS = 3 * HEARTBEAT_MS
CHILD_PATIENCE_S = 0.5

ABLE = (State.READY, State.EXECUTING)
"""States in which camera and model work and the required controllers are there."""

SUBSCRIBER_POLL_S = 0.01

NO_PROGRESS_MS = 30_000
"""A station whose model proved nothing for this long gives systemd no sign of life; it has replaced it long before."""

MOST_TRIGGERED = 8
"""Parts that wait for their frames; with a further trigger the oldest is answered unknown/overload at once."""

MOST_IN_FLIGHT = 1000
"""Parts without a verdict; a further trigger is refused, so that a flood of them holds up no verdict for long."""


class Station:
    """Runs one line until its source ends or it is told to stop."""

    def __init__(
        self,
        config: StationConfig,
        progress: Callable[["Station"], None],
        allow_insecure: bool = False,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Check the bundle, bind the sockets, open the records. Raises BundleError, KeyFileError, ChannelError,
        RecordsError.

        `progress` is called with the station at each heartbeat, `say` with lines for the log.
        """
        self.config = config
        self.bundle = load_bundle(config.bundle, Trust.read(config.trust))
        self.epoch = secrets.token_hex(8)
        self.records: Records | None = None
        self.books = Books()
        self.intake = Intake(config)
        self.scoring = Scoring(config, self.bundle.digest)
        self.state = State.PREOPERATIONAL
        self.cause: str | None = None
        self.ready_after_s: float | None = None
        self.service = Service()
        self._progress, self._say = progress, say
        with ExitStack() as undo:
            self.channel = Channel(
                config.station,
                config.bind,
                config.control,
                config.viewers,
                config.keys,
                allow_insecure,
                self._note,
            )
            undo.callback(self.channel.close)
            self.metrics: Metrics | None = None
            if config.metrics is not None:
                from edge.station import metrics  # a tenth of a second, for those who want it

                about = (config.station, self.bundle.label, config.records)
                self.metrics = metrics.Metrics(config.metrics, *about, allow_insecure=allow_insecure)
                undo.callback(self.metrics.close)
            if config.records is not None:
                self.records = Records(config, self.epoch, self.bundle.label)
            undo.pop_all()
        self.boot = self.records.boot if self.records else 0
        self.publisher = self.channel.publisher
        recorder = self.records.recorder if self.records else None
        self.replays = Replays(self.channel.control, self.epoch, recorder)
        self.desk = Desk(self.channel.control, self._line(), self.replays, recorder, config.required)
        self._pending: deque[Captured] = deque()
        self._parts: dict[int, Part] = {}
        self._awaited: deque[Part] = deque()  # announced by a trigger, still without a frame
        self._slots_inferring: dict[int, int] = {}  # by seq; held until the runtime is done with them
        self._passed_over = 0
        self._is_opened = False
        self._shape: tuple[int, int] | None = None  # of every frame, as first opened
        self._listeners_came = config.wait_subscribers == 0 and not config.required
        self._beat_due_ns = 0
        self._begun_ns = time.monotonic_ns()

    def _line(self) -> Line:
        return Line(
            station=self.config.station,
            epoch=self.epoch,
            boot=self.boot,
            budget_ms=self.config.budget_ms,
            heartbeat=self._current_heartbeat,
            accepted=lambda: self.books.accepted,
            trigger=self._trigger,
        )

    # -------------------------------------------------------------------------------------------------- life

    def run(self) -> None:
        """Serve to the end. SIGINT, SIGTERM and SIGHUP end it in order. Raises EdgeError if it cannot start."""
        with Signals() as signals:
            cause = "told to stop"
            try:
                while not (signals.came or self._is_finished()):
                    self._hear()
                    self.channel.serve()
                    self.desk.serve()
                    self._accept()
                    self._expire()
                    self._submit()
                    self._publish()
                    self._beat()
                    self._wait(signals)
                if self._is_finished():
                    cause = "the source has ended"
            except BaseException as error:
                cause = str(error) or type(error).__name__
                raise
            finally:
                self._shut_down(cause)

    def _is_finished(self) -> bool:
        return self.intake.has_ended and not self._pending and not self._parts

    def _wait(self, signals: Signals) -> None:
        """Sleep until a child, a controller or a signal has something to say, or the clock has."""
        if self._is_finished() or self.desk.has_more:
            return
        children = [self.intake.child, self.scoring.child]
        due_ns = [part.deadline_ns for part in self._parts.values() if part.finding is None]
        waits_s = [(min([self._beat_due_ns, *due_ns]) - time.monotonic_ns()) / 1e9]
        if not self.intake.child.is_running and not self.intake.has_ended:
            waits_s.append(self.intake.child.due_in_s)
        if not self.scoring.child.is_running:
            waits_s.append(self.scoring.child.due_in_s)
        if self.records is not None:
            children.append(self.records.archiving.child)
            waits_s.append(self.records.due_in_s)
        if not self._listeners_came:
            waits_s.append(SUBSCRIBER_POLL_S)
        waits_s.append(self.channel.due_in_s)
        connections = (c.connection for c in children if c.connection)
        wait([signals.wake, *self.channel.fds, *connections], max(0.0, min(waits_s)))

    def _shut_down(self, cause: str) -> None:
        """Answer the parts in flight, say goodbye, and leave nothing behind."""
        with ExitStack() as last:  # in reverse order, each whatever becomes of the others
            last.callback(self._progress, self)
            if self.metrics is not None:
                last.callback(self.metrics.close)
            last.callback(self.service.close)
            if self.records is not None:
                last.callback(self.records.close, cause, self.books)
            last.callback(self.channel.close)
            last.callback(self.intake.close, CHILD_PATIENCE_S)
            if self.records is not None:
                last.callback(self.records.close_archive)  # it still copies frames out of the ring
            last.callback(self.scoring.child.stop, CHILD_PATIENCE_S)
            for part in self._parts.values():
                part.finding = part.finding or Finding(reason=Reason.STOPPED, detail="the station was stopped")
            self._publish()
            self.state, self.cause = State.STOPPED, cause
            self.service.stopping(cause)
            self.publisher.send(self._current_heartbeat())
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
            for remark in self.intake.opened.remarks:
                self._note(remark)
        for results in (self.scoring.hear, self.scoring.revive):
            for result in results():
                self._settle(result)
        self.scoring.test()
        if self.records is not None:
            for slot in self.records.serve():
                self.intake.release(slot)

    def _settle(self, result: Inferred) -> None:
        """The runtime is done with a frame; if its part has its verdict already, the result is only counted."""
        self.intake.release(self._slots_inferring.pop(result.seq))
        part = self._parts.get(result.seq)
        if part is None or part.finding is not None:
            self.books.late_results += 1
            if self.records is not None:
                score = result.score if isfinite(result.score) else None
                self.records.recorder.late_result(self.epoch, result.seq, score, result.fault)
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
                if part.capture is None:
                    part.finding = Finding(reason=Reason.CAMERA, detail="no frame came for the trigger")
                elif part.is_submitted or self.scoring.is_up:
                    part.finding = Finding(reason=Reason.LATE, detail="no result within the budget")
                else:
                    part.finding = Finding(reason=Reason.BACKEND, detail=self.scoring.cause)

    def _accept(self) -> None:
        """Make parts of pending frames, by policy; from here on each is owed a verdict.

        The source begins when the station is ready for the first time; a camera that runs anyway is passed over till
        then.
        """
        opened = self.intake.opened
        if opened is None:
            return
        may_begin = self._have_listeners_come() and self.scoring.loaded is not None
        if may_begin:
            self.intake.begin()
        if self.config.trigger == "external":
            self._match(passes_over=opened.live)
            return
        if opened.policy == "latest" or (opened.live and not may_begin):
            self._pass_over_all_but(1 if may_begin else 0)
        if not may_begin or not self._pending or (self.state is State.SUSPENDED and not opened.live):
            return
        if opened.live and opened.policy == "every":
            while self._pending:
                self._enter(self._pending.popleft())
        elif self.scoring.is_idle and not self._parts:
            self._enter(self._pending.popleft())

    def _have_listeners_come(self) -> bool:
        """Whether the subscribers and the required controllers that the source waits for have been there."""
        if not self._listeners_came:
            enough = self.publisher.subscribers() >= self.config.wait_subscribers
            self._listeners_came = enough and not self.desk.missing()
        return self._listeners_came

    def _pass_over_all_but(self, newest: int) -> None:
        while len(self._pending) > newest:
            self._pass_over()

    def _pass_over(self) -> None:
        """The oldest pending frame is of no part."""
        self.intake.release(self._pending.popleft().slot)
        self._passed_over += 1
        self.books.dropped = self._passed_over + self.intake.dropped

    def _enter(self, capture: Captured) -> None:
        """A part begins with its frame."""
        now = time.monotonic_ns()
        captured_ns = now if capture.captured_ns is None else min(capture.captured_ns, now)
        self._show(self._begin(capture.name, captured_ns), capture)

    def _trigger(self, name: str) -> int | str:
        """A part begins with its trigger, and waits for its frame. Returns its number, or why there is none."""
        if self.config.trigger != "external":
            return "this station makes parts of frames, not of triggers; start it with --trigger external"
        if len(self._parts) >= MOST_IN_FLIGHT:
            return f"{MOST_IN_FLIGHT} parts wait for their verdicts; trigger more slowly"
        part = self._begin(name, time.monotonic_ns())
        self._awaited.append(part)
        self._leave_behind(None)
        if len(self._awaited) > MOST_TRIGGERED:
            detail = f"{MOST_TRIGGERED} later triggers wait for their frames"
            self._awaited.popleft().finding = Finding(reason=Reason.OVERLOAD, detail=detail)
        return part.seq

    def _begin(self, name: str, captured_ns: int) -> Part:
        deadline_ns = captured_ns + int(self.config.budget_ms * 1e6)
        part = Part(self.books.accept(), name, captured_ns, deadline_ns)
        if self.records is not None:
            self.records.recorder.accept(part.seq)
        self._parts[part.seq] = part
        if self.state is State.SUSPENDED:
            part.finding = Finding(reason=Reason.SUSPENDED, detail=self.cause)
        return part

    def _match(self, passes_over: bool) -> None:
        """Give each triggered part the first frame that was exposed between its trigger and the next; pass over the
        others. Stored pictures, which were never exposed, go to the parts in order.
        """
        while self._pending:
            exposed_ns = self._pending[0].captured_ns
            self._leave_behind(exposed_ns)
            if not self._awaited:
                if passes_over:
                    self._pass_over_all_but(0)
                return
            if exposed_ns is not None and exposed_ns < self._awaited[0].captured_ns:
                self._pass_over()
            else:
                self._show(self._awaited.popleft(), self._pending.popleft())

    def _leave_behind(self, exposed_ns: int | None) -> None:
        """Of the parts that wait for frames, forget those that have their finding, and give up those that the next part
        had followed before this exposure: the frame may show that one.
        """
        while self._awaited:
            part, following = self._awaited[0], self._awaited[1] if len(self._awaited) > 1 else None
            if part.finding is None:
                if exposed_ns is None or following is None or following.captured_ns > exposed_ns:
                    return
                detail = "the next part was triggered before a frame of this one was exposed"
                part.finding = Finding(reason=Reason.OVERLOAD, detail=detail)
            self._awaited.popleft()

    def _show(self, part: Part, capture: Captured) -> None:
        """This is the part's frame; a frame that cannot be judged is its finding."""
        part.capture = capture
        fault = capture.fault or self._wrong_shape(capture)
        if fault is not None and part.finding is None:
            kind, _, detail = fault.partition(": ")
            reason = Reason(kind) if kind in UNKNOWN_REASONS else Reason.CORRUPT
            part.finding = Finding(reason=reason, detail=detail or fault)

    def _wrong_shape(self, capture: Captured) -> str | None:
        shape = self._shape
        if not all(SMALLEST_FRAME <= n <= LARGEST_FRAME for n in (capture.height, capture.width)):
            limits = f"{SMALLEST_FRAME} to {LARGEST_FRAME}"
            return f"corrupt: the frame is {capture.width}×{capture.height}; a side may have {limits} pixels"
        if shape not in (None, (capture.height, capture.width)):
            return f"corrupt: the frame is {capture.width}×{capture.height}, the line began with {shape[1]}×{shape[0]}"
        for region in self.config.regions:
            if region.top + region.height > capture.height or region.left + region.width > capture.width:
                return f"corrupt: the frame is {capture.width}×{capture.height} and does not hold the region {region}"
        seen = [(region.height, region.width) for region in self.config.regions] or [(capture.height, capture.width)]
        refusals = (self.bundle.manifest.letterbox.refusal(*shape) for shape in seen)
        return next((f"corrupt: the frame of {refusal}" for refusal in refusals if refusal), None)

    def _submit(self) -> None:
        """Give the runtime the oldest part that waits for it."""
        if not self.scoring.is_idle:
            return
        for part in self._parts.values():
            c = part.capture
            if part.finding is None and not part.is_submitted and c is not None:
                assert c.slot is not None
                part.is_submitted, self._slots_inferring[part.seq] = True, c.slot
                self.intake.hold(c.slot)
                memory = self.intake.memory(c.slot)
                self.scoring.submit(part.seq, memory, c.height, c.width, part.deadline_ns, c.frames)
                return

    def _publish(self) -> None:
        """Publish what is final, in order of sequence."""
        while self._parts:
            part = next(iter(self._parts.values()))
            if part.finding is None:
                return
            verdict = self._verdict(part)
            del self._parts[part.seq]  # first: a number that was half sent is a gap, never two verdicts
            payload = self.publisher.send(verdict)
            self.books.enter(verdict)
            self.replays.remember(verdict.seq, payload)
            if self.metrics is not None:
                self.metrics.verdict(verdict)
            worst = part.inferred.worst if part.inferred else 0
            if self.records is not None and self.records.enter(verdict, payload, part.capture, self.intake, worst):
                continue  # the archive gives the slot back
            if part.capture is not None:
                self.intake.release(part.capture.slot)

    def _verdict(self, part: Part) -> Verdict:
        loaded = self.scoring.loaded
        return judge(
            part,
            self.bundle.manifest.artifacts[loaded.backend] if loaded else None,
            self.config.budget_ms,
            **self._sender(),
            source=self.config.source_name,
            bundle=self.bundle.label,
            backend=loaded.backend if loaded else None,
        )

    # -------------------------------------------------------------------------------------------------- state

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
        if not self.intake.is_up:
            return State.HELD, f"camera: {self.intake.cause}"
        if self.intake.blind is not None:
            return State.HELD, f"camera: {self.intake.blind}"
        if missing := self.desk.missing():
            return State.SUSPENDED, f"controller: nothing heard from {', '.join(missing)}"
        if not self._listeners_came:
            return State.READY, f"waiting for {self.config.wait_subscribers} subscribers"
        return (State.EXECUTING if self.books.accepted else State.READY), None

    def _beat(self) -> None:
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
            restarts={
                child.name.removeprefix("edge-"): max(0, child.restarts)
                for child in (self.intake.child, self.scoring.child, *([records.archiving.child] if records else []))
            },
            requests=self.desk.counts,
            acknowledgements={Fate(fate): count for fate, count in self.desk.fates.items()},
        )

    def _note(self, line: str) -> None:
        """For the log, and for the record: who was refused, and why."""
        self._say(line)
        if self.records is not None:
            self.records.recorder.event("channel", line)

    def _sender(self) -> dict[str, Any]:
        return {
            "station": self.config.station,
            "epoch": self.epoch,
            "boot": self.boot,
            "simulated": self.is_simulated,
        }
