"""One candidate at a time: it is loaded, judges in the shadow, is promoted; and the way back from there."""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from edge.bundle import Bundle, load_bundle
from edge.bundle.signature import Trust
from edge.channel.control_messages import CandidateState, LoadBundle, Promote, RollBack, Stage
from edge.errors import EdgeError
from edge.station.acceptance import Acceptance
from edge.station.capture.process import CaptureProcess
from edge.station.config.resolved import StationConfig
from edge.station.in_flight import PartsInFlight
from edge.station.inspection import Inspection, Note
from edge.station.parts import Part
from edge.station.process.child import Child
from edge.station.products import Products
from edge.station.rollout.candidate import Candidate, Shadowed
from edge.station.rollout.probation import Probation
from edge.station.rollout.promotions import Promotion, Promotions
from edge.text import counted, printable
from edge.verdict import Verdict

if TYPE_CHECKING:
    from edge.station.record_keeping import Records

RETIRED_S = 10.0
"""How long an inspection that decides no more is kept for frames that were exposed before; no frame waits that long."""

TOLD_EVERY = 1_000
"""Parts of a candidate between two events that say how it stands."""

Make = Callable[[StationConfig, Bundle], Inspection]
"""Makes an inspection with a model of its own."""


class _Reading(threading.Thread):
    """Reads and checks a bundle: its hashes take a tenth of a second, and may need the disk."""

    def __init__(self, path: Path, trust: Trust | None) -> None:
        super().__init__(name="edge-candidate", daemon=True)
        self._path, self._trust = path, trust
        self.bundle: Bundle | None = None
        self.refusal = ""

    def run(self) -> None:
        try:
            self.bundle = load_bundle(self._path, self._trust)
        except EdgeError as error:
            self.refusal = str(error)
        except Exception as error:  # a bundle is a folder of strangers; nothing in it may end the thread unheard
            self.refusal = f"{self._path}: {type(error).__name__}: {error}"


class _Next(NamedTuple):
    """An inspection whose model is being loaded, to decide in place of that of the product of this `number`."""

    number: int
    inspection: Inspection
    is_back: bool


class _Retired(NamedTuple):
    inspection: Inspection
    until: float


