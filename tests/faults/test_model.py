"""Faults of the model: NaN, one exception, repeated exceptions, no memory. No part with such a fault is good."""

import json
import resource
import signal
from pathlib import Path

import pytest
from support.failing_model import BAD, BLACK, GOOD, HUNGRY, WHITE, moody_bundle, write_frames
from support.line import running_line

from edge.verdict import Outcome, Reason, State


@pytest.fixture(scope="module")
def moody(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return moody_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.mark.parametrize("grey", [WHITE, BLACK, HUNGRY], ids=["nan", "exception", "no memory"])
def test_a_frame_on_which_the_model_fails_is_unknown_backend_and_the_next_one_is_judged(
    grey: int, moody: Path, tmp_path: Path
) -> None:
    frames = write_frames(tmp_path / "frames", [GOOD, grey, GOOD, BAD])
    with running_line("--source", frames, bundle=moody) as line:
        assert line.to_the_end() == 0, line.stderr
    assert [v.verdict for v in line.verdicts] == ["good", "unknown", "good", "reject"]
    assert line.verdicts[1].reason is Reason.BACKEND
    assert line.verdicts[1].score is None
    assert json.loads(line.stdout)["restarts"] == 0


def test_ten_failures_in_a_row_hold_the_line_and_replace_the_process(moody: Path, tmp_path: Path) -> None:
    frames = write_frames(tmp_path / "frames", [GOOD, *[BLACK] * 10, GOOD])
    with running_line("--source", frames, bundle=moody) as line:
        line.until_state(State.HELD)
        assert line.to_the_end() == 0
    assert [v.verdict for v in line.verdicts] == ["good", *["unknown"] * 10, "good"]
    assert json.loads(line.stdout)["restarts"] == 1


def test_an_inference_process_without_memory_is_replaced_and_passes_nothing_meanwhile(
    moody: Path, tmp_path: Path
) -> None:
    frames = write_frames(tmp_path / "frames", [GOOD])
    options = ("--source", frames, "--loop", "--rate", "50/s", "--backend", "onnxruntime", "--budget-ms", 1000)
    with running_line(*options, bundle=moody) as line:
        line.until(5)
        child = line.child("edge-inference")
        resource.prlimit(child, resource.RLIMIT_AS, (2**20, 2**20))
        resource.prlimit(child, resource.RLIMIT_DATA, (2**20, 2**20))
        before = len(line.verdicts)
        line.until(before + 200)
        line.process.send_signal(signal.SIGTERM)
        assert line.to_the_end() == 0, line.stderr
    assert [v.seq for v in line.verdicts] == list(range(1, len(line.verdicts) + 1))
    assert all(v.score is None or v.verdict is Outcome.GOOD for v in line.verdicts)
