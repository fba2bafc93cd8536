"""Which frames and triggers become parts, and when."""

import time
from collections import deque
from collections.abc import Callable

from edge.channel.control_messages import Trigger
from edge.channel.publisher import Publisher
from edge.letterbox.geometry import LARGEST_FRAME, SMALLEST_FRAME
from edge.station.capture.envelope import Envelope
from edge.station.capture.process import CaptureProcess
from edge.station.codes.process import CodeReading
from edge.station.config.resolved import StationConfig
from edge.station.in_flight import MOST_IN_FLIGHT, PartsInFlight
from edge.station.parts import NEVER, Finding, Part
from edge.station.process.messages import Captured
from edge.station.products import Products
from edge.station.triggers import Triggers
from edge.text import counted
from edge.verdict import Fault, Reason


class Acceptance:
    """Makes parts of captured frames and of triggers. Each part is then owed a verdict; a frame that belongs to no part
    is dropped and counted.
    """

    def __init__(
        self,
        config: StationConfig,
        intake: CaptureProcess,
        products: Products,
        in_flight: PartsInFlight,
        codes: CodeReading | None,
        publisher: Publisher,
    ) -> None:
        """Nothing was captured yet."""
        self.config = config
        self.pending: deque[Captured] = deque()
        """Frames that are not accepted yet."""
        self.passed_over = 0
        """Frames that belong to no part."""
        self.shape: tuple[int, int] | None = None
        """(height, width) of every frame, as the source said when it was first opened."""
        self.have_listeners_come = config.wait_subscribers == 0 and not config.required
        """Whether the awaited subscribers and the required controllers have been present."""
        self._have_subscribers_come = config.wait_subscribers == 0
        self._intake, self._products, self._in_flight = intake, products, in_flight
        self._envelopes: dict[str | None, Envelope] = {
            product.name: Envelope.read(product.envelope) for product in config.products if product.envelope
        }
        self._exposures = {product.name: product.exposure for product in config.products if product.exposure}
        self._codes, self._publisher = codes, publisher
        self._triggers = Triggers(intake)

    @property
    def has_enough(self) -> bool:
        """Whether a part is judged while stored pictures wait, here or at the model: further captures need no turn
        before its verdict.
        """
        if self.config.trigger == "external":
            return False  # a part in flight may wait for its frame
        opened, flying = self._intake.opened, len(self._in_flight)
        return flying > 0 and (flying > 1 or bool(self.pending)) and opened is not None and not opened.live

    def accept(self, missing: Callable[[], list[str]], suspended: str | None) -> list[Part]:
        """Make parts of pending frames according to the policy. Returns the triggered parts that got their frames.

        The source begins when the station is ready for the first time; earlier frames of a free-running camera are
        dropped. `missing` gives the required controllers that are silent; `suspended` is why the station is suspended.
        """
        opened, scoring = self._intake.opened, self._products.current.scoring
        if opened is None:
            return []
        may_begin = self._await_listeners(missing) and self._products.are_loaded
        if may_begin:
            self._intake.begin()
        if self.config.trigger == "external":
            return self._match(opened.live)
        if opened.policy == "latest" or (opened.live and not may_begin):
            while len(self.pending) > (1 if may_begin else 0):
                self._pass_over(self.pending.popleft())
        if not may_begin or not self.pending or (suspended is not None and not opened.live):
            return []
        if opened.live and opened.policy == "every":
            while self.pending:
                self._enter(self.pending.popleft(), suspended)
        elif scoring.is_idle and not self._in_flight.parts:
            self._enter(self.pending.popleft(), suspended)
        elif not opened.live and scoring.takes_ahead and len(self._in_flight) == 1:
            self._enter(self.pending.popleft(), suspended, ahead=True)
        return []

    def trigger(self, trigger: Trigger, suspended: str | None) -> int | str:
        """Begin a part with its trigger; its frame comes later. Returns its number, or why the trigger is refused.

        A part of another product than the current one is unknown.
        """
        if self.config.trigger != "external":
            return "this station makes parts of frames, not of triggers; start it with --trigger external"
        if not self._await_subscribers():
            return f"this station waits for {counted(self.config.wait_subscribers, 'subscriber')}"
        if len(self._in_flight) >= MOST_IN_FLIGHT:
            return f"{MOST_IN_FLIGHT} parts wait for their verdicts; trigger more slowly"
        part = self._in_flight.begin(trigger.part, time.monotonic_ns(), _finding(suspended))
        part.fields = trigger.fields
        if part.finding is None and not self._is_for_current(trigger):
            wanted = trigger.product if trigger.product is not None else f"number {trigger.product_number}"
            detail = f"the trigger is for product {wanted}, current is {part.product or 'none'}"
            part.finding = Finding(reason=Reason.PRODUCT, detail=detail)
        self._triggers.add(part)
        return part.seq

    def _is_for_current(self, trigger: Trigger) -> bool:
        named, numbered = trigger.product, trigger.product_number
        return named in (None, self._products.name) and numbered in (None, self._products.number)

    def _await_listeners(self, missing: Callable[[], list[str]]) -> bool:
        if not self.have_listeners_come:
            self.have_listeners_come = self._await_subscribers() and not missing()
        return self.have_listeners_come

    def _await_subscribers(self) -> bool:
        """Whether the awaited number of subscribers has been present at once."""
        if not self._have_subscribers_come:
            self._have_subscribers_come = self._publisher.subscribers() >= self.config.wait_subscribers
        return self._have_subscribers_come

    def _pass_over(self, capture: Captured) -> None:
        """Drop a frame that belongs to no part."""
        self._intake.release(capture.slot)
        self.passed_over += 1

    def _enter(self, capture: Captured, suspended: str | None, ahead: bool = False) -> None:
        """Begin a part with its frame; with `ahead` its clock stands while the model is busy with the previous part."""
        now = time.monotonic_ns()
        captured_ns = now if capture.captured_ns is None else min(capture.captured_ns, now)
        part = self._in_flight.begin(capture.name, captured_ns, _finding(suspended))
        if ahead:
            part.deadline_ns = NEVER
        self._show(part, capture)

    def _match(self, is_live: bool) -> list[Part]:
        """Assign frames to the triggered parts; if the camera is lost, give up the waiting parts."""
        shown = []
        for part, capture in self._triggers.match(self.pending, passes_over=is_live):
            if part is None:
                self._pass_over(capture)
            else:
                self._show(part, capture)
                shown.append(part)
        if is_live and (not self._intake.is_up or self._intake.is_resuming):
            self._triggers.give_up(self._intake.cause)
        return shown

    def _show(self, part: Part, capture: Captured) -> None:
        """Assign a frame to its part; a frame that cannot be judged decides the part."""
        part.capture = capture
        fault = (
            capture.fault
            or self._wrong_shape(part, capture)
            or self._exposed_otherwise(part, capture)
            or self._outside(part, capture)
        )
        if fault is not None and part.finding is None:
            part.finding = Finding(reason=fault.reason, detail=fault.detail)
        if self._codes is not None:
            self._codes.show(part)

    def _exposed_otherwise(self, part: Part, capture: Captured) -> Fault | None:
        """That the camera may not have exposed the frame as the part's product needs it."""
        needed = self._exposures.get(part.product or "")
        if needed is None or self._intake.exposure_at(capture.captured_ns or capture.in_ring_ns) == needed:
            return None
        return Fault(Reason.PRODUCT, f"the camera did not expose for product {part.product} yet")

    def _outside(self, part: Part, capture: Captured) -> Fault | None:
        """Why a live frame is outside the envelope of the part's product."""
        envelope = self._envelopes.get(part.product)
        return None if envelope is None or capture.seen is None else envelope.fault(*capture.seen)

    def _wrong_shape(self, part: Part, capture: Captured) -> Fault | None:
        height, width = shape = capture.height, capture.width
        if not all(SMALLEST_FRAME <= n <= LARGEST_FRAME for n in shape):
            limits = f"{SMALLEST_FRAME} to {LARGEST_FRAME}"
            return Fault(Reason.CORRUPT, f"the frame is {width}×{height}; a side may have {limits} pixels")
        if self.shape not in (None, shape):
            began = f"the line began with {self.shape[1]}×{self.shape[0]}"
            return Fault(Reason.CORRUPT, f"the frame is {width}×{height}, {began}")
        for region in self.config.regions:
            if region.bottom > height or region.right > width:
                return Fault(Reason.CORRUPT, f"the frame is {width}×{height} and does not hold the region {region}")
        seen = [(region.height, region.width) for region in self.config.regions] or [shape]
        refusals = (part.inspection.bundle.manifest.letterbox.refusal(*one) for one in seen)
        return next((Fault(Reason.CORRUPT, f"the frame of {refusal}") for refusal in refusals if refusal), None)


def _finding(suspended: str | None) -> Finding | None:
    """What decides a part at once while the station is suspended for this reason."""
    return None if suspended is None else Finding(reason=Reason.SUSPENDED, detail=suspended)