class Rollout:
    """The candidate of a line, and the bundles that decided before. All methods but `serve` answer at once: they return
    why a request is refused, None if it is not.
    """

    def __init__(
        self, config: StationConfig, products: Products, promotions: Promotions, configured: Iterable[Bundle],
        trust: Trust | None, intake: CaptureProcess, make: Make, note: Note,
    ) -> None:  # fmt: skip
        """`configured` are the bundles of the configuration, a product each."""
        self._config, self._products, self._promotions = config, products, promotions
        self._configured, self._trust = tuple(configured), trust
        self._intake, self._make, self._note = intake, make, note
        self._acceptance: Acceptance
        self._in_flight: PartsInFlight
        self._records: Records | None = None
        self._stage = Stage.NONE
        self._named = ""
        self._why: str | None = None
        self._index = 0
        self._reading: _Reading | None = None
        self._candidate: Candidate | None = None
        self._next: _Next | None = None
        self._previous: dict[int, Inspection] = {}
        self._probations: dict[int, Probation] = {}
        self._retired: list[_Retired] = []
        self._rolled_back: str | None = None
        self._killed: list[Child] = []

    def connect(self, acceptance: Acceptance, in_flight: PartsInFlight, records: "Records | None") -> None:
        """Give it the parts of the station that are made later."""
        self._acceptance, self._in_flight, self._records = acceptance, in_flight, records

    # ------------------------------------------------------------------------------------------------- requests

    def load(self, asked: LoadBundle) -> str | None:
        """Load a bundle as the candidate; one that judges in the shadow is given up."""
        if self._config.candidates is None:
            return "no bundle can be loaded on this line; start the station with --candidates DIR"
        if self._stage in (Stage.LOADING, Stage.PROMOTING, Stage.RETURNING):
            return f"{self._named} is being loaded; wait for it"
        index = self._products.index_of(asked.product)
        if index is None:
            return self._products.refusal(asked.product, None)
        if self._intake.opened is None:
            return "the source is not open yet; load it again when the station is ready"
        self._give_up()
        self._rolled_back = None  # whoever loads the next one has seen it
        self._stage, self._named, self._why, self._index = Stage.LOADING, asked.bundle, None, index
        self._reading = _Reading(self._config.candidates / asked.bundle, self._trust)
        self._reading.start()
        return None

    def promote(self, asked: Promote) -> str | None:
        """Start the process with which the candidate will decide."""
        one = self._candidate
        if self._stage is not Stage.JUDGING or one is None:
            return f"there is no candidate that judges: {self._why or self._stage.value}"
        if asked.product not in (None, one.product):
            return f"the candidate judges parts of product {one.product}, not {asked.product}"
        if one.judged < self._config.promote_after:
            return f"{one.bundle.label} has judged {one.judged} parts; it needs {self._config.promote_after}"
        if one.flips != asked.flips:
            return f"{one.bundle.label} has {counted(one.flips, 'flip')}, not {asked.flips}; look at all of them"
        if one.flips > self._config.promote_flips:
            return f"{one.bundle.label} has {counted(one.flips, 'flip')}; {self._config.promote_flips} are the most"
        if one.faults:
            return f"{one.bundle.label} failed on {counted(one.faults, 'part')}; load another one"
        budget_ms, p99_ms = self._products.inspection_at(self._index).config.budget_ms, one.took_ms(0.99)
        if p99_ms is not None and p99_ms > budget_ms:
            return f"{one.bundle.label} takes {p99_ms:.0f} ms (p99) for an inference, the budget is {budget_ms:g} ms"
        self._start(self._index, one.bundle, is_back=False)
        return None

    def roll_back(self, asked: RollBack) -> str | None:
        """Let the bundle before the last promotion decide again; if it is not loaded any more, load it first."""
        index = self._products.index_of(asked.product)
        if index is None:
            return self._products.refusal(asked.product, None)
        if self._stage in (Stage.LOADING, Stage.PROMOTING, Stage.RETURNING):
            return f"{self._named} is being loaded; wait for it, or unload it"
        previous, configured = self._previous.get(index), self._configured[index]
        if previous is not None:
            if not previous.scoring.is_up:
                return f"{previous.bundle.label} cannot judge: {previous.scoring.cause}"
            promoted = self._return(index)
            self._tell(f"{previous.bundle.label} decides again, before {promoted.bundle.label}")
            return None
        if self._products.inspection_at(index).bundle.digest == configured.digest:
            return f"{configured.label} decides, and nothing was promoted; there is nothing to roll back to"
        self._give_up()
        self._start(index, configured, is_back=True)
        return None

    def unload(self) -> str | None:
        """Give up the candidate."""
        if self._stage is Stage.NONE:
            return "there is no candidate"
        if self._stage is Stage.RETURNING:
            return f"{self._named} will decide; wait for it"
        self._give_up()
        return None

    @property
    def state(self) -> CandidateState:
        """How it stands, for programs."""
        one, index = self._candidate, self._index if self._stage is not Stage.NONE else self._products.index
        previous = self._previous.get(index)
        counts = {} if one is None else {
            name: getattr(one, name) for name in ("judged", "skipped", "to_reject", "to_good", "faults")
        }  # fmt: skip
        return CandidateState(
            stage=self._stage,
            bundle=self._named or None,
            product=self._products.name_at(index),
            why=self._why,
            p50_ms=one.took_ms(0.5) if one else None,
            p99_ms=one.took_ms(0.99) if one else None,
            needs=self._config.promote_after,
            most_flips=self._config.promote_flips,
            running=self._products.inspection_at(index).bundle.label,
            previous=previous.bundle.label if previous else None,
            rolled_back=self._rolled_back,
            **counts,
        )

    @property
    def alarms(self) -> tuple[str, ...]:
        """What a person has to know, as text for users."""
        own = () if self._rolled_back is None else (self._rolled_back,)
        return (*own, *self._promotions.alarms)

    # ----------------------------------------------------------------------------------------- called by the station

    @property
    def children(self) -> list[Child]:
        """The processes that are supervised here."""
        ones = [self._candidate.scoring] if self._candidate else []
        return [one.child for one in (*ones, *([self._next.inspection.scoring] if self._next else []))]

    def judged(self, part: Part, verdict: Verdict, payload: bytes) -> None:
        """See `Observer.judged`."""
        index = next(iter(self._products.indices_of(part.inspection)), None)
        if index is not None and index in self._probations:
            self._probations[index].judged(verdict)
        if self._candidate is not None and index == self._index:
            self._candidate.offer(part, verdict, payload)

    def serve(self) -> None:
        """Take the next step of everything that was begun. Never raises because of a bundle."""
        self._read()
        self._follow()
        self._await_next()
        for index, probation in [*self._probations.items()]:
            self._watch(index, probation)
        self._retire()
        self._killed = [child for child in self._killed if not child.reap()]

    def close(self) -> None:
        """End the processes of bundles that do not decide, and of promoted ones; write what is left."""
        self._give_up()
        for one in (*self._products.others, *(one for one in self._products if one.has_own_model)):
            if one.has_own_model:
                one.scoring.child.kill()
        self._promotions.close()

    # ------------------------------------------------------------------------------------------------------ steps

    def _read(self) -> None:
        """Start the model of a bundle that has been read."""
        reading = self._reading
        if reading is None or reading.is_alive():
            return
        self._reading = None
        if (bundle := reading.bundle) is None:
            self._refuse(reading.refusal)
        elif (unfit := self._unfit(bundle)) is not None:
            self._refuse(f"{bundle.label}: {unfit}")
        else:
            self._named = bundle.label
            running = self._products.inspection_at(self._index)
            config, product = replace(running.config, bundle=bundle.folder), self._products.name_at(self._index)
            self._candidate = Candidate(config, bundle, product, self._intake, self._acceptance.shape)

    def _unfit(self, bundle: Bundle) -> str | None:
        """Why a sound bundle cannot judge on this line; None if it can."""
        running = self._products.inspection_at(self._index).bundle
        if bundle.digest == running.digest:
            return "it decides already"
        if bundle.manifest.simulated and not running.manifest.simulated:
            return "it is a simulation, whose verdicts no gate lets pass"
        bits = bundle.manifest.picture and bundle.manifest.picture.bits
        if bits not in (None, self._config.bits):
            return f"it learned from {bits} bits a sample, the line has {self._config.bits or 'those of its source'}"
        shape = self._acceptance.shape
        seen = [(region.height, region.width) for region in self._config.regions] or ([shape] if shape else [])
        refusals = (bundle.manifest.letterbox.refusal(*one) for one in seen)
        return next((f"a frame of {refusal}" for refusal in refusals if refusal), None)

    def _follow(self) -> None:
        """Handle what the candidate says."""
        one = self._candidate
        if one is None:
            return
        try:
            for shadowed in one.receive():
                self._record(one, shadowed)
        except EdgeError as error:
            self._refuse(str(error))
            return
        if self._stage is Stage.LOADING and one.scoring.loaded is not None:
            self._stage = Stage.JUDGING
            self._tell(f"{one.bundle.label} is sound here, and judges in the shadow of {self.state.running}")

    def _record(self, one: Candidate, said: Shadowed) -> None:
        v, label = said.verdict, one.bundle.label
        if self._records is not None:
            self._records.recorder.shadow_result(v.epoch, v.seq, label, said.outcome, said.score, said.fault)
            if said.is_flip:
                self._records.keep(v, said.payload, said.capture, said.worst)
        if one.judged and one.judged % TOLD_EVERY == 0:
            self._tell(f"{label} has judged {one.judged} parts, skipped {one.skipped}: {flips_text(one)}")

    def _await_next(self) -> None:
        """Let the bundle decide whose model has been loaded."""
        if self._next is None:
            return
        index, inspection, is_back = self._next
        scoring = inspection.scoring
        try:
            for results in (scoring.receive, scoring.supervise):
                for _ in results():
                    pass
        except EdgeError as error:
            self._drop_next()
            self._refuse(f"{inspection.bundle.label}: {error}")
            return
        if scoring.is_up:
            self._next = None
            before = self._replace(index, inspection)
            self._give_up()
            if is_back:
                self._keep(index, inspection.bundle)
                self._retire_later(before)
                self._tell(f"rolled back from {before.bundle.label} to {inspection.bundle.label}")
                return
            if (earlier := self._previous.pop(index, None)) is not None:
                self._retire_later(earlier)
            self._previous[index], self._probations[index] = before, Probation()
            self._rolled_back = None
            self._keep(index, inspection.bundle)
            self._tell(f"{inspection.bundle.label} decides from now on, before {before.bundle.label}")

    def _watch(self, index: int, probation: Probation) -> None:
        """Roll back by itself if the promoted bundle fails."""
        promoted, previous = self._products.inspection_at(index), self._previous[index]
        why = probation.failure(promoted.scoring)
        if why is None or not previous.scoring.is_up:
            return
        self._return(index)
        line = f"rolled back by itself from {promoted.bundle.label} to {previous.bundle.label}: {why}"
        self._rolled_back = line
        self._note(logging.WARNING, line, "candidate")

    def _return(self, index: int) -> Inspection:
        """Let the previous bundle decide again; returns the inspection that decides no more."""
        previous = self._previous.pop(index)
        del self._probations[index]
        promoted = self._replace(index, previous)
        self._retire_later(promoted)
        self._keep(index, previous.bundle)
        return promoted

    # ---------------------------------------------------------------------------------------------- parts of steps

    def _start(self, index: int, bundle: Bundle, is_back: bool) -> None:
        """Load the model with which a bundle will decide."""
        config = replace(self._products.inspection_at(index).config, bundle=bundle.folder)
        inspection = self._make(config, bundle)
        inspection.scoring.is_current = False
        inspection.scoring.configure(self._acceptance.shape)
        self._next = _Next(index, inspection, is_back)
        self._stage = Stage.RETURNING if is_back else Stage.PROMOTING
        self._index, self._named, self._why = index, bundle.label, None

    def _replace(self, index: int, inspection: Inspection) -> Inspection:
        """Let an inspection decide; returns the one before, which stays among the others."""
        before = self._products.replace(index, inspection)
        if inspection in self._products.others:
            self._products.others.remove(inspection)
        self._products.others.append(before)
        return before

    def _keep(self, index: int, bundle: Bundle) -> None:
        """Let this bundle decide also after a restart."""
        product, configured = self._products.name_at(index), self._configured[index]
        if bundle.digest == configured.digest:
            self._promotions.forget(product)
            return
        folder = str(bundle.folder.absolute())
        kept = Promotion(product=product, bundle=folder, digest=bundle.digest, replaces=configured.digest)
        self._promotions.keep(kept)

    def _retire_later(self, inspection: Inspection) -> None:
        self._retired.append(_Retired(inspection, time.monotonic() + RETIRED_S))

    def _retire(self) -> None:
        """End the inspections for which no part waits any more."""
        now = time.monotonic()
        for one in [*self._retired]:
            is_used = any(part.inspection is one.inspection for part in self._in_flight.parts.values())
            if now < one.until or is_used:
                continue
            self._retired.remove(one)
            self._products.others.remove(one.inspection)
            one.inspection.close()
            one.inspection.scoring.leave()
            if one.inspection.has_own_model:
                self._kill(one.inspection)

    def _kill(self, inspection: Inspection) -> None:
        inspection.scoring.child.kill()
        self._killed.append(inspection.scoring.child)

    def _drop_next(self) -> None:
        if self._next is not None:
            self._next.inspection.scoring.leave()
            self._kill(self._next.inspection)
            self._next = None

    def _give_up(self) -> None:
        """Give up the candidate, whatever its stage."""
        self._reading = None
        self._drop_next()
        if self._candidate is not None:
            self._killed.append(self._candidate.close())
            self._candidate = None
        self._stage, self._named, self._why = Stage.NONE, "", None

    def _refuse(self, why: str) -> None:
        """The candidate is given up because of what it is; nothing has changed."""
        named, why = self._named, printable(why)
        self._give_up()
        self._stage, self._named, self._why = Stage.REFUSED, named, why
        self._tell(f"refused: {why}")

    def _tell(self, line: str) -> None:
        self._note(logging.INFO, line, "candidate")


def flips_text(one: Candidate) -> str:
    """The flips of a candidate, in words."""
    return f"{one.to_reject} goods would be rejected, {one.to_good} rejects would pass"
