"""The model is warmed up shortly before a part is expected, and a part waits for at most one warm-up."""

from collections.abc import Iterator

import pytest
from support.line import DEMO_BUNDLE, running_line

from edge.station.inference import warmer
from edge.station.inference.warmer import MOST_MISSED, REMEMBERED, Warmer
from edge.station.process.messages import Infer, SelfTest

MS = 1_000_000
TAKES_MS = 8


class Line:
    """The station's end of the pipe, with simulated time: orders come at given times, a run of the model takes 8 ms."""

    def __init__(self, moments_ms: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
        self.moments, self.now_ns, self.runs_ms = [int(ms * MS) for ms in moments_ms], 0, []
        monkeypatch.setattr(warmer.time, "monotonic_ns", lambda: self.now_ns)
        self.warmer = Warmer(self, self.warm)

    def warm(self) -> None:
        self.runs_ms.append(self.now_ns / MS)
        self.now_ns += TAKES_MS * MS

    def poll(self, seconds: float | None) -> bool:
        if not self.moments:
            if seconds is None:
                raise EOFError
            self.now_ns += int(seconds * 1e9)
            return False
        wakes_ns = self.moments[0] if seconds is None else min(self.moments[0], self.now_ns + int(seconds * 1e9))
        self.now_ns = max(self.now_ns, wakes_ns)
        return self.moments[0] <= self.now_ns

    def recv(self) -> Infer:
        return Infer(1, "", 1, 1) if self.moments.pop(0) >= 0 else SelfTest()

    def waits_ms(self) -> Iterator[float]:
        """Milliseconds for which each part waits for the model; judging a part takes 8 ms."""
        while self.moments:
            came_ns = self.moments[0]
            self.warmer.next_order()
            yield (self.now_ns - came_ns) / MS
            self.now_ns += TAKES_MS * MS


def test_the_model_is_run_once_before_each_part_as_soon_as_the_cadence_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = Line([100 * n for n in range(30)], monkeypatch)
    assert list(line.waits_ms()) == [0.0] * 30
    assert len(line.runs_ms) == 30 - REMEMBERED - 1
    before = [100 * -(-at // 100) - at for at in line.runs_ms[1:]]
    assert all(TAKES_MS < ms < 3 * TAKES_MS for ms in before), "shortly before, and over when the part comes"


def test_a_part_that_comes_early_waits_for_one_run_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    regular = [100 * n for n in range(15)]
    line = Line([*regular, 1400 + 92], monkeypatch)
    waits = list(line.waits_ms())
    assert waits[:-1] == [0.0] * 15
    assert 0 < waits[-1] <= TAKES_MS


def test_a_line_that_rests_lets_the_model_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line([100 * n for n in range(12)], monkeypatch)
    list(line.waits_ms())
    runs = len(line.runs_ms)
    with pytest.raises(EOFError):
        line.warmer.next_order()
    assert len(line.runs_ms) == runs + MOST_MISSED


def test_a_rest_does_not_change_the_cadence(monkeypatch: pytest.MonkeyPatch) -> None:
    again = [100 * n for n in range(12)] + [60_000 + 100 * n for n in range(12)]
    line = Line(again, monkeypatch)
    assert list(line.waits_ms()) == [0.0] * 24
    assert sum(at > 60_000 for at in line.runs_ms) == 11, "from the first part after the rest on"


def test_a_line_too_fast_to_rest_in_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line([20 * n for n in range(40)], monkeypatch)
    assert list(line.waits_ms()) == [0.0] * 40
    assert len(line.runs_ms) <= 1, "the first shows how long it takes"


def test_a_station_that_keeps_warm_says_of_each_part_what_one_that_does_not_says() -> None:
    flags = ("--source", "demo", "--size", "320x180", "--limit", "24", "--rate", "12/s", "--backend", "onnxruntime")
    said = []
    for more in ((), ("--keep-warm",)):
        with running_line(*flags, "--no-records", *more, bundle=DEMO_BUNDLE) as line:
            assert line.to_the_end() == 0
        said.append([(one.seq, one.verdict, one.score) for one in line.verdicts])
    assert len(said[0]) == 24
    assert said[0] == said[1]
