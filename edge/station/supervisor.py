"""The station: accepts parts, keeps their deadlines, publishes exactly one verdict for each.

This process never touches a pixel and loads neither OpenCV nor a runtime: even if its children hang or crash, it keeps
the deadlines.
"""

import logging
import secrets
import time
from collections.abc import Callable, Collection, Hashable, Iterable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from edge.bundle import Bundle, load_bundle
from edge.bundle.signature import Trust
from edge.channel.channel import Channel
from edge.errors import BundleError, ConfigError
from edge.pictures.contract import PictureContract
from edge.station.acceptance import Acceptance
from edge.station.capture.process import CaptureProcess
from edge.station.challenge import PartChallenge, StoredChallenge
from edge.station.codes.process import CodeReading
from edge.station.config.resolved import StationConfig
from edge.station.control_server import ControlServer, Line
from edge.station.in_flight import PartsInFlight
from edge.station.inference.process import Model
from edge.station.inference.seat import Scoring
from edge.station.inspection import Inspection
from edge.station.observers import Observer
from edge.station.part_counts import Books
from edge.station.parts import Part, judge
from edge.station.previews import Previews
from edge.station.process.messages import Inferred
from edge.station.products import Products
from edge.station.record_keeping import Records
from edge.station.replay import Replays
from edge.station.rollout.promotions import Promotions
from edge.station.rollout.rollout import Rollout
from edge.station.status import ABLE, StationStatus
from edge.station.suspension import KeptSuspension
from edge.station.systemd import Reports, Service
from edge.verdict import State, Verdict

if TYPE_CHECKING:
    from edge.station.metrics import Metrics

log = logging.getLogger("edge.station")

CHILD_PATIENCE_S = 0.5

CODES_PATIENCE_S = 0.2
"""How long the code reader may still look at frames after the last verdict."""

SUSPENSION_PATIENCE_S = 0.5
"""How long the end of a run waits until a person's suspension is on disk."""

SUBSCRIBER_POLL_S = 0.01

