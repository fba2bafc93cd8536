"""One candidate at a time: it is loaded, judges in the shadow, is promoted; and the way back from there."""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from edge.bundle import Bundle, load_bundle
from edge.bundle.signature import Trust
from edge.channel.control_messages import CandidateState, LoadBundle, Promote, RollBack, Stage, Unload
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
"""How long an inspection that decides no more is kept, at least, for frames that were exposed before."""

TOLD_EVERY = 1_000
"""Parts of a candidate between two events that say how it stands."""

Make = Callable[[StationConfig, Bundle, Note], Inspection]
"""Makes an inspection with a model of its own, which notes with this function; reads the disk."""


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


class _Making(threading.Thread):
    """Makes an inspection: its watch on drift reads a file. What it notes is passed on when it is made."""

    def __init__(self, make: Make, config: StationConfig, bundle: Bundle, note: Note) -> None:
        super().__init__(name="edge-rollout", daemon=True)
        self._make, self._config, self.bundle, self._note = make, config, bundle, note
        self._kept: list[tuple[int, str, str]] | None = []
        self._made: Inspection | None = None
        self.refusal = ""

    def run(self) -> None:
        try:
            self._made = self._make(self._config, self.bundle, self._noted)
        except Exception as error:  # the thread must not end unheard
            self.refusal = str(error) or type(error).__name__

    def _noted(self, level: int, line: str, kind: str) -> None:
        if self._kept is None:
            self._note(level, line, kind)
        else:
            self._kept.append((level, line, kind))

    def inspection(self) -> Inspection | None:
        """The inspection, after the thread has ended; None if it could not be made."""
        kept, self._kept = self._kept or [], None
        for one in kept:
            self._note(*one)
        return self._made


@dataclass
class _Next:
    """What is to decide in place of the inspection of the product `index`: being made, then its model being loaded."""

    index: int
    making: _Making
    is_back: bool
    inspection: Inspection | None = None


