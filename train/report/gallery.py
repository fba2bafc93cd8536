"""The photographs worth inspecting: misses and false alarms, worst first, and correct ones near the threshold."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from edge.frame import Frame
from edge.report.heat import Scale, coloured, outlined, overlaid
from edge.report.pages import Picture, embedded
from edge.report.thumbnail import fitted
from train.report.pictures import Drawing, Look, drawing
from train.report.scored_photographs import Inspected
from train.run import Run

MOST = 24
"""Largest number of misses shown, and of false alarms."""

CLOSE = 6
"""Number of correctly judged good, and of bad, photographs nearest to the threshold that are shown."""


@dataclass(frozen=True)
class Card:
    """A photograph in the gallery with the pictures that help to explain its score."""

    inspected: Inspected
    pictures: list[Picture]

    @property
    def is_landscape(self) -> bool:
        """Whether its pictures are so wide that they are better stacked vertically."""
        return self.pictures[0].width > 1.5 * self.pictures[0].height


@dataclass(frozen=True)
class Chosen:
    """The photographs of one split in the gallery."""

    misses: list[Inspected]
    false_alarms: list[Inspected]
    close_bad: list[Inspected]
    close_good: list[Inspected]

    @property
    def all(self) -> list[Inspected]:
        """All photographs."""
        return [*self.misses, *self.false_alarms, *self.close_bad, *self.close_good]


def choose(inspected: Sequence[Inspected], threshold: float) -> Chosen:
    """The worst of each kind: misses by ascending score, false alarms by descending, the others by nearness."""
    by_score = sorted(inspected, key=lambda one: (one.score, one.name))
    misses = [one for one in by_score if one.is_miss(threshold)]
    false_alarms = [one for one in reversed(by_score) if one.is_false_alarm(threshold)]
    caught = [one for one in by_score if one.is_bad and one.score >= threshold]
    passed = [one for one in reversed(by_score) if not one.is_bad and one.score < threshold]
    return Chosen(misses[:MOST], false_alarms[:MOST], caught[:CLOSE], passed[:CLOSE])


def card(run: Run, look: Look, scale: Scale | None) -> Card:
    """Draw a card: the photograph, and the heat map over it or beside an autoencoder's input and output."""
    frame, truth = look.frame, look.truth
    pictures = {"photograph" if truth is None else "photograph, defect outlined": frame}
    if scale is not None:
        pictures |= _drawn(drawing(run, look), scale, frame) or _overlaid(look, scale, frame)
    shown = {
        about: fitted(picture if truth is None else outlined(picture, truth)) for about, picture in pictures.items()
    }
    return Card(
        look.inspected,
        [embedded(picture, about) for about, picture in shown.items()],
    )


def _drawn(made: Drawing | None, scale: Scale, frame: Frame) -> dict[str, Frame]:
    """Input, output and heat map with visible pixels, scaled to the frame's size."""
    if made is None:
        return {}
    height, width = made.seen.shape[:2]
    squares = {
        f"as the network sees it, {width}×{height} pixels": made.seen,
        "as the network draws it": made.drawn,
        "heat, where the two differ": coloured(scale.of(made.heat)),
    }
    size = frame.shape[1], frame.shape[0]
    return {
        about: np.asarray(cv2.resize(picture, size, None, 0, 0, cv2.INTER_NEAREST), np.uint8)
        for about, picture in squares.items()
    }


def _overlaid(look: Look, scale: Scale, frame: Frame) -> dict[str, Frame]:
    return {} if look.heat is None else {"heat": overlaid(frame, scale.of(look.heat))}
