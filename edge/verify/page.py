"""A verification as one self-contained HTML page: metrics, histogram, and pictures of the errors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from edge.backends import Backend
from edge.files import write_whole
from edge.frame import Frame
from edge.letterbox.contract import LetterboxContract
from edge.photographs.photograph import Photograph, read_labelled
from edge.report.heat import Scale, map_in_frame, outlined, overlaid, shared_scale
from edge.report.pages import Picture, embedded, templates
from edge.report.score_axis import score_axis, ticks
from edge.report.thumbnail import fitted
from edge.terminal.progress import SILENT, Stage
from edge.verify.findings import kind_of, wrong
from edge.verify.result import Judged, Verification, judged_score
from edge.verify.rows import figure_rows, kind_rows
from edge.verify.scoring import Seen

MOST = 60
"""Photographs shown under one heading; further ones are only named."""

COLD_LOOKS = 12
"""Good photographs from which the cold end of the heat scale is derived."""

WIDTH, HEIGHT, BASE = 640, 180, 150
"""Dimensions of a histogram in drawing units; `BASE` is the baseline of the bars."""


@dataclass(frozen=True)
class Card:
    """A photograph beside one artifact's heat map; `verdicts` has the score and verdict of each artifact."""

    name: str
    kind: str
    verdicts: list[str]
    pictures: list[Picture]


@dataclass(frozen=True)
class Group:
    """The photographs under one heading: cards, and the names of further ones."""

    heading: str
    about: str
    total: int
    cards: list[Card]
    others: list[str]


@dataclass(frozen=True)
class Bar:
    """One bar of the histogram."""

    x: float
    y: float
    width: float
    height: float
    label: str


@dataclass(frozen=True)
class Chart:
    """A histogram of one artifact's scores, in drawing units."""

    artifact: str
    bars: list[Bar]
    threshold: float
    ticks: list[tuple[float, str]]
    highest: int


def write_page(
    file: Path, done: Verification, judged: Judged, runtimes: Mapping[str, Backend], stage: Stage = SILENT.begin
) -> None:
    """Write the page to `file` atomically. The photographs shown are inferred again to get their maps."""
    environment = templates("edge.verify")
    manifest = done.bundle.manifest
    here = Path(__file__).parent
    groups, has_heat = _groups(done, judged, runtimes, stage)
    page = environment.get_template("page.html.j2").render(
        style=Markup((here / "page.css").read_text(encoding="utf-8")),
        done=done,
        judged=judged,
        manifest=manifest,
        artifacts=list(judged.findings),
        good=sum(not one.photograph.is_bad for one in judged.seen),
        bad=sum(one.photograph.is_bad for one in judged.seen),
        figures=figure_rows(judged.findings),
        kinds=kind_rows(judged.findings),
        charts=[histogram(judged.seen, name, done.thresholds[name]) for name in judged.findings],
        groups=groups,
        has_heat=has_heat,
        size={"width": WIDTH, "height": HEIGHT, "base": BASE},
    )
    write_whole(file, page)


def histogram(seen: Sequence[Seen], artifact: str, threshold: float) -> Chart:
    """The numbers of good and bad photographs by score, in each bin good bars left and bad ones right."""
    scores = np.array([one.scores[artifact] for one in seen])
    bad = np.array([one.photograph.is_bad for one in seen])
    scale, edges = score_axis((min(scores.min(), threshold), max(scores.max(), threshold)))
    inside = scores.clip(edges[0], edges[-1])
    counts = {
        label: np.histogram(inside[bad == is_bad], edges)[0] for label, is_bad in (("good", False), ("bad", True))
    }
    highest = max(1, *(int(count.max()) for count in counts.values()))
    pitch = WIDTH / (len(edges) - 1)
    bars = [
        Bar(index * pitch + (pitch / 2 if label == "bad" else 0.5), BASE - tall, pitch / 2 - 0.5, tall, label)
        for label, count in counts.items()
        for index, number in enumerate(count)
        if (tall := (BASE - 10) * float(number) / highest)
    ]
    labelled = [(_place(scale, edges, tick), f"{tick:g}") for tick in ticks(scale, float(edges[0]), float(edges[-1]))]
    return Chart(artifact, bars, _place(scale, edges, threshold), labelled, highest)


