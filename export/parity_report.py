"""The parity report in a bundle: the comparisons of every stage and the worst frames, as parity.json and as a page."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edge.backends import Backend
from edge.bundle.tolerance import Bounds
from edge.frame import Frame
from edge.letterbox.frame import graph_frame
from edge.photographs.photograph import read_photograph
from edge.report.heat import coloured
from edge.report.pages import Picture, embedded, templates
from edge.report.thumbnail import fitted
from edge.terminal.progress import Stage
from export.activations import listening
from export.hard_frames import hard_frames
from export.parity import Agreement, answer, bounds_around, check_agreement, compare, margin_of, reference
from export.runtimes import PREFERRED, RUNTIMES
from export.runtimes.base import IMAGE, Floats, Inside
from export.source import Subject
from export.stage_parity import StageCheck, Stages, Worst
from train.letterbox import in_levels, letterboxed

VALIDATION, HARD = "validation photographs", "hard frames"

PAGE, FIGURES = "parity.html", "parity.json"

SHOWN = 112
"""Longer side of a picture on the page, in pixels: small, to keep the bundle small."""

Frames = Mapping[str, Callable[[], Frame]]
"""Functions that read the frames, by the frames' names."""


@dataclass(frozen=True)
class Compared:
    """Results on one set of frames: the stages inside the graphs, and the agreement of each artifact's output."""

    stages: Stages
    agreements: dict[str, Agreement]
    bounds: Bounds


@dataclass(frozen=True)
class Proof:
    """Results of all comparisons by set of frames, `VALIDATION` and `HARD`."""

    compared: dict[str, Compared]

    @property
    def bounds(self) -> Bounds:
        """The allowed differences, the same for every set of frames."""
        return self.compared[HARD].bounds

    @property
    def agreements(self) -> list[Agreement]:
        """The agreement of every artifact on every set of frames."""
        return [agreement for one in self.compared.values() for agreement in one.agreements.values()]

    def margin(self, threshold: float) -> float:
        """Largest difference between any two scores of PyTorch and the artifacts for one frame; see `margin_of`."""
        return max(margin_of(one.agreements, self.bounds, threshold) for one in self.compared.values())


def prove(
    subject: Subject,
    files: Mapping[str, Path],
    onnx_path: Path,
    backends: Mapping[str, Backend],
    tolerance: float,
    stage: Stage,
) -> Proof:
    """Compare every stage on every validation photograph and every hard frame.

    `files` and `backends` are the float32 artifacts of the runtimes, made from the ONNX graph at `onnx_path`.
    `tolerance` is the allowed difference of scores and maps, as a share of the spread of PyTorch's values on the
    validation photographs, or on the hard frames if there are none. Raises ParityError for a larger difference.
    """
    found: dict[str, tuple[Stages, dict[str, Agreement]]] = {}
    bounds: Bounds | None = None
    for about, frames in frame_sets(subject).items():
        tick, check = stage(f"parity on {about}", len(frames)), StageCheck(subject, files, onnx_path)
        agreements = {name: Agreement(name) for name in backends}
        with listening(subject.network, [check.seen.module] if check.seen.module else []) as heard:
            for name, read in frames.items():
                frame = read()
                image, mask = letterboxed(frame, subject.contract)
                expected = answer(subject, image, mask)
                check.look(name, frame, image, heard)
                for artifact, backend in backends.items():
                    said = backend.infer(frame)
                    compare(agreements[artifact], name, said, expected, subject.reference)
                tick()
        if frames and bounds is None:
            bounds = bounds_around(next(iter(agreements.values())), tolerance)
        for agreement in agreements.values():
            if bounds is not None:
                check_agreement(agreement, bounds, subject.reference)
        found[about] = check.seen, agreements
    assert bounds is not None, "there are hard frames"
    return Proof({about: Compared(*one, bounds) for about, one in found.items()})


def frame_sets(subject: Subject) -> dict[str, Frames]:
    """The frames to compare: the sets `VALIDATION` and `HARD`."""
    photographs = {p.name: partial(read_photograph, p) for p in subject.photographs("val")}
    hard = {name: partial(_given, frame) for name, frame in hard_frames(subject.contract)}
    return {VALIDATION: photographs, HARD: hard}


def _given(frame: Frame) -> Frame:
    return frame


def write_figures(folder: Path, proof: Proof, more: Mapping[str, object]) -> None:
    """Write parity.json: the items of `more`, then the results and allowed differences of each stage by artifact."""
    content = {**more, **{about: _figures(compared) for about, compared in proof.compared.items()}}
    (folder / FIGURES).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _figures(compared: Compared) -> dict[str, Any]:
    stages = compared.stages
    return {
        "letterbox, values 0 to 1": {name: vars(worst) for name, worst in stages.letterbox.items()},
        "letterbox between runtimes": vars(stages.between),
        "layer": {
            "compared": stages.module or "none: graph and network have no layer of one shape in common",
            **{name: vars(worst) for name, worst in stages.layer.items()},
        },
        "score and map": {
            name: {
                "frames": len(a.scores),
                "largest score difference": a.largest_score_difference,
                "largest map difference": a.largest_map_difference,
                "largest kind difference": a.largest_kind_difference,
                "allowed, within the range": [compared.bounds.score_tolerance, compared.bounds.map_tolerance],
                "worst frame": a.worst_frame(compared.bounds),
            }
            for name, a in compared.agreements.items()
        },
    }


@dataclass(frozen=True)
class Row:
    """One row of the page's table."""

    stage: str
    artifact: str
    frames: int
    difference: float
    allowed: float
    frame: str


