"""The supervisor's side of the inference child, message by message and with simulated time, without a child."""

from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest
from support.line import station_config

from edge.station.inference.process import MOST_FAULTS, Model
from edge.station.inference.seat import Scoring
from edge.station.process.messages import Inferred, Loaded, SelfTest

MS = 1_000_000


class Idle:
    """A loaded, idle model whose self-test takes `proof_ms`, with simulated time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, proof_ms: int) -> None:
        self.now_ms, self.proof_ms = 1_000, proof_ms
        self.said: deque[Any] = deque([Loaded("openvino", 0.0, proof_ms * MS)])
        self.asked: list[int] = []  # when self-tests were asked for, ms
        clock = SimpleNamespace(monotonic_ns=lambda: self.now_ms * MS)
        for module in ("inference.process", "inference.seat"):
            monkeypatch.setattr(f"edge.station.{module}.time", clock)
        config = station_config()
        self.model = Model(config, "")
        self.scoring = Scoring(config, self.model)
        child = SimpleNamespace(send=self._ask, kill=lambda: None, is_running=True, lived_s=0.0)
        child.receive = lambda: self.said.popleft() if self.said else None
        self.model.child = child  # type: ignore[assignment]
        list(self.scoring.receive())

    def _ask(self, message: object) -> None:
        if isinstance(message, SelfTest):
            self.asked.append(self.now_ms)

    def run(self, seconds: int, answers: bool = True) -> None:
        """Run the station's loop for `seconds`, one turn every 10 ms of simulated time."""
        for _ in range(seconds * 100):
            self.now_ms += 10
            if answers and self.asked and self.model.is_tested and self.now_ms >= self.asked[-1] + self.proof_ms:
                self.said.append(Inferred(0, 0.5, None, self.asked[-1] * MS, self.now_ms * MS))
            list(self.scoring.receive())
            list(self.scoring.supervise())
            self.scoring.test()


@pytest.mark.parametrize("proof_ms", [10, 500, 3000, 8000])
def test_an_idle_model_proves_itself_again_and_again_however_slow_it_is_and_is_not_killed(
    monkeypatch: pytest.MonkeyPatch, proof_ms: int
) -> None:
    idle = Idle(monkeypatch, proof_ms)
    oldest_ms = 0.0
    for _ in range(120):
        idle.run(1)
        assert idle.scoring.is_up
        assert not idle.scoring.is_overdue
        oldest_ms = max(oldest_ms, idle.scoring.age_ms or 0.0)
    assert len(idle.asked) > 3
    assert oldest_ms < 30_000, "the watchdog's patience"


def test_a_model_that_fails_on_every_frame_is_replaced_though_its_self_tests_between_them_go_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    idle = Idle(monkeypatch, 10)
    for seq in range(1, MOST_FAULTS + 1):
        assert idle.scoring.is_up
        idle.run(2)
        while idle.model.is_tested:
            idle.run(1)
        idle.scoring.submit(seq, "slot", 9, 9, (idle.now_ms + 100) * MS)
        idle.said.append(Inferred(seq, float("nan"), "it raised", 0, 0))
        list(idle.scoring.receive())
    assert len(idle.asked) >= MOST_FAULTS
    assert not idle.scoring.is_up


def test_a_self_test_that_hangs_costs_readiness_at_once_and_the_process_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    idle = Idle(monkeypatch, 10)
    idle.run(1, answers=False)
    idle.run(1, answers=False)
    assert idle.scoring.is_overdue
    assert idle.scoring.is_up
    idle.run(2, answers=False)
    assert not idle.scoring.is_up


def test_a_frame_behind_the_one_whose_failure_replaces_the_model_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    idle = Idle(monkeypatch, 10)
    for seq in range(1, MOST_FAULTS + 1):
        idle.scoring.submit(seq, "slot", 9, 9, (idle.now_ms + 100) * MS)
        if seq == MOST_FAULTS:
            idle.scoring.submit(seq + 1, "slot", 9, 9, (idle.now_ms + 100) * MS)
        idle.said.append(Inferred(seq, float("nan"), "it raised", 0, 0))
        results = list(idle.scoring.receive())
        assert [result.seq for result in results] == [seq]
    assert not idle.scoring.is_up
    assert list(idle.scoring.take_back()) == [MOST_FAULTS + 1]