def _place(scale: str, edges: npt.NDArray[np.float64], value: float) -> float:
    """Position of a score on the axis, on which bins are equally wide."""
    low, high, at = (_straight(scale, float(x)) for x in (edges[0], edges[-1], np.clip(value, edges[0], edges[-1])))
    return WIDTH * (at - low) / (high - low)


def _straight(scale: str, value: float) -> float:
    if scale == "linear":
        return value
    return log(value) if scale == "log" else log(value / (1 - value))


def _groups(
    done: Verification, judged: Judged, runtimes: Mapping[str, Backend], stage: Stage
) -> tuple[list[Group], bool]:
    """Misses, false rejects and flips, with pictures; and whether heat maps are available."""
    misses, false_rejects = wrong(judged.seen, judged.findings)
    flipped = {flip.name for flip in judged.flips}
    headings = [
        ("Misses", "Bad photographs that an artifact would let pass, the lowest score first.", misses),
        ("False rejects", "Good photographs that an artifact would stop, the highest score first.", false_rejects),
    ]
    if len(judged.findings) > 1:
        both = [one for one in judged.seen if one.photograph.name in flipped]
        headings.append(("Flips", "Photographs of which two artifacts say different things.", both))
    painter = _Painter(done, judged, runtimes)
    advance = stage("pictures of the page", sum(min(MOST, len(members)) for _, _, members in headings))

    def card(one: Seen) -> Card:
        advance()
        return painter.card(one)

    groups = [
        Group(heading, about, len(members), [card(one) for one in members[:MOST]], [_name(m) for m in members[MOST:]])
        for heading, about, members in headings
    ]
    return groups, painter.scale is not None


def _name(one: Seen) -> str:
    return one.photograph.name


class _Painter:
    """Draws cards: the photograph, its ground truth outlined, and the heat map of a wrong artifact."""

    def __init__(self, done: Verification, judged: Judged, runtimes: Mapping[str, Backend]) -> None:
        self._thresholds = done.thresholds
        self._contract: LetterboxContract = done.bundle.manifest.letterbox
        self._runtimes = runtimes
        good = [one.photograph for one in judged.seen if not one.photograph.is_bad] or [
            one.photograph for one in judged.seen
        ]
        first = next(iter(runtimes))
        levels = [one.overlap.level for one in judged.findings.values() if one.overlap]
        few = good[:: max(1, -(-len(good) // COLD_LOOKS))]
        maps = (runtimes[first].infer(read_labelled(photograph)[0]).map for photograph in few)
        cells = [cells for cells in maps if cells is not None]
        self.scale: Scale | None = shared_scale(cells, levels[0] if levels else None) if cells else None

    def card(self, one: Seen) -> Card:
        photograph = one.photograph
        frame, truth = read_labelled(photograph)
        is_marked = truth is not None and bool(truth.any())
        pictures = {"photograph, defect outlined" if is_marked else "photograph": frame}
        artifact = next((name for name in self._runtimes if self._is_wrong(one, name)), next(iter(self._runtimes)))
        cells = self._runtimes[artifact].infer(frame).map
        if cells is not None and self.scale is not None:
            height, width = frame.shape[:2]
            heat = map_in_frame(cells, self._contract, height, width)
            pictures[f"heat of {artifact}"] = overlaid(frame, self.scale.of(heat))
        return Card(
            photograph.name,
            _kind(photograph, one),
            [f"{name} {judged_score(score, self._thresholds[name])}" for name, score in one.scores.items()],
            [_picture(picture, about, truth) for about, picture in pictures.items()],
        )

    def _is_wrong(self, one: Seen, artifact: str) -> bool:
        return (one.scores[artifact] >= self._thresholds[artifact]) != one.photograph.is_bad


def _kind(photograph: Photograph, one: Seen) -> str:
    return kind_of(one) if photograph.is_bad else "good"


def _picture(picture: Frame, about: str, truth: Frame | None) -> Picture:
    shown = fitted(picture if truth is None else outlined(picture, truth))
    return embedded(shown, about)