@dataclass(frozen=True)
class Card:
    """The worst frame of a stage, in pictures."""

    stage: str
    frame: str
    pictures: list[Picture]


def write_page(
    folder: Path,
    subject: Subject,
    proof: Proof,
    file: Path,
    backends: Mapping[str, Backend],
    margin: float,
    show_photographs: bool,
    int8: Mapping[str, Sequence[Mapping[str, object]]],
) -> None:
    """Write parity.html. Without `show_photographs` only hard frames are shown, for a bundle without photographs.

    `file` is the float32 artifact of the runtime `PREFERRED`. `int8` has the attempts at each int8 artifact, from
    `export.int8.figures`.
    """
    painter, cards = _Painter(subject, RUNTIMES[PREFERRED].inside(file, [IMAGE]), backends[PREFERRED]), []
    for about, frames in frame_sets(subject).items():
        if about == HARD or show_photographs:
            cards += painter.cards(proof.compared[about], frames)
    page = (
        templates("export")
        .get_template("parity.html.j2")
        .render(
            title=subject.title,
            reference=subject.reference,
            tables={about: _rows(compared) for about, compared in proof.compared.items()},
            module=proof.compared[HARD].stages.module,
            cards=cards,
            margin=margin,
            int8=int8,
        )
    )
    (folder / PAGE).write_text(page, encoding="utf-8")


def _rows(compared: Compared) -> list[Row]:
    stages = compared.stages
    rows = [_row("letterboxed picture", name, worst) for name, worst in stages.letterbox.items()]
    rows.append(_row("letterboxed picture", "from runtime to runtime", stages.between))
    rows += [_row("late layer", name, worst) for name, worst in stages.layer.items()]
    for a in compared.agreements.values():
        rows += _worst(a, compared.bounds)
    return rows


def _worst(a: Agreement, bounds: Bounds) -> list[Row]:
    """The frames whose score, whose map and whose kinds differ by the largest share of the allowed difference."""
    scores = [abs(score - said) for score, said in zip(a.scores, a.expected, strict=True)]
    maps = [one[2] if one else 0.0 for one in a.maps]
    rows = []
    for what, off, shares, usual in (
        ("score", scores, a.score_shares(bounds), bounds.score_tolerance),
        ("map", maps, a.map_shares(bounds), bounds.map_tolerance),
    ):
        worst = int(np.argmax(shares)) if shares else 0
        difference = off[worst] if off else 0.0
        allowed = difference / shares[worst] if difference else usual
        rows.append(Row(what, a.backend, len(off), difference, allowed, a.frames[worst] if off else ""))
    if bounds.kind_tolerance is not None:
        kinds = [one[1] if one else 0.0 for one in a.kinds]
        worst = int(np.argmax(kinds)) if kinds else 0
        frame = a.frames[worst] if kinds else ""
        rows.append(Row("kind", a.backend, len(kinds), max(kinds, default=0.0), bounds.kind_tolerance, frame))
    return rows


def _row(stage: str, artifact: str, worst: Worst) -> Row:
    return Row(stage, artifact, worst.frames, worst.difference, worst.allowed, worst.frame)


class _Painter:
    """Draws the frames on which a stage differed most: PyTorch's output, and where the runtime `PREFERRED` differs."""

    def __init__(self, subject: Subject, inside: Inside, backend: Backend) -> None:
        self._subject, self._inside, self._backend = subject, inside, backend

    def cards(self, compared: Compared, frames: Frames) -> list[Card]:
        """A card for the letterbox and, if there is a map, a card for the map; none without frames."""
        if not frames:
            return []
        picture = compared.stages.letterbox[PREFERRED].frame
        where = compared.agreements[PREFERRED].worst_frame(compared.bounds)
        cards = [Card("letterboxed picture", picture, self._letterbox(frames[picture]()))]
        if maps := self._maps(frames[where]()):
            cards.append(Card("map", where, maps))
        return cards

    def _letterbox(self, frame: Frame) -> list[Picture]:
        contract = self._subject.contract
        image = letterboxed(frame, contract)[0]
        apart = (
            np.abs(self._inside.look(graph_frame(frame, contract))[IMAGE][0] - image.numpy())
            * np.reshape(contract.std, (-1, 1, 1))
        ).max(0)
        levels = in_levels(image, contract).numpy().transpose(1, 2, 0) * 255
        shown = np.broadcast_to(levels[:, :, ::-1] if contract.colour == "rgb" else levels, (*levels.shape[:2], 3))
        return [
            _picture(frame, f"frame, {frame.shape[1]}×{frame.shape[0]}"),
            _picture(shown.round().clip(0, 255).astype(np.uint8), "letterboxed by PyTorch"),
            _picture(
                _heat(apart), f"difference of {RUNTIMES[PREFERRED].title}, hottest {255 * apart.max():.2g} grey levels"
            ),
        ]

    def _maps(self, frame: Frame) -> list[Picture]:
        expected, found = reference(self._subject, frame).map, self._backend.infer(frame).map
        if expected is None or found is None:
            return []
        apart = np.abs(found - expected)
        return [
            _picture(frame, f"frame, {frame.shape[1]}×{frame.shape[0]}"),
            _picture(_heat(expected), f"map expected, hottest {expected.max():.3g}"),
            _picture(_heat(apart), f"difference of {RUNTIMES[PREFERRED].title}, hottest {apart.max():.2g}"),
        ]


def _heat(values: Floats) -> Frame:
    """The values as colours, from black for 0 to the brightest colour for the largest value."""
    return coloured((values.clip(0) / max(float(values.max()), 1e-12)).astype(np.float32))


def _picture(picture: Frame, about: str) -> Picture:
    return embedded(fitted(picture, SHOWN), about)
