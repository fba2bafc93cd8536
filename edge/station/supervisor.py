"""The station: accepts parts, keeps their deadlines, publishes exactly one verdict for each.

This process never touches a pixel and loads neither OpenCV nor a runtime: even if its children hang or crash, it keeps
the deadlines.
"""

import logging
import secrets
import time
from collections import deque
from collections.abc import Callable, Hashable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from math import isfinite
from typing import TYPE_CHECKING

from edge.bundle import load_bundle
from edge.bundle.signature import Trust
from edge.channel.channel import Channel
from edge.letterbox.geometry import LARGEST_FRAME, SMALLEST_FRAME
from edge.pictures.contract import PictureContract
from edge.station.capture.process import CaptureProcess
from edge.station.codes.process import CodeReading
from edge.station.config.resolved import StationConfig
from edge.station.control_server import ControlServer, Line
from edge.station.drift.watch import DriftWatch, line_of
from edge.station.inference.process import Model
from edge.station.inference.seat import Scoring
from edge.station.input_watch import InputWatch
from edge.station.observers import Observer
from edge.station.part_counts import Books
from edge.station.parts import NEVER, Finding, Part, judge
from edge.station.previews import Previews
from edge.station.process.messages import Captured, Inferred
from edge.station.record_keeping import Records
from edge.station.replay import Replays
from edge.station.status import StationStatus
from edge.station.suspension import KeptSuspension
from edge.station.systemd import Reports, Service
from edge.station.triggers import Triggers
from edge.text import counted
from edge.verdict import Fault, Fields, Reason, State, Verdict

if TYPE_CHECKING:
    from edge.station.metrics import Metrics

log = logging.getLogger("edge.station")

CHILD_PATIENCE_S = 0.5

CODES_PATIENCE_S = 0.2
SUSPENSION_PATIENCE_S = 0.5
"""How long the code reader may still look at frames after the last verdict."""

SUBSCRIBER_POLL_S = 0.01

AFTER_DECISION_MS = 200.0
"""How long after the last decision of a controller a station whose source has ended announces that it stops."""

MOST_IN_FLIGHT = 1000
"""Limit of parts without a verdict; further triggers are refused, so that a flood of them cannot delay verdicts."""


