"""`python -m benchmarks.contestants FILE`: the process of one contestant, whose `Setup` is in FILE as JSON.

Prints the line `{}` when it is ready. For each number on a line of input it runs that many frames and answers with one
line: `ms`, the time of each, and `scores`, those of each frame's first run. All other output of libraries goes to
standard error.
"""

import ctypes
import json
import os
import signal
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contestants import Setup

WARM_UP = 8
AWAKE = 2
"""Untimed frames at the start of each turn, because the process was stopped before."""

_PR_SET_PDEATHSIG = 1


def main(file: Path) -> None:
    """Serve until standard input or the parent process ends, even if this process is stopped."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    given: dict[str, Any] = json.loads(file.read_text())
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    setup = Setup(**given)
    frames = np.load(setup.frames)
    module: Any = import_module(f"benchmarks.contestants.{setup.name}")
    infer = module.load(setup)
    for number in range(WARM_UP):
        infer(frames[number % len(frames)])
    answers.write("{}\n")
    turn = 0
    for line in sys.stdin:
        samples, scores = [], []
        for frame in frames[:AWAKE]:
            infer(frame)
        for _ in range(int(line)):
            frame = frames[turn % len(frames)]
            begun = time.perf_counter_ns()
            score = infer(frame)
            samples.append((time.perf_counter_ns() - begun) / 1e6)
            if turn < len(frames):
                scores.append(score)
            turn += 1
        answers.write(json.dumps({"ms": samples, "scores": scores}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
