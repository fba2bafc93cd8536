"""The parts in flight: their frames' way to the model, their deadlines, and what the model says of them."""

import time
from math import isfinite
from typing import TYPE_CHECKING

from edge.station.capture.process import CaptureProcess
from edge.station.part_counts import Books
from edge.station.parts import NEVER, Finding, Part
from edge.station.previews import Previews
from edge.station.process.messages import Inferred
from edge.station.products import Products
from edge.verdict import Reason

if TYPE_CHECKING:
    from edge.station.inspection import Inspection
    from edge.station.record_keeping import Records

MOST_IN_FLIGHT = 1000
"""Limit of parts without a verdict; further triggers are refused, so that a flood of them cannot delay verdicts."""


class PartsInFlight:
    """The accepted parts without a verdict, by sequence number in order. Each gets exactly one finding: from the model,
    from its frame, or from its deadline.
    """

    def __init__(
        self,
        products: Products,
        books: Books,
        intake: CaptureProcess,
        previews: Previews,
        records: "Records | None",
    ) -> None:
        """No part was accepted yet."""
        self.parts: dict[int, Part] = {}
        self._products = products
        self._books, self._intake = books, intake
        self._previews, self._records = previews, records
        self._slots_inferring: dict[int, int] = {}  # by seq; held until the runtime is done with the frame

    def __len__(self) -> int:
        return len(self.parts)

    def begin(self, name: str, captured_ns: int, finding: Finding | None = None) -> Part:
        """Accept a part; its clock starts at `captured_ns`. With a `finding` it is decided already."""
        inspection, product = self._products.at(captured_ns)
        deadline_ns = captured_ns + int(inspection.config.budget_ms * 1e6)
        part = Part(self._books.accept(), name, captured_ns, deadline_ns, inspection, finding=finding, product=product)
        if self._records is not None:
            self._records.accept(part.seq)
        self.parts[part.seq] = part
        return part

    def settle(self, result: Inferred) -> None:
        """Handle the model's result for a frame; if its part already has a verdict, the result is only counted."""
        self._intake.release(self._slots_inferring.pop(result.seq))
        part = self.parts.get(result.seq)
        if part is None or part.finding is not None:
            self._books.late_results += 1
            if self._records is not None:
                self._records.late_result(result)
        elif result.fault is not None:
            part.finding = Finding(reason=Reason.BACKEND, detail=result.fault)
        elif not isfinite(result.score):
            part.finding = Finding(reason=Reason.BACKEND, detail=f"the model's score is {result.score}")
        else:
            part.finding, part.inferred = Finding(score=result.score), result
        for waiting in self.parts.values():
            if waiting.deadline_ns == NEVER and waiting.is_submitted:
                self._start_clock(waiting, result.end_ns)
                waiting.inspection.scoring.postpone(waiting.seq, waiting.deadline_ns)

    def take_back(self, seq: int) -> None:
        """Return a frame that a lost model had not started: it is submitted again to the next one."""
        self._intake.release(self._slots_inferring.pop(seq))
        if (part := self.parts.get(seq)) is not None:
            part.is_submitted = False
            if self._is_stored(part):
                part.deadline_ns = NEVER

    def expire(self) -> None:
        """Decide parts whose budget is over as unknown, whatever comes later."""
        now = time.monotonic_ns()
        for part in self.parts.values():
            if part.finding is None and now >= part.deadline_ns:
                if part.capture is None:
                    part.finding = Finding(reason=Reason.CAMERA, detail="no frame came for the trigger")
                elif part.is_submitted:
                    part.finding = Finding(reason=Reason.LATE, detail="no result within the budget")
                elif part.inspection.scoring.is_up:
                    part.finding = Finding(reason=Reason.LATE, detail="the model had no time for it within the budget")
                else:
                    part.finding = Finding(reason=Reason.BACKEND, detail=part.inspection.scoring.cause)

    def submit(self, may_go_ahead: bool = True) -> bool:
        """Submit a waiting part to its model; returns whether there was one. With `may_go_ahead` one part may wait in
        the inference process while that is busy with the part before, and need not wait for this process then.

        The oldest part that can have its result in time is submitted. If none can, the youngest is tried as soon as the
        model is idle: how long an inference takes is an estimate. Frames of other stations are not counted.
        """
        hopeless, now = None, time.monotonic_ns()
        for part in self.parts.values():
            if part.finding is None and not part.is_submitted and part.capture is not None:
                scoring = part.inspection.scoring
                if not scoring.is_up:
                    continue  # a later part may have another model, after a changeover
                is_idle = scoring.is_idle
                if not (is_idle or (may_go_ahead and scoring.takes_ahead)):
                    break
                if part.deadline_ns - now >= scoring.result_due_in_ns(now):
                    self._submit(part)
                    return True
                hopeless = part if is_idle else hopeless
        if hopeless is None:
            return False
        self._submit(hopeless)
        return True

    def _submit(self, part: Part) -> None:
        c, scoring = part.capture, part.inspection.scoring
        assert c is not None
        assert c.slot is not None
        if scoring.is_idle and part.deadline_ns == NEVER:
            self._start_clock(part, time.monotonic_ns())
        part.is_submitted, self._slots_inferring[part.seq] = True, c.slot
        self._intake.hold(c.slot)
        memory = self._intake.memory(c.slot)
        keeps_map = self._records is not None
        maps = keeps_map and self._previews.are_due, keeps_map
        scoring.submit(part.seq, memory, c.height, c.width, part.deadline_ns, c.frames, *maps)

    def move(self, before: "Inspection", to: "Inspection") -> None:
        """Let stored pictures that no model has started be judged by another inspection: they were waiting, and their
        clocks stand.
        """
        for part in self.parts.values():
            if part.inspection is before and not part.is_submitted and part.deadline_ns == NEVER:
                part.inspection = to

    def stop(self) -> None:
        """Decide all parts: the station is stopped."""
        for part in self.parts.values():
            part.finding = part.finding or Finding(reason=Reason.STOPPED, detail="the station was stopped")

    @property
    def next_decided(self) -> Part | None:
        """The oldest part if it is decided: verdicts are published in order."""
        part = next(iter(self.parts.values()), None)
        return part if part is not None and part.finding is not None else None

    def _start_clock(self, part: Part, now_ns: int) -> None:
        """Start the clock of a stored picture when the model starts on it."""
        part.captured_ns = now_ns
        part.deadline_ns = now_ns + int(part.inspection.config.budget_ms * 1e6)

    def _is_stored(self, part: Part) -> bool:
        """Whether the part is a stored picture, whose clock starts only when the model starts on it."""
        is_triggered = part.inspection.config.trigger == "external"
        return not is_triggered and part.capture is not None and part.capture.captured_ns is None
