"""The station's hold on its record: journal and images, beside the hot path."""

import json
from collections.abc import Iterator
from dataclasses import asdict

from edge.records.recorder import Recorder
from edge.records.retention import Keeping
from edge.station.archive.process import Archiving, Said
from edge.station.capture.process import Intake
from edge.station.config.resolved import StationConfig
from edge.station.part_counts import Books
from edge.station.process.messages import Captured, Copied, Removed, Stored
from edge.verdict import Verdict

JOURNAL_PATIENCE_S = 1.0
ARCHIVE_PATIENCE_S = 1.0


class Records:
    """What is kept of a run. Nothing here waits, and nothing raises, whatever the disk does."""

    def __init__(self, config: StationConfig, epoch: str, bundle: str) -> None:
        """Raises RecordsError if the folder cannot be used, or if another station writes there."""
        assert config.records is not None
        self.recorder = Recorder(config.records, config.station)
        self.boot = self.recorder.boot
        shown = asdict(config) | {"source": config.source_name}
        self.recorder.begin(epoch, config.source_name, bundle, json.dumps(shown, default=str))
        keeping = Keeping(config.records, config.keep_goods, config.keep_bytes, config.keep_days)
        self.archiving = Archiving(keeping)
        self.images_kept = 0
        self._epoch = epoch

    @property
    def alarms(self) -> tuple[str, ...]:
        """What is wrong with the record, for people."""
        return self.recorder.alarms + self.archiving.alarms

    @property
    def due_in_s(self) -> float:
        """Seconds until `serve` has something to do that nothing announces."""
        return self.archiving.due_in_s

    def enter(self, verdict: Verdict, payload: bytes, capture: Captured | None, intake: Intake, frame: int = 0) -> bool:
        """Enter a verdict, published as `payload`. True if the archive has taken the frame's slot over.

        Of a part's frames `frame` is the one to keep.
        """
        self.recorder.enter(verdict, payload)
        if capture is None or capture.slot is None or not capture.height:
            return False
        memory = intake.memory(capture.slot)
        return self.archiving.offer(verdict, payload, capture.slot, memory, capture.height, capture.width, frame)

    def serve(self) -> Iterator[int]:
        """Take what the archive has said; the slots that it gives back."""
        for source in (self.archiving.hear, self.archiving.revive):
            for said in source():
                if isinstance(said, Copied):
                    yield said.slot
                else:
                    self._note(said)

    def _note(self, said: Said) -> None:
        if isinstance(said, Stored):
            self.images_kept += said.epoch == self._epoch
            self.recorder.image(said.epoch, said.seq, said.path, said.sha256, said.size)
        elif isinstance(said, Removed):
            self.recorder.image_gone(said.path, said.why)

    def close_archive(self) -> None:
        """Let the archive finish, for a second at most."""
        for said in self.archiving.close(ARCHIVE_PATIENCE_S):
            self._note(said)

    def close(self, cause: str, books: Books) -> None:
        """Let the journal finish, for a second at most."""
        self.recorder.accept(books.accepted)
        self.recorder.close(cause, books.published, JOURNAL_PATIENCE_S)
