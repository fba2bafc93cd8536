"""The station's records: journal and images, apart from the hot path."""

import json
from collections.abc import Callable
from dataclasses import asdict
from math import isfinite

from edge.records.expiry import JournalKeeping
from edge.records.recorder import Recorder
from edge.records.retention import Keeping
from edge.station.archive.process import ArchiveMessage, Archiving
from edge.station.capture.process import CaptureProcess
from edge.station.config.resolved import StationConfig
from edge.station.part_counts import Books
from edge.station.parts import Part
from edge.station.previews import Previews, heat_of
from edge.station.process.messages import Captured, Copied, Depicted, Inferred, PictureRead, Removed, Stored
from edge.verdict import Verdict

JOURNAL_PATIENCE_S = 1.0
ARCHIVE_PATIENCE_S = 1.0


class Records:
    """The records of a run, one of the station's observers. No method waits for the disk or raises because of it."""

    def __init__(self, config: StationConfig, epoch: str, bundle: str, frames: CaptureProcess) -> None:
        """`frames` holds the frames of which images are kept.

        Raises RecordsError if the folder cannot be used, or if another station writes there.
        """
        assert config.records is not None
        verdicts = JournalKeeping(config.keep_journal_bytes, config.keep_verdicts_days)
        self.recorder = Recorder(config.records, config.station, keeping=verdicts)
        self.boot = self.recorder.boot
        shown = asdict(config) | {"source": config.source_name}
        self.recorder.begin(epoch, config.source_name, bundle, json.dumps(shown, default=str))
        self._keeping = Keeping(config.records, config.keep_goods, config.keep_bytes, config.keep_days)
        self.archiving = Archiving(self._keeping, config.station)
        self.images_kept = 0
        self._epoch, self._frames = epoch, frames
        self.previews: Previews | None = None
        self.pictures_read: Callable[[PictureRead], None] | None = None
        """Who is told when a picture was decoded, see `Archiving.read_picture`."""

    @property
    def alarms(self) -> tuple[str, ...]:
        """Problems with the records, as text for users."""
        return self.recorder.alarms + self.archiving.alarms

    @property
    def due_in_s(self) -> float:
        """Seconds until `serve` has work that no message announces."""
        return self.archiving.due_in_s

    def accept(self, seq: int) -> None:
        """A part of this run was accepted."""
        self.recorder.accept(seq)

    def late_result(self, result: Inferred) -> None:
        """The model's result for a part that has its verdict already."""
        score = result.score if isfinite(result.score) else None
        self.recorder.late_result(self._epoch, result.seq, score, result.fault)

    def judged(self, part: Part, verdict: Verdict, payload: bytes) -> None:
        """See `Observer.judged`. Of a part's frames the one with the worst score is kept as an image."""
        self.recorder.enter(verdict, payload)
        c = part.capture
        if c is None or c.slot is None or not c.height:
            return
        memory, worst = self._frames.memory(c.slot), part.inferred.worst if part.inferred else 0
        heat = heat_of(part.inferred.coarse) if part.inferred else None
        is_shown = self.previews is not None and self.previews.are_due
        place = (c.slot, memory, c.height, c.width, worst)
        of_record = None if heat is None else heat.model_dump_json()
        is_lent = self.archiving.offer(verdict, payload, *place, of_record, is_shown)
        if is_lent or (is_shown and self.archiving.depict(verdict, *place)):
            self._frames.hold(c.slot)
            if is_shown and self.previews is not None:
                self.previews.begin(verdict, c.height, c.width, heat)

    def keep(self, verdict: Verdict, payload: bytes, capture: Captured, worst: int) -> None:
        """Keep the image of a part whose verdict was published before, unless it is kept anyway. Its slot is held."""
        assert capture.slot is not None
        if self._keeping.wants(verdict.verdict, verdict.seq):
            return
        place = (capture.slot, self._frames.memory(capture.slot), capture.height, capture.width, worst)
        if self.archiving.offer(verdict, payload, *place, is_wanted=True):
            self._frames.hold(capture.slot)

    def serve(self) -> None:
        """Handle the archive's messages, and release the frames that it has copied."""
        for source in (self.archiving.receive, self.archiving.supervise):
            for message in source():
                if isinstance(message, Copied):
                    self._frames.release(message.slot)
                else:
                    self._note(message)

    def _note(self, message: ArchiveMessage) -> None:
        if isinstance(message, Depicted):
            if self.previews is not None:
                self.previews.publish(message)
        elif isinstance(message, PictureRead):
            if self.pictures_read is not None:
                self.pictures_read(message)
        elif isinstance(message, Stored):
            self.images_kept += message.epoch == self._epoch
            self.recorder.image(message.epoch, message.seq, message.path, message.sha256, message.size)
        elif isinstance(message, Removed):
            self.recorder.image_gone(message.path, message.why)

    def close_archive(self) -> None:
        """Let the archive finish, for at most a second."""
        for message in self.archiving.close(ARCHIVE_PATIENCE_S):
            self._note(message)

    def close(self, cause: str, books: Books) -> None:
        """Let the journal finish, for at most a second."""
        self.recorder.accept(books.accepted)
        self.recorder.close(cause, books.published, JOURNAL_PATIENCE_S)