class Station:
    """One camera, one bundle, one verdict channel; `edge.station.cell` runs one or several."""

    def __init__(
        self,
        config: StationConfig,
        progress: Callable[["Station"], None],
        allow_insecure: bool = False,
        models: dict[Hashable, Model] | None = None,
        service: Reports | None = None,
        page: "Metrics | None" = None,
    ) -> None:
        """Check the bundle, bind the sockets, open the records. Raises BundleError, KeyFileError, ChannelError,
        RecordsError.

        `progress` is called with the station at each heartbeat. `models` are the models of the cell: the station shares
        a matching one or adds its own. `service` reports to systemd. `page` is the metrics page of another station on
        which this station's metrics are shown too.
        """
        self.bundle = load_bundle(config.bundle, Trust.read(config.trust))
        config = replace(config, bundle=self.bundle.folder)  # links resolved: a later change of a link has no effect
        self.config = config = _with_bits(config, self.bundle.manifest.picture)
        self.epoch = secrets.token_hex(8)
        self.records: Records | None = None
        self.books = Books()
        self.intake = CaptureProcess(config)
        self.triggers = Triggers(self.intake)
        self.status = StationStatus(self, progress)
        self.service = service or Service()
        with ExitStack() as undo:
            self.channel = Channel(
                config.station,
                config.bind,
                config.control,
                config.viewers,
                config.keys,
                allow_insecure,
                partial(self._note, logging.WARNING),
                partial(self._note, logging.INFO),
            )
            undo.callback(self.channel.close)
            self.metrics: Metrics | None = None
            if config.metrics is not None:
                from edge.station import metrics  # takes a tenth of a second, so only on request

                about = (config.station, self.bundle.label, config.records)
                self.metrics = metrics.Metrics(config.metrics, *about, allow_insecure=allow_insecure, page=page)
                undo.callback(self.metrics.close)
            if config.records is not None:
                self.records = Records(config, self.epoch, self.bundle.label, self.intake)
            undo.pop_all()
        key, models = Model.key(config, self.bundle.digest), {} if models is None else models
        self.scoring = Scoring(config, models.setdefault(key, Model(config, self.bundle.digest)))
        recorder = self.records.recorder if self.records else None
        reads = config.read_code is not None
        self.codes = CodeReading(config, self.epoch, self.intake, recorder) if reads else None
        statistics = self.bundle.manifest.input_statistics
        self.input_watch = None if statistics is None else InputWatch(statistics, self._note_input)
        self.drift_watch = self._drift_watch()
        self.observers: list[Observer] = [one for one in (self.records, self.drift_watch) if one is not None]
        self.boot = self.records.boot if self.records else 0
        self.publisher = self.channel.publisher
        self.previews = Previews(self.publisher)
        if self.records is not None:
            self.records.previews = self.previews
        self.replays = Replays(self.channel.control, self.epoch, recorder)
        self.suspension = KeptSuspension(config.records)
        self.control_server = ControlServer(
            self.channel.control, self._line(), self.replays, recorder, config.required, self.suspension
        )
        if self.suspension.remark is not None:
            self._note_input(logging.WARNING, self.suspension.remark, "operator")
        self.pending: deque[Captured] = deque()
        self._parts: dict[int, Part] = {}
        self._slots_inferring: dict[int, int] = {}  # by seq; held until the runtime is done with the frame
        self._passed_over = 0
        self._judged_ns = 0  # when the source had ended and the last part had its verdict
        self._is_opened = False
        self._shape: tuple[int, int] | None = None  # (height, width) of every frame, as first opened
        self._subscribers_came = config.wait_subscribers == 0
        self.listeners_came = self._subscribers_came and not config.required

    def _line(self) -> Line:
        return Line(
            station=self.config.station,
            epoch=self.epoch,
            boot=self.boot,
            budget_ms=self.config.budget_ms,
            heartbeat=self.status.heartbeat,
            accepted=lambda: self.books.accepted,
            trigger=self._trigger,
        )

    def _drift_watch(self) -> DriftWatch | None:
        """The watch on drift; None if its reference has no length."""
        config = self.config
        if not config.drift_hours:
            return None
        note = partial(self._note_input, kind="drift")
        return DriftWatch(line_of(config, self.bundle), config.drift_hours, config.records, note, self.bundle.manifest)

    # ------------------------------------------------------------------------------------- called by the cell

    def answer(self) -> bool:
        """First step of a turn, because verdicts wait for it: handle the model's results and publish.

        Raises EdgeError if the bundle cannot be loaded at first.
        """
        for results in (self.scoring.receive, self.scoring.supervise):
            for result in results():
                self._settle(result)
        for seq in self.scoring.take_back():
            self._take_back(seq)
        if self.codes is not None:
            self.codes.receive(self._parts)
        return self.publish()

    def receive(self) -> None:
        """Handle messages of the other children and of controllers. Raises EdgeError if the source cannot be opened."""
        self._receive()
        while self.scoring.measured:
            measured = self.scoring.measured.popleft()
            if self.input_watch is not None:
                self.input_watch.add(measured)
        while self.scoring.summed:
            summed = self.scoring.summed.popleft()
            if self.drift_watch is not None:
                self.drift_watch.add(summed)
        self.channel.serve()
        self.control_server.serve()

    def submit(self) -> bool:
        """Accept parts, keep their deadlines, and submit a part to the model. True if one was submitted."""
        self._accept()
        self._expire()
        is_submitted = self._submit()
        if self.codes is not None:
            self.codes.offer()
        return is_submitted

    @property
    def is_finished(self) -> bool:
        """Whether the source has ended, every part has its verdict, and the controllers that are present have decided.

        A gate decides a part at the end of its travel, and rejects it if the station has stopped meanwhile.
        """
        if not self.intake.has_ended or self.pending or self._parts:
            return False
        now = time.monotonic_ns()
        self._judged_ns = self._judged_ns or now
        decision_ms = self.control_server.decision_ms
        return not decision_ms or now - self._judged_ns > (decision_ms + AFTER_DECISION_MS) * 1e6

    @property
    def is_busy(self) -> bool:
        """Whether a part waits for its verdict."""
        return bool(self._parts)

    @property
    def has_more(self) -> bool:
        """Whether there is work for the next turn that no descriptor announces."""
        return self.is_finished or self.control_server.has_more or bool(self.scoring.results or self.scoring.given_back)

    @property
    def alarms(self) -> tuple[str, ...]:
        """What is wrong and holds nothing up, as text for users."""
        of_records = self.records.alarms if self.records is not None else ()
        watches = (self.input_watch, self.drift_watch, self.codes)
        return (
            of_records
            + self.suspension.alarms
            + tuple(alarm for watch in watches if watch is not None for alarm in watch.alarms)
        )

    @property
    def fds(self) -> list[int]:
        """Descriptors that become readable when a message of a child or a controller needs a turn."""
        children = [self.scoring.child]
        if not self._has_enough:
            children.append(self.intake.child)
        if self.records is not None:
            children.append(self.records.archiving.child)
        if self.codes is not None:
            children.append(self.codes.child)
        return [*self.channel.fds, *(c.connection.fileno() for c in children if c.connection)]

    @property
    def _has_enough(self) -> bool:
        """Whether a part is judged while stored pictures wait: further captures need no turn before its verdict."""
        opened = self.intake.opened
        return bool(self._parts and self.pending) and opened is not None and not opened.live

    @property
    def due_in_s(self) -> float:
        """Seconds until the next deadline of the loop."""
        due_ns = [part.deadline_ns for part in self._parts.values() if part.finding is None]
        waits_s = [(min([self.status.beat_due_ns, *due_ns]) - time.monotonic_ns()) / 1e9]
        if not self.intake.child.is_running and not self.intake.has_ended:
            waits_s.append(self.intake.child.due_in_s)
        if not self.scoring.child.is_running:
            waits_s.append(self.scoring.child.due_in_s)
        if self.records is not None:
            waits_s.append(self.records.due_in_s)
        if self.codes is not None:
            waits_s.append(self.codes.due_in_s)
        if not self.listeners_came:
            waits_s.append(SUBSCRIBER_POLL_S)
        waits_s.append(self.channel.control.due_in_s)
        return max(0.0, min(waits_s))

    def discard(self) -> None:
        """Release the resources of a station that never ran."""
        with ExitStack() as last:
            if self.metrics is not None:
                last.callback(self.metrics.close)
            if self.records is not None:
                last.callback(self.records.close, "never ran", self.books)
            if self.drift_watch is not None:
                last.callback(self.drift_watch.close)
            last.callback(self.channel.close)

    def shut_down(self, cause: str) -> None:
        """Answer the parts in flight, announce the end, and release everything, within two seconds. The cell removes
        the station from its model before, and closes the model.
        """
        with ExitStack() as last:  # callbacks run in reverse order, each even if others fail
            last.callback(self.status.progress, self)
            if self.metrics is not None:
                last.callback(self.metrics.close)
            last.callback(self.service.close)
            if self.records is not None:
                last.callback(self.records.close, cause, self.books)
            last.callback(self.suspension.close, SUSPENSION_PATIENCE_S)
            if self.drift_watch is not None:
                last.callback(self.drift_watch.close)  # before the records, whose folder it writes into
            last.callback(self.channel.close)
            last.callback(self.intake.close, CHILD_PATIENCE_S)
            if self.records is not None:
                last.callback(self.records.close_archive)  # before the intake: it still copies frames out of the ring
            if self.codes is not None:
                last.callback(self.codes.close, CODES_PATIENCE_S)
            for part in self._parts.values():
                part.finding = part.finding or Finding(reason=Reason.STOPPED, detail="the station was stopped")
            self.publish()
            self.status.state, self.status.cause = State.STOPPED, cause
            self.service.stopping(cause)
            self.publisher.send(self.status.heartbeat())
            self.status.announce(State.STOPPED, cause)

    # --------------------------------------------------------------------------------------- one turn of the loop

    def _receive(self) -> None:
        """Handle the children's messages; kill and restart children where due."""
        for source in (self.intake.receive, self.intake.supervise):
            self.pending.extend(source())
        self.books.dropped = self._passed_over + self.intake.dropped
        if self.intake.opened is not None and not self._is_opened:
            self._is_opened = True
            self._shape = self.intake.opened.shape
            if self.codes is not None:
                self.codes.check(self._shape)
            self.scoring.configure(self._shape)
            for remark in self.intake.opened.remarks:
                self._note(logging.INFO, remark)
        self.scoring.test()
        if self.codes is not None:
            self.codes.supervise()
        if self.records is not None:
            self.records.serve()

    def _settle(self, result: Inferred) -> None:
        """Handle the model's result for a frame; if its part already has a verdict, the result is only counted."""
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
        for waiting in self._parts.values():
            if waiting.deadline_ns == NEVER and waiting.is_submitted:
                self._start_clock(waiting, result.end_ns)
                self.scoring.postpone(waiting.seq, waiting.deadline_ns)

    def _start_clock(self, part: Part, now_ns: int) -> None:
        """Start the clock of a stored picture when the model starts on it."""
        part.captured_ns, part.deadline_ns = now_ns, now_ns + int(self.config.budget_ms * 1e6)

    def _take_back(self, seq: int) -> None:
        """Return a frame that a lost model had not started: it is submitted again to the next one."""
        self.intake.release(self._slots_inferring.pop(seq))
        if (part := self._parts.get(seq)) is not None:
            part.is_submitted = False
            if self._is_stored(part):
                part.deadline_ns = NEVER

    def _is_stored(self, part: Part) -> bool:
        """Whether the part is a stored picture, whose clock starts only when the model starts on it."""
        return self.config.trigger != "external" and part.capture is not None and part.capture.captured_ns is None

    def _expire(self) -> None:
        """Decide parts whose budget is over as unknown, whatever comes later."""
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
        """Make parts of pending frames according to the policy; each part is then owed a verdict.

        The source begins when the station is ready for the first time; earlier frames of a free-running camera are
        dropped.
        """
        opened = self.intake.opened
        if opened is None:
            return
        may_begin = self._have_listeners_come() and self.scoring.loaded is not None
        if may_begin:
            self.intake.begin()
        if self.config.trigger == "external":
            self._match(opened.live)
            return
        if opened.policy == "latest" or (opened.live and not may_begin):
            while len(self.pending) > (1 if may_begin else 0):
                self._pass_over(self.pending.popleft())
        if not may_begin or not self.pending or (self.status.state is State.SUSPENDED and not opened.live):
            return
        if opened.live and opened.policy == "every":
            while self.pending:
                self._enter(self.pending.popleft())
        elif self.scoring.is_idle and not self._parts:
            self._enter(self.pending.popleft())
        elif not opened.live and self.scoring.takes_ahead and len(self._parts) == 1:
            self._enter(self.pending.popleft(), ahead=True)

    def _have_listeners_come(self) -> bool:
        """Whether the awaited subscribers and the required controllers have been present."""
        if not self.listeners_came:
            self.listeners_came = self._have_subscribers_come() and not self.control_server.missing()
        return self.listeners_came

    def _have_subscribers_come(self) -> bool:
        """Whether the awaited number of subscribers has been present at once."""
        if not self._subscribers_came:
            self._subscribers_came = self.publisher.subscribers() >= self.config.wait_subscribers
        return self._subscribers_came

    def _pass_over(self, capture: Captured) -> None:
        """Drop a frame that belongs to no part."""
        self.intake.release(capture.slot)
        self._passed_over += 1
        self.books.dropped = self._passed_over + self.intake.dropped

    def _enter(self, capture: Captured, ahead: bool = False) -> None:
        """Begin a part with its frame; with `ahead` its clock stands while the model is busy with the previous part."""
        now = time.monotonic_ns()
        captured_ns = now if capture.captured_ns is None else min(capture.captured_ns, now)
        part = self._begin(capture.name, captured_ns)
        if ahead:
            part.deadline_ns = NEVER
        self._show(part, capture)

    def _trigger(self, name: str, fields: Fields | None = None) -> int | str:
        """Begin a part with its trigger; its frame comes later. Returns its number, or why the trigger is refused."""
        if self.config.trigger != "external":
            return "this station makes parts of frames, not of triggers; start it with --trigger external"
        if not self._have_subscribers_come():
            return f"this station waits for {counted(self.config.wait_subscribers, 'subscriber')}"
        if len(self._parts) >= MOST_IN_FLIGHT:
            return f"{MOST_IN_FLIGHT} parts wait for their verdicts; trigger more slowly"
        part = self._begin(name, time.monotonic_ns())
        part.fields = fields
        self.triggers.add(part)
        return part.seq

    def _match(self, is_live: bool) -> None:
        """Assign frames to the triggered parts; if the camera is lost, give up the waiting parts."""
        for part, capture in self.triggers.match(self.pending, passes_over=is_live):
            if part is None:
                self._pass_over(capture)
            else:
                self._show(part, capture)
                if part.exposed_ns is not None:
                    self.control_server.tell_exposed(part.name, part.seq, part.exposed_ns)
        if is_live and (not self.intake.is_up or self.intake.is_resuming):
            self.triggers.give_up(self.intake.cause)

    def _begin(self, name: str, captured_ns: int) -> Part:
        deadline_ns = captured_ns + int(self.config.budget_ms * 1e6)
        part = Part(self.books.accept(), name, captured_ns, deadline_ns)
        if self.records is not None:
            self.records.recorder.accept(part.seq)
        self._parts[part.seq] = part
        if self.status.state is State.SUSPENDED:
            part.finding = Finding(reason=Reason.SUSPENDED, detail=self.status.cause)
        return part

    def _show(self, part: Part, capture: Captured) -> None:
        """Assign a frame to its part; a frame that cannot be judged decides the part."""
        part.capture = capture
        fault = capture.fault or self._wrong_shape(capture)
        if fault is not None and part.finding is None:
            part.finding = Finding(reason=fault.reason, detail=fault.detail)
        if self.codes is not None:
            self.codes.show(part)

    def _wrong_shape(self, capture: Captured) -> Fault | None:
        shape = self._shape
        if not all(SMALLEST_FRAME <= n <= LARGEST_FRAME for n in (capture.height, capture.width)):
            limits = f"{SMALLEST_FRAME} to {LARGEST_FRAME}"
            return Fault(
                Reason.CORRUPT, f"the frame is {capture.width}×{capture.height}; a side may have {limits} pixels"
            )
        if shape not in (None, (capture.height, capture.width)):
            return Fault(
                Reason.CORRUPT,
                f"the frame is {capture.width}×{capture.height}, the line began with {shape[1]}×{shape[0]}",
            )
        for region in self.config.regions:
            if region.top + region.height > capture.height or region.left + region.width > capture.width:
                return Fault(
                    Reason.CORRUPT,
                    f"the frame is {capture.width}×{capture.height} and does not hold the region {region}",
                )
        seen = [(region.height, region.width) for region in self.config.regions] or [(capture.height, capture.width)]
        refusals = (self.bundle.manifest.letterbox.refusal(*shape) for shape in seen)
        return next((Fault(Reason.CORRUPT, f"the frame of {refusal}") for refusal in refusals if refusal), None)

    def _submit(self) -> bool:
        """Submit the oldest waiting part to the runtime; returns whether there was one. A live frame is submitted when
        the previous one is done, a stored one ahead of that.
        """
        is_idle = self.scoring.is_idle
        if not (is_idle or self.scoring.takes_ahead):
            return False
        for part in self._parts.values():
            c = part.capture
            if part.finding is None and not part.is_submitted and c is not None:
                assert c.slot is not None
                if not is_idle and part.deadline_ns != NEVER:
                    return False
                if is_idle and part.deadline_ns == NEVER:
                    self._start_clock(part, time.monotonic_ns())
                part.is_submitted, self._slots_inferring[part.seq] = True, c.slot
                self.intake.hold(c.slot)
                memory = self.intake.memory(c.slot)
                keeps_map = self.records is not None
                maps = keeps_map and self.previews.are_due, keeps_map
                self.scoring.submit(part.seq, memory, c.height, c.width, part.deadline_ns, c.frames, *maps)
                return True
        return False

    def publish(self) -> bool:
        """Publish decided parts in order of sequence. True if any was published: more parts may be accepted then."""
        before = self.books.published
        while self._parts:
            part = next(iter(self._parts.values()))
            if part.finding is None:
                break
            verdict = self._verdict(part)
            del self._parts[part.seq]  # first: a failed send leaves a gap, never two verdicts
            payload = self.publisher.send(verdict)
            self.books.enter(verdict)
            self.replays.remember(verdict.seq, payload)
            if self.metrics is not None:
                self.metrics.verdict(verdict)
            for observer in self.observers:
                observer.judged(part, verdict, payload)
            if part.capture is not None:
                self.intake.release(part.capture.slot)
        return self.books.published > before

    def _verdict(self, part: Part) -> Verdict:
        loaded = self.scoring.loaded
        return judge(
            part,
            self.bundle.manifest.artifacts[loaded.backend] if loaded else None,
            self.config.budget_ms,
            **self.status.sender(),
            source=self.config.source_name,
            bundle=self.bundle.label,
            backend=loaded.backend if loaded else None,
        )

    def _note(self, level: int, line: str, kind: str = "channel") -> None:
        """Write a line to the log and to the record, for example who was refused, and why."""
        log.log(level, "%s", line, extra={"station": self.config.station})
        if self.records is not None:
            self.records.recorder.event(kind, line)

    def _note_input(self, level: int, line: str, kind: str = "input") -> None:
        self._note(level, f"{self.config.station}: {line}", kind)


def _with_bits(config: StationConfig, learned: PictureContract | None) -> StationConfig:
    """The configuration with the bundle's bits per sample, unless the user set others, which is logged."""
    if learned is None or learned.bits is None or learned.bits == config.bits:
        return config
    if config.bits is None:
        return replace(config, bits=learned.bits)
    log.warning(
        "stored pictures are read as %d bits a sample, as told; the bundle learned from %d",
        config.bits,
        learned.bits,
        extra={"station": config.station},
    )
    return config
