"""What judges the parts of one product: a bundle at its model, and the watches on its pictures and scores."""

from collections.abc import Hashable
from functools import partial
from typing import Protocol

from edge.bundle import Artifact, Bundle
from edge.station.config.resolved import StationConfig
from edge.station.drift.watch import DriftWatch, line_of
from edge.station.inference.process import Model
from edge.station.inference.seat import Scoring
from edge.station.input_watch import InputWatch
from edge.station.parts import Part
from edge.verdict import Verdict


class Note(Protocol):
    """Writes a line of this level of `logging` to the log, and as an event of this kind to the record."""

    def __call__(self, level: int, line: str, kind: str) -> None: ...  # noqa: D102


class Inspection:
    """One bundle with a station's settings for it. The station's parts are judged by the current inspection; a part
    keeps the one that it was begun with.
    """

    def __init__(self, config: StationConfig, bundle: Bundle, models: dict[Hashable, Model] | None, note: Note) -> None:
        """Take a seat at the model of `models` that fits, or add one there; its process starts with `supervise`. With
        None the model is this inspection's own.
        """
        self.config, self.bundle = config, bundle
        self.has_own_model = models is None
        model = Model(config, bundle.digest)
        if models is not None:
            model = models.setdefault(Model.key(config, bundle.digest), model)
        self.scoring = Scoring(config, model)
        statistics = bundle.manifest.input_statistics
        watched = partial(note, kind="input")
        self.input_watch = None if statistics is None else InputWatch(statistics, watched)
        drifted = partial(note, kind="drift")
        self.drift_watch: DriftWatch | None = None
        """The watch on drift; None if its reference has no length."""
        if config.drift_hours:
            line = line_of(config, bundle)
            self.drift_watch = DriftWatch(line, config.drift_hours, config.records, drifted, bundle.manifest)

    @property
    def artifact(self) -> Artifact | None:
        """The artifact that gives the scores; None before the model is loaded."""
        loaded = self.scoring.loaded
        return self.bundle.manifest.artifacts[loaded.backend] if loaded else None

    @property
    def backend(self) -> str | None:
        """Name of that artifact."""
        return self.scoring.loaded.backend if self.scoring.loaded else None

    @property
    def alarms(self) -> tuple[str, ...]:
        """What the watches have found, as text for users."""
        watches = (self.input_watch, self.drift_watch)
        return tuple(alarm for watch in watches if watch is not None for alarm in watch.alarms)

    def judged(self, part: Part, verdict: Verdict, payload: bytes) -> None:
        """Called with each of its parts after the verdict was published; see `Observer.judged`."""
        if self.drift_watch is not None:
            self.drift_watch.judged(part, verdict, payload)

    def count_pictures(self) -> None:
        """Give the watches what the model's process has measured."""
        while self.scoring.measured:
            measured = self.scoring.measured.popleft()
            if self.input_watch is not None:
                self.input_watch.add(measured)
        while self.scoring.summed:
            summed = self.scoring.summed.popleft()
            if self.drift_watch is not None:
                self.drift_watch.add(summed)

    def close(self) -> None:
        """Write what the watch on drift has learned."""
        if self.drift_watch is not None:
            self.drift_watch.close()
