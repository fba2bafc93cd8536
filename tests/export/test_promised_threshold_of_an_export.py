"""An export whose threshold makes a promise: counted by parts, kept by every artifact, refused before any work."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from edge.errors import DataError
from edge.letterbox.contract import LetterboxContract
from edge.photographs.photograph import Photograph
from edge.terminal.progress import SILENT
from export.pack import export_subject
from export.source import Subject, parse_threshold
from export.threshold import as_pytorch, judged, level_of

OPTION = "false-rejects-with-confidence=0.1,0.8"
"""It takes 16 good parts, none of which may be rejected."""


def subject(photographs: Sequence[Photograph]) -> Subject:
    choice = parse_threshold(OPTION)
    network, contract = torch.nn.Identity(), LetterboxContract(side=32)
    return Subject("x", "one-class", network, contract, choice, Path("data"), "0" * 64, lambda split: [*photographs])


def good(count: int, of_each: int = 1) -> list[Photograph]:
    return [
        Photograph(Path(f"{number}.png"), f"{number}.png", "good", details={"part": str(number // of_each)})
        for number in range(count)
    ]


def test_photographs_of_one_part_count_once() -> None:
    """Of 32 photographs as many parts, one may be rejected; of 16 parts none."""
    scores = [float(number) for number in range(32)]
    alone, twice = good(32), good(32, of_each=2)
    assert level_of(subject(alone), alone, scores) == 30.5
    assert level_of(subject(twice), twice, scores) > 31
    thrice = good(32, of_each=3)
    with pytest.raises(DataError, match="at least 16 good parts to choose on, and there are 11"):
        level_of(subject(thrice), thrice, scores)


def test_an_artifact_keeps_the_promise_before_pytorchs_verdicts() -> None:
    """A good part that PyTorch would reject at a given number scores lower than others in this artifact."""
    photographs = good(16)
    scores = [*map(float, range(14)), 20.0, 15.0]
    own = level_of(subject(photographs), photographs, scores)
    assert own > 20
    as_before = as_pytorch(subject(photographs), photographs, scores, [False] * 16, own)
    assert as_before == own
    assert as_pytorch(subject(photographs), photographs, scores, [False] * 14 + [True] * 2, own) == own
    free = replace(subject(photographs), threshold=parse_threshold("specificity=0.95"))
    assert as_pytorch(free, photographs, scores, [False] * 14 + [True] * 2, own) == 14.0
    said = [*map(float, range(15)), 40.0]
    assert judged(subject(photographs), photographs, scores, said, 30.0).confusion.fp == 0


def test_too_few_photographs_are_refused_before_anything_is_exported(tmp_path: Path) -> None:
    files = []
    for number in range(15):
        file = tmp_path / f"{number}.png"
        cv2.imwrite(str(file), np.full((40, 40, 3), number, np.uint8))
        files.append(Photograph(file, file.name, "good"))
    begun: list[str] = []

    def stage(name: str, *_: object) -> object:
        begun.append(name)
        return SILENT.begin(name)

    with pytest.raises(DataError, match="at least 16 good photographs to choose on, and there are 15"):
        export_subject(subject(files), tmp_path / "x.edge", stage)  # type: ignore[arg-type]
    assert not begun
    assert not (tmp_path / "x.edge").exists()
