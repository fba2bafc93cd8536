"""A child of the station dies or hangs while parts arrive: each accepted part has exactly one verdict."""

import json
import os
import signal
from collections import Counter

import pytest
from support.line import running_line

from edge.verdict import Outcome, Reason, State


@pytest.mark.parametrize("child", ["edge-capture", "edge-inference"])
@pytest.mark.parametrize("pace", [(), ("--rate", "50/s")], ids=["stored", "live"])
def test_kill_9_of_a_child_costs_no_verdict_and_the_line_goes_on(child: str, pace: tuple[object, ...]) -> None:
    parts = 300 if pace else 150  # a live line must last until the new child has started
    with running_line("--source", "demo", "--size", "320x180", "--limit", parts, *pace) as line:
        line.until(20)
        os.kill(line.child(child), signal.SIGKILL)
        assert line.to_the_end() == 0
    assert [v.seq for v in line.verdicts] == list(range(1, len(line.verdicts) + 1))
    result = json.loads(line.stdout)
    assert result["accepted"] == len(line.verdicts)
    assert result["in_flight"] == 0
    assert result["restarts"] == 1
    assert any(b.state is State.HELD and not b.ready for b in line.heartbeats)
    assert len({v.epoch for v in line.verdicts}) == 1
    assert max(Counter(v.part for v in line.verdicts).values()) == 1
    if not pace:
        assert result["accepted"] == 150, "a stored source goes on where it stopped"
    unknown = {v.reason for v in line.verdicts if v.verdict is Outcome.UNKNOWN}
    if child == "edge-capture":
        busy = {Reason.OVERLOAD} if pace else set()
        assert unknown <= busy, "no accepted part was with the capture process"
    else:
        assert unknown <= {Reason.BACKEND, Reason.OVERLOAD}


def test_a_stopped_inference_child_makes_late_parts_unknown_and_is_replaced() -> None:
    options = ("--rate", "20/s", "--limit", 200, "--budget-ms", 300)
    with running_line("--source", "demo", "--size", "320x180", *options) as line:
        line.until(20)
        os.kill(line.child("edge-inference"), signal.SIGSTOP)
        assert line.to_the_end() == 0
    result = json.loads(line.stdout)
    assert result["accepted"] == len(line.verdicts) == 200
    late = [v for v in line.verdicts if v.reason is Reason.LATE]
    assert late
    assert all(v.verdict is Outcome.UNKNOWN and v.score is None for v in late)
    assert result["restarts"] == 1
    assert line.verdicts[-1].verdict is not Outcome.UNKNOWN, "the line goes on with a new child"


def test_a_stopped_capture_child_is_noticed_and_replaced() -> None:
    with running_line("--source", "demo", "--size", "320x180", "--rate", "50/s", "--limit", 400) as line:
        line.until(20)
        os.kill(line.child("edge-capture"), signal.SIGSTOP)
        assert line.to_the_end() == 0
    assert [v.seq for v in line.verdicts] == list(range(1, len(line.verdicts) + 1))
    assert any(b.state is State.HELD and b.cause and b.cause.startswith("camera") for b in line.heartbeats)
    assert json.loads(line.stdout)["restarts"] == 1
