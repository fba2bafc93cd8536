"""The supervisor's side of the code reader: lends it frames and takes its texts. It never delays or changes a verdict:
a reader that is dead, hangs or is slow leaves free fields out, which is counted.
"""

import time
from typing import TYPE_CHECKING

from edge.errors import ConfigError
from edge.station.codes.child import run_code_reader
from edge.station.codes.contract import MOST_FRAMES, CodeOutcome, Wanted
from edge.station.config.resolved import StationConfig
from edge.station.parts import Part
from edge.station.process.child import Child
from edge.station.process.messages import Failed, Looked, LookForCode, ReaderReady
from edge.text import counted
from edge.verdict import MOST_FIELDS

if TYPE_CHECKING:
    from edge.records.recorder import Recorder
    from edge.station.capture.process import CaptureProcess

HANGS_S = 5.0
"""A child that takes longer for the frames of one part hangs."""

STARTING_S = 60.0
"""A child that takes longer to start hangs."""

MISSED_S = 60.0
"""Duration of the alarm after a frame was not looked at, or the reader failed on it."""


class CodeReading:
    """Gives parts the text of the code in their frame as the free field `config.read_code`.

    `counts` has the number of parts by outcome: `read` with the field in the verdict, `late` with a text that came
    after the verdict, `none` without a code, `several` with codes of different texts, `unfit` with a text that cannot
    be a free field, `failed` if the reader died, hung or raised an error, `dropped` if it was busy or not running.
    """

    def __init__(
        self, config: StationConfig, epoch: str, frames: "CaptureProcess", recorder: "Recorder | None"
    ) -> None:
        """The process starts with the first `supervise`. `frames` holds the slots while they are read; `recorder`
        enters the texts that came too late.
        """
        assert config.read_code is not None
        wanted = Wanted(config.code_formats, config.code_region, config.code_pattern)
        self.child = Child("edge-codes", run_code_reader, lambda: (wanted,), station=config.station)
        self.counts: dict[str, int] = dict.fromkeys(CodeOutcome, 0)
        self._name, self._region, self._epoch = config.read_code, config.code_region, epoch
        self._frames, self._recorder = frames, recorder
        self._is_up = False
        self._cause = ""
        self._why: str | None = None  # why the reader failed on its last frame
        self._shown: list[Part] = []  # have just got their frames
        self._loans: dict[int, int] = {}  # slots by seq, in order; the reader works on the first
        self._working_since = self._missed_until = 0.0

    def check(self, shape: tuple[int, int] | None) -> None:
        """Raise ConfigError if frames of this (height, width) do not hold the region. None: any shape."""
        r = self._region
        if shape is not None and r is not None and (r.bottom > shape[0] or r.right > shape[1]):
            said = f"--code-region ends at column {r.right}, row {r.bottom}, and the frames are {shape[1]}×{shape[0]}"
            raise ConfigError(f"{said}; move it inside")

    def show(self, part: Part) -> None:
        """Note a part that has its frame now, for `offer`."""
        self._shown.append(part)

    def offer(self) -> None:
        """Lend the noted frames to the reader; called after the model has got its part, so that it never waits. A part
        that is decided already, or whose trigger gave the field, is not read.
        """
        shown, self._shown = self._shown, []
        for part in shown:
            if part.finding is None and self._name not in (part.fields or {}):
                self._offer(part)

    def _offer(self, part: Part) -> None:
        c = part.capture
        assert c is not None
        if part.fields is not None and len(part.fields) >= MOST_FIELDS:
            self.counts[CodeOutcome.UNFIT] += 1
        elif not self._is_up or len(self._loans) >= MOST_FRAMES or c.slot is None:
            self._miss(CodeOutcome.DROPPED)
        else:
            if not self._loans:
                self._working_since = time.monotonic()
            self._frames.hold(c.slot)
            self._loans[part.seq] = c.slot
            self.child.send(LookForCode(part.seq, self._frames.memory(c.slot), c.height, c.width, c.frames))

    def receive(self, in_flight: dict[int, Part]) -> None:
        """Handle the reader's answers: a text becomes a free field of its part if that is in flight, without a verdict;
        a later one is only recorded.
        """
        try:
            while (message := self.child.receive()) is not None:
                match message:
                    case Looked():
                        self._take(message, in_flight.get(message.seq))
                    case ReaderReady():
                        self._is_up = True
                    case Failed():
                        self._cause = message.message
        except EOFError:
            self._lose(self._cause or "the reader died")

    def _take(self, looked: Looked, part: Part | None) -> None:
        self._frames.release(self._loans.pop(looked.seq))
        self._working_since = time.monotonic()
        outcome: CodeOutcome = looked.outcome
        if looked.text is not None and part is not None:
            part.fields = {**(part.fields or {}), self._name: looked.text}
        elif looked.text is not None:
            outcome = CodeOutcome.LATE
            if self._recorder is not None:
                self._recorder.late_field(self._epoch, looked.seq, self._name, looked.text)
        self._why = looked.why
        if outcome is CodeOutcome.FAILED:
            self._miss(outcome)
        else:
            self.counts[outcome] += 1

    def supervise(self) -> None:
        """Kill the child if it hangs; start it if it does not run and its restart is due."""
        if self._loans and time.monotonic() - self._working_since > HANGS_S:
            self._lose("the reader hung and was killed")
        if not self._is_up and self.child.lived_s > STARTING_S:
            self._lose(f"the reader did not start within {STARTING_S:.0f} s")
        if not self.child.is_running and self.child.due_in_s == 0:
            self._cause = ""
            self.child.start()

    @property
    def due_in_s(self) -> float:
        """Seconds until `supervise` has work that no message of the child announces."""
        if not self.child.is_running:
            return self.child.due_in_s
        return max(0.0, self._working_since + HANGS_S - time.monotonic()) if self._loans else HANGS_S

    @property
    def alarms(self) -> tuple[str, ...]:
        """Why codes are not read, as text for users."""
        if time.monotonic() >= self._missed_until:
            return ()
        missed = self.counts[CodeOutcome.DROPPED] + self.counts[CodeOutcome.FAILED]
        why = self._why or "the reader was busy or not running"
        return (f"codes: {counted(missed, 'frame')} not read: {why}",)

    def close(self, patience_s: float) -> None:
        """Let the reader answer, for at most `patience_s` seconds, and end it. All parts have their verdicts."""
        until = time.monotonic() + patience_s
        while self._loans and (connection := self.child.connection) is not None:
            if not connection.poll(max(0.0, until - time.monotonic())):
                break
            self.receive({})
        self._lose("the station was stopped")

    def _lose(self, cause: str) -> None:
        self.child.kill()
        self._is_up, self._cause, self._why = False, cause, cause
        for slot in self._loans.values():
            self._frames.release(slot)
            self._miss(CodeOutcome.FAILED)
        self._loans = {}

    def _miss(self, outcome: CodeOutcome) -> None:
        self.counts[outcome] += 1
        self._missed_until = time.monotonic() + MISSED_S