class _Retired(NamedTuple):
    """An inspection that decides no more, and until when it is kept at least."""

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
        self.restarts = 0
        """Restarts of the models of inspections that are gone."""
        self._killed: list[Child] = []

    def connect(self, acceptance: Acceptance, in_flight: PartsInFlight, records: "Records | None") -> None:
        """Give it the parts of the station that are made later; its records are locked."""
        self._acceptance, self._in_flight, self._records = acceptance, in_flight, records
        self._promotions.begin()

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
        if self._products.index_of(asked.product) != self._index:
            meant = asked.product or self._products.name
            return f"the candidate judges parts of product {one.product}, not {meant}; name its product"
        if asked.label not in (None, one.bundle.label):
            return f"the candidate is {one.bundle.label}, not {asked.label}; look at its flips"
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
        assert one.scoring.loaded is not None
        self._start(self._index, one.bundle, one.scoring.loaded.backend, is_back=False)
        return None

    def roll_back(self, asked: RollBack) -> str | None:
        """Let the bundle before the last promotion decide again; if it is not loaded any more, load it first."""
        index = self._products.index_of(asked.product)
        if index is None:
            return self._products.refusal(asked.product, None)
        previous, configured = self._previous.get(index), self._configured[index]
        if asked.label not in (None, running := self._products.inspection_at(index).bundle.label):
            return f"{running} decides, not {asked.label}"
        if previous is not None:
            if not previous.scoring.is_up:
                return f"{previous.bundle.label} cannot judge: {previous.scoring.cause}"
            self._give_up()
            promoted = self._return(index)
            self._tell(f"{previous.bundle.label} decides again, before {promoted.bundle.label}")
            return None
        if self._stage is Stage.RETURNING:
            return f"{self._named} is being loaded; wait for it"
        if self._products.inspection_at(index).bundle.digest == configured.digest:
            if self._promotions.forget(self._products.name_at(index)):  # one that could not be restored
                return None
            return f"{configured.label} decides, and nothing was promoted; there is nothing to roll back to"
        self._give_up()
        self._start(index, configured, self._config.backend, is_back=True)
        return None

    def unload(self, asked: Unload) -> str | None:
        """Give up the candidate."""
        if self._stage is Stage.NONE:
            return "there is no candidate"
        if asked.product is not None and asked.product != self._products.name_at(self._index):
            return f"the candidate is one of product {self._products.name_at(self._index)}, not {asked.product}"
        if asked.label not in (None, self._named):
            return f"the candidate is {self._named}, not {asked.label}"
        if self._stage is Stage.RETURNING:
            return f"{self._named} will decide; wait for it"
        self._give_up()
        return None

    def state(self, product: str | None = None) -> CandidateState:
        """How the candidate stands, and which bundle decides: of this product, else of the candidate's, else of the
        current one.
        """
        one, index = self._candidate, self._index if self._stage is not Stage.NONE else self._products.index
        if product is not None:
            index = self._products.index_of(product) or 0
            one = one if index == self._index else None
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
            is_promoted=self._products.inspection_at(index).bundle.digest != self._configured[index].digest,
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
        ones += [self._next.inspection.scoring] if self._next and self._next.inspection else []
        return [one.child for one in ones]

    def judged(self, part: Part, verdict: Verdict, payload: bytes) -> None:
        """See `Observer.judged`."""
        index = self._products.index_judged_by(part.inspection)
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
            config = replace(running.config, bundle=bundle.folder, backend=self._config.backend)
            product = self._products.name_at(self._index)
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
            self._tell(f"{one.bundle.label} is sound here, and judges in the shadow of {self.state().running}")

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
        coming = self._next
        if coming is None or coming.making.is_alive():
            return
        if coming.inspection is None:
            coming.inspection = coming.making.inspection()
            if coming.inspection is None:
                self._refuse(f"{coming.making.bundle.label}: {coming.making.refusal}")
                return
            coming.inspection.scoring.is_current = False
            coming.inspection.scoring.configure(self._acceptance.shape)
        inspection = coming.inspection
        try:
            for results in (inspection.scoring.receive, inspection.scoring.supervise):
                for _ in results():
                    pass
        except EdgeError as error:
            self._refuse(f"{inspection.bundle.label}: {error}")
            return
        if inspection.scoring.is_up:
            self._next = None
            self._decide(coming.index, inspection, coming.is_back)

    def _decide(self, index: int, inspection: Inspection, is_back: bool) -> None:
        """Let an inspection whose model is up decide."""
        before = self._replace(index, inspection)
        self._give_up()
        self._keep(index, inspection.bundle)
        if is_back:
            self._retire_later(before)
            self._tell(f"rolled back from {before.bundle.label} to {inspection.bundle.label}")
            return
        if (earlier := self._previous.pop(index, None)) is not None:
            self._retire_later(earlier)
        self._previous[index], self._probations[index] = before, Probation()
        self._rolled_back = None
        self._tell(f"{inspection.bundle.label} decides from now on, before {before.bundle.label}")

    def fall_back(self, inspection: Inspection, why: str) -> bool:
        """The model of an inspection cannot be loaded at the start. If its bundle was promoted in an earlier run, let
        the configured one decide, with an alarm. Whether that was so.
        """
        index = self._products.index_judged_by(inspection)
        if index is None or inspection.bundle.digest == self._configured[index].digest:
            return False
        configured = self._configured[index]
        config = replace(inspection.config, bundle=configured.folder, backend=self._config.backend)
        made = self._make(config, configured, self._note)
        if self._intake.opened is not None:
            made.scoring.configure(self._acceptance.shape)
        self._replace(index, made)
        self._products.others.remove(inspection)
        inspection.scoring.leave()
        self._promotions.doubt(self._products.name_at(index), why)
        self._note(logging.WARNING, self._promotions.alarms[-1], "candidate")
        return True

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
        self._in_flight.move(promoted, previous)
        if self._candidate is not None and self._index == index:  # its counts are against another bundle
            self._refuse(f"{promoted.bundle.label}, in whose shadow it judged, decides no more; load it again")
        self._keep(index, previous.bundle)
        return promoted

    # ---------------------------------------------------------------------------------------------- parts of steps

    def _start(self, index: int, bundle: Bundle, backend: str, is_back: bool) -> None:
        """Load the model with which a bundle will decide, with the artifact `backend`."""
        config = replace(self._products.inspection_at(index).config, bundle=bundle.folder, backend=backend)
        making = _Making(self._make, config, bundle, self._note)
        making.start()
        self._next = _Next(index, making, is_back)
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
            parts = self._in_flight.parts.values()
            is_used = one.inspection.scoring.has_pending or any(part.inspection is one.inspection for part in parts)
            if now < one.until or is_used:
                continue
            self._retired.remove(one)
            self._products.others.remove(one.inspection)
            threading.Thread(target=one.inspection.close, daemon=True).start()  # it waits for the disk
            one.inspection.scoring.leave()
            if one.inspection.has_own_model:
                self.restarts += max(0, one.inspection.scoring.child.restarts)
                self._kill(one.inspection)

    def _kill(self, inspection: Inspection) -> None:
        inspection.scoring.child.kill()
        self._killed.append(inspection.scoring.child)

    def _drop_next(self) -> None:
        if self._next is not None and self._next.inspection is not None:
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
        """Give up the candidate, and keep the reason; the deciding bundle stays."""
        named, why = self._named, printable(why)
        self._give_up()
        self._stage, self._named, self._why = Stage.REFUSED, named, why
        self._tell(f"refused: {why}")

    def _tell(self, line: str) -> None:
        self._note(logging.INFO, line, "candidate")


def flips_text(one: Candidate) -> str:
    """The flips of a candidate, in words."""
    return f"{one.to_reject} goods would be rejected, {one.to_good} rejects would pass"
