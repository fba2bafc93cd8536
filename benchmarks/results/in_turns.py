"""An exported network against the experiments' own program, in turns on the same photographs.

Ours: the file is read by `edge.photographs`, and an artifact of the bundle takes the frame; each artifact is a program.
Theirs: PIL opens the file, makes it smaller and pads it, and PyTorch runs the network eagerly on one photograph.
"""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.results.beside import Measurement
from edge.backends import load_from
from edge.bench import machine
from edge.bundle import load_bundle
from edge.letterbox.contract import LetterboxContract
from edge.letterbox.geometry import letterbox
from edge.photographs.photograph import Photograph, read_photograph
from edge.terminal.progress import SILENT, Stage
from train.run import Run

WHAT = "in-turns"

ARTIFACTS = ("openvino", "onnxruntime")
THEIRS = "PIL and PyTorch"
TURN = 28
"""Photographs of one turn."""

WARM_UP = 8
Judge = Callable[[Photograph], float]


class Program(Measurement):
    """One program: an artifact's name or `THEIRS`, and its `seconds` from files to scores.

    `same` counts the photographs with the verdict of `THEIRS` at the run's threshold, `difference` is the largest one
    of a score from theirs.
    """

    name: str
    seconds: float
    same: int
    difference: float


class InTurns(Measurement):
    """All programs on the same `photographs` photographs, which have `sizes` different sizes."""

    photographs: int
    sizes: int
    threads: int
    programs: tuple[Program, ...]
    processor: str
    load_before: float


def measure_in_turns(run: Run, bundle: Path, stage: Stage = SILENT.begin) -> InTurns:
    """Judge all test photographs with every program, `TURN` photographs at a time, in one process.

    Raises BundleError or DataError.
    """
    assert run.record.selection is not None
    threshold, photographs = run.record.selection.threshold.value, run.photographs("test")
    threads = len(os.sched_getaffinity(0))
    load_before, before = os.getloadavg()[0], torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        judges = {name: exported_judge(bundle, name, threads) for name in ARTIFACTS} | {THEIRS: experiments_judge(run)}
        for judge in judges.values():
            _timed(judge, photographs[:WARM_UP])
        took, scores = _in_turns(list(judges.values()), photographs, stage)
    finally:
        torch.set_num_threads(before)
    found = dict(zip(judges, map(np.array, scores), strict=True))
    theirs = found[THEIRS]
    return InTurns(
        photographs=len(photographs),
        sizes=len({read_photograph(one).shape for one in photographs}),
        threads=threads,
        programs=tuple(
            Program(
                name=name,
                seconds=seconds,
                same=int(((found[name] >= threshold) == (theirs >= threshold)).sum()),
                difference=float(np.abs(found[name] - theirs).max()),
            )
            for name, seconds in zip(judges, took, strict=True)
        ),
        processor=str(machine()["cpu"]),
        load_before=load_before,
    )


def exported_judge(bundle: Path, artifact: str, threads: int) -> Judge:
    """From file to score by an artifact of a bundle, for photographs of any size."""
    backend = load_from(load_bundle(bundle), artifact, threads, alone=True)
    return lambda photograph: backend.infer(read_photograph(photograph)).score


def experiments_judge(run: Run) -> Judge:
    """From file to score by the experiments' program: PIL, a batch of one, PyTorch without gradients."""
    network = run.network.eval()

    def judge(photograph: Photograph) -> float:
        image, mask = experiments_input(photograph.path, run.contract)
        with torch.no_grad():
            score, _ = network(image[None], mask[None])
        return float(score)

    return judge


def experiments_input(file: Path, contract: LetterboxContract) -> tuple[Tensor, Tensor]:
    """The network's input, made by PIL: RGB float32 [3, S, S], normalised, and 1 on the picture, float32 [1, S, S]."""
    side = contract.side
    with Image.open(file) as opened:
        picture = opened.convert("RGB")
    box = letterbox(picture.height, picture.width, side, contract.mode == "stretch")
    square = Image.new("RGB", (side, side), (contract.fill,) * 3)
    square.paste(picture.resize((box.width, box.height), Image.Resampling.BILINEAR), (box.left, box.top))
    mask = torch.zeros(1, side, side)
    mask[:, box.top : box.top + box.height, box.left : box.left + box.width] = 1
    levels = torch.from_numpy(np.asarray(square, np.float32) / 255).permute(2, 0, 1)
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (contract.mean, contract.std))
    return (levels - mean) / std, mask


def _in_turns(
    judges: Sequence[Judge], photographs: Sequence[Photograph], stage: Stage
) -> tuple[list[float], list[list[float]]]:
    """Seconds and scores of each judge; the one that begins a turn changes with each turn."""
    took, scores = [0.0 for _ in judges], [list[float]() for _ in judges]
    advance = stage("both programs in turns", len(photographs))
    for turn, start in enumerate(range(0, len(photographs), TURN)):
        chosen = photographs[start : start + TURN]
        for place in range(len(judges)):
            index = (turn + place) % len(judges)
            seconds, found = _timed(judges[index], chosen)
            took[index] += seconds
            scores[index] += found
        advance(len(chosen))
    return took, scores


def _timed(judge: Judge, photographs: Sequence[Photograph]) -> tuple[float, list[float]]:
    began_s = time.perf_counter()
    scores = [judge(photograph) for photograph in photographs]
    return time.perf_counter() - began_s, scores