AFTER_DECISION_MS = 200.0
"""How long after the last decision of a controller a station whose source has ended announces that it stops."""


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
        trust = Trust.read(config.trust)
        self.promotions = Promotions(config.records)
        configured = load_bundle(config.bundle, trust)
        bundle = self.promotions.restored(config.products[0].name if config.products else None, configured, trust)
        config = replace(config, bundle=bundle.folder)  # links resolved: a later change of a link has no effect
        self.config = config = _with_bits(config, bundle.manifest.picture)
        self.epoch = secrets.token_hex(8)
        self.records: Records | None = None
        self.books = Books()
        self.intake = CaptureProcess(config)
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

                about = (config.station, bundle.label, config.records)
                self.metrics = metrics.Metrics(config.metrics, *about, allow_insecure=allow_insecure, page=page)
                undo.callback(self.metrics.close)
            if config.records is not None:
                self.records = Records(config, self.epoch, bundle.label, self.intake)
            undo.pop_all()
        self.products, bundles = self._products_of(
            config, (configured, bundle), trust, {} if models is None else models
        )
        self.rollout = Rollout(
            config, self.products, self.promotions, bundles, trust, self.intake,
            lambda own, one, note: Inspection(own, one, None, note), self._note_own,
        )  # fmt: skip
        recorder = self.records.recorder if self.records else None
        reads = config.read_code is not None
        self.codes = CodeReading(config, self.epoch, self.intake, recorder) if reads else None
        self.observers: list[Observer] = [self.records] if self.records is not None else []
        self.boot = self.records.boot if self.records else 0
        self.publisher = self.channel.publisher
        self.previews = Previews(self.publisher)
        if self.records is not None:
            self.records.previews = self.previews
        self.in_flight = PartsInFlight(self.products, self.books, self.intake, self.previews, self.records)
        self.acceptance = Acceptance(config, self.intake, self.products, self.in_flight, self.codes, self.publisher)
        self.rollout.connect(self.acceptance, self.in_flight, self.records)
        self.observers.append(self.rollout)
        self.replays = Replays(self.channel.control, self.epoch, recorder)
        self.suspension = KeptSuspension(config.records)
        suspend = self.suspension.begin
        self.part_challenge = PartChallenge(suspend, self._note_own)
        self.observers.append(self.part_challenge)
        self.stored_challenge: StoredChallenge | None = None
        if config.challenge is not None and self.records is not None:
            every_s = config.challenge_minutes * 60
            self.stored_challenge = StoredChallenge(config.challenge, every_s, self.records, suspend, self._note_own)
        self.control_server = ControlServer(
            self.channel.control, self._line(), self.replays, recorder, config.required, self.suspension
        )
        if self.suspension.remark is not None:
            self._note_own(logging.WARNING, self.suspension.remark, "operator")
        self._judged_ns = 0  # when the source had ended and the last part had its verdict
        self._is_opened = False
        self._has_told = False  # since the last full turn: sending on the control socket takes in its signals

    def _products_of(
        self, config: StationConfig, first: tuple[Bundle, Bundle], trust: Trust | None, models: dict[Hashable, Model]
    ) -> tuple[Products, list[Bundle]]:
        """What judges the parts of each product, and the configured bundle of each. `first` are the configured bundle
        of the first product and the one that decides. Raises BundleError, ConfigError.
        """
        inspections, bundles = [], [first[0]]
        for number, product in enumerate(config.products):
            one = first[1]
            if number:
                bundles.append(load_bundle(product.bundle, trust))
                one = self.promotions.restored(product.name, bundles[-1], trust)
            bits = one.manifest.picture and one.manifest.picture.bits
            if bits not in (None, config.bits):
                raise ConfigError(
                    f"product {product.name}: its bundle learned from {bits} bits a sample, the line has "
                    f"{config.bits or 'those of its source'}; products of one line need the same"
                )
            own = replace(config, bundle=one.folder, budget_ms=product.budget_ms)
            inspections.append(Inspection(own, one, models, self._note_own))
        inspections = inspections or [Inspection(config, first[1], models, self._note_own)]
        products = Products(config.products, inspections, self._note_own, self.intake.select_exposure)
        if config.records is not None:
            products.resume(config.records)
        return products, bundles

    @property
    def inspection(self) -> Inspection:
        """What judges the parts that are accepted now."""
        return self.products.current

    @property
    def bundle(self) -> Bundle:
        """Its bundle."""
        return self.inspection.bundle

    @property
    def scoring(self) -> Scoring:
        """Its place at the model."""
        return self.inspection.scoring

    def _line(self) -> Line:
        return Line(
            station=self.config.station,
            epoch=self.epoch,
            boot=self.boot,
            budget_ms=self.config.budget_ms,
            heartbeat=self.status.heartbeat,
            accepted=lambda: self.books.accepted,
            trigger=lambda trigger: self.acceptance.trigger(trigger, self._suspended),
            acknowledged=self.part_challenge.acknowledged,
            products=self.products,
            rollout=self.rollout,
            part_challenge=self.part_challenge,
            stored_challenge=lambda: self.stored_challenge.last if self.stored_challenge else None,
        )

    # ------------------------------------------------------------------------------------- called by the cell

    def answer(self, ready: Collection[int] | None = None) -> bool:
        """First step of a turn, because verdicts wait for it: handle the model's results and publish. In a short turn
        only `ready` descriptors are read, and nobody looks whether the model hangs.

        Raises EdgeError if the bundle cannot be loaded at first.
        """
        for inspection in self.products:
            scoring = inspection.scoring
            try:
                self._settle(inspection, ready)
            except BundleError as error:
                if not self.rollout.fall_back(inspection, str(error)):
                    raise
                continue
            for seq in scoring.take_back():
                if seq > 0:
                    self.in_flight.take_back(seq)
                elif self.stored_challenge is not None:
                    self.stored_challenge.take_back()
        if self.codes is not None:
            self.codes.receive(self.in_flight.parts)
        return self.publish()

    def _settle(self, inspection: Inspection, ready: Collection[int] | None) -> None:
        """Handle the results of a model. Raises BundleError if the bundle cannot be loaded at first."""
        scoring = inspection.scoring
        if ready is not None:
            end = scoring.child.connection
            self._take_results(inspection, scoring.receive(int(end is not None and end.fileno() in ready)))
            return
        self._take_results(inspection, scoring.receive())
        self._take_results(inspection, scoring.supervise())

    def _take_results(self, inspection: Inspection, results: Iterable[Inferred]) -> None:
        for result in results:
            if result.seq > 0:
                self.in_flight.settle(result)
            elif self.stored_challenge is not None:
                self.stored_challenge.settle(result, inspection)

    def take_capture(self) -> None:
        """Take a stored picture, or all live frames that have come, unless enough wait. Raises EdgeError if the source
        cannot be opened.
        """
        if not self.acceptance.has_enough:
            is_live = self.intake.opened is None or self.intake.opened.live
            self.acceptance.pending.extend(self.intake.receive(most=None if is_live else 1))

    def receive(self) -> None:
        """Handle messages of the other children and of controllers. Raises EdgeError if the source cannot be opened."""
        self._has_told = False
        self._receive()
        for inspection in self.products:
            inspection.count_pictures()
        self.rollout.serve()
        self.part_challenge.serve()
        if self.stored_challenge is not None:
            is_quiet = not self.in_flight.parts and not self.acceptance.pending
            if self.status.state in ABLE:
                self.stored_challenge.serve(self.inspection, self.acceptance.shape, is_quiet)
        self.channel.serve()
        self.control_server.serve()

    def submit(self) -> bool:
        """Accept parts, keep their deadlines, and submit a part to the model. True if one was submitted."""
        for part in self.acceptance.accept(self.control_server.missing, self._suspended):
            if part.exposed_ns is not None:
                self._has_told = True
                self.control_server.tell_exposed(part.name, part.seq, part.exposed_ns)
        self.books.dropped = self.acceptance.passed_over + self.intake.dropped
        self.in_flight.expire()
        is_submitted = self.in_flight.submit(self.stored_challenge is None or not self.stored_challenge.wants_model)
        if self.codes is not None:
            self.codes.offer()
        return is_submitted

    @property
    def _suspended(self) -> str | None:
        """Why the station is suspended; None if it is not. A suspension holds before it is announced."""
        if (person := self.control_server.suspended_by) is not None:
            return f"operator: {person}"
        return (self.status.cause or "") if self.status.state is State.SUSPENDED else None

    @property
    def is_finished(self) -> bool:
        """Whether the source has ended, every part has its verdict, and the controllers that are present have decided.

        A gate decides a part at the end of its travel, and rejects it if the station has stopped meanwhile.
        """
        if not self.intake.has_ended or self.acceptance.pending or self.in_flight.parts:
            return False
        now = time.monotonic_ns()
        self._judged_ns = self._judged_ns or now
        decision_ms = self.control_server.decision_ms
        return not decision_ms or now - self._judged_ns > (decision_ms + AFTER_DECISION_MS) * 1e6

    @property
    def is_busy(self) -> bool:
        """Whether a part waits for its verdict."""
        return bool(self.in_flight.parts)

    @property
    def has_results(self) -> bool:
        """Whether a model's results wait for the next turn."""
        return any(one.scoring.has_more for one in self.products)

    @property
    def needs_full_turn(self) -> bool:
        """Whether a short turn has left or begun something that only a full turn handles: a result, a suspension, a
        child that has ended, or a request whose signal was taken in.
        """
        children = (one.scoring.child for one in self.products)
        return (
            self.has_results
            or self._has_told
            or self.control_server.suspended_by is not None
            or not (self.intake.child.is_running or self.intake.has_ended)
            or not all(child.is_running for child in children)
        )

    @property
    def has_more(self) -> bool:
        """Whether there is work for the next turn that no descriptor announces."""
        return self.is_finished or self.control_server.has_more or self.has_results

    @property
    def alarms(self) -> tuple[str, ...]:
        """What is wrong and holds nothing up, as text for users."""
        of_records = self.records.alarms if self.records is not None else ()
        of_codes = self.codes.alarms if self.codes is not None else ()
        of_challenge = self.stored_challenge.alarms if self.stored_challenge is not None else ()
        of_products = self.products.alarms + self.intake.alarms + self.rollout.alarms
        return of_records + self.suspension.alarms + of_products + of_challenge + of_codes

    @property
    def part_fds(self) -> list[int]:
        """Descriptors that become readable when a capture, a result or a code comes."""
        children = [one.scoring.child for one in self.products]
        if not self.acceptance.has_enough:
            children.append(self.intake.child)
        if self.codes is not None:
            children.append(self.codes.child)
        return [c.connection.fileno() for c in children if c.connection]

    @property
    def tended_fds(self) -> list[int]:
        """Descriptors that become readable when another message needs a full turn."""
        children = self.rollout.children
        if self.records is not None:
            children.append(self.records.archiving.child)
        return [*self.channel.fds, *(c.connection.fileno() for c in children if c.connection)]

    @property
    def part_due_in_s(self) -> float:
        """Seconds until the next deadline of a part."""
        due_ns = [part.deadline_ns for part in self.in_flight.parts.values() if part.finding is None]
        return max(0.0, (min(due_ns) - time.monotonic_ns()) / 1e9) if due_ns else float("inf")

    @property
    def due_in_s(self) -> float:
        """Seconds until the next full turn is due; not later than the next heartbeat."""
        waits_s = [(self.status.beat_due_ns - time.monotonic_ns()) / 1e9]
        if not self.intake.child.is_running and not self.intake.has_ended:
            waits_s.append(self.intake.child.due_in_s)
        models = (*(one.scoring.child for one in self.products), *self.rollout.children)
        waits_s += [child.due_in_s for child in models if not child.is_running]
        if self.records is not None:
            waits_s.append(self.records.due_in_s)
        if self.codes is not None:
            waits_s.append(self.codes.due_in_s)
        if not self.acceptance.have_listeners_come:
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
            last.callback(self.products.close)
            last.callback(self.rollout.close)
            if self.stored_challenge is not None:
                last.callback(self.stored_challenge.close)
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
            last.callback(self.products.close)  # before the records, whose folder it writes into
            if self.stored_challenge is not None:
                last.callback(self.stored_challenge.close)
            last.callback(self.channel.close)
            last.callback(self.intake.close, CHILD_PATIENCE_S)
            last.callback(self.rollout.close)  # before the intake: a candidate holds a slot of the ring
            if self.records is not None:
                last.callback(self.records.close_archive)  # before the intake: it still copies frames out of the ring
            if self.codes is not None:
                last.callback(self.codes.close, CODES_PATIENCE_S)
            self.in_flight.stop()
            self.publish()
            self.status.state, self.status.cause = State.STOPPED, cause
            self.service.stopping(cause)
            self.publisher.send(self.status.heartbeat())
            self.status.announce(State.STOPPED, cause)

    # --------------------------------------------------------------------------------------- one turn of the loop

    def _receive(self) -> None:
        """Handle the children's messages; kill and restart children where due."""
        for source in (self.intake.receive, self.intake.supervise):
            self.acceptance.pending.extend(source())
        self.books.dropped = self.acceptance.passed_over + self.intake.dropped
        if self.intake.opened is not None and not self._is_opened:
            self._is_opened = True
            shape = self.acceptance.shape = self.intake.opened.shape
            if self.codes is not None:
                self.codes.check(shape)
            for inspection in self.products:
                inspection.scoring.configure(shape)
            for remark in self.intake.opened.remarks:
                self._note(logging.INFO, remark)
        for inspection in self.products:
            inspection.scoring.test()
        if self.codes is not None:
            self.codes.supervise()
        if self.records is not None:
            self.records.serve()

    def publish(self) -> bool:
        """Publish decided parts in order of sequence. True if any was published: more parts may be accepted then."""
        has_published = False
        while (part := self.in_flight.next_decided) is not None:
            verdict = self._verdict(part)
            del self.in_flight.parts[part.seq]  # first: a failed send leaves a gap, never two verdicts
            has_published, payload = True, self.publisher.send(verdict)
            self.books.enter(verdict)
            self.replays.remember(verdict.seq, payload)
            if self.metrics is not None:
                self.metrics.verdict(verdict)
            part.inspection.judged(part, verdict, payload)
            for observer in self.observers:
                observer.judged(part, verdict, payload)
            if part.capture is not None:
                self.intake.release(part.capture.slot)
        return has_published

    def _verdict(self, part: Part) -> Verdict:
        return judge(part, **self.status.sender(), source=self.config.source_name)

    def _note(self, level: int, line: str, kind: str = "channel") -> None:
        """Write a line to the log and to the record, for example who was refused, and why."""
        log.log(level, "%s", line, extra={"station": self.config.station})
        if self.records is not None:
            self.records.recorder.event(kind, line)

    def _note_own(self, level: int, line: str, kind: str) -> None:
        """Write a line that begins with the station's name."""
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
