"""The comparison of pictures with the training photographs in the inference process loses no score, delays no part."""

from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest

from edge.bundle import Unmeasured, load_bundle
from edge.bundle.input_distance import InputDistance, InputFeatures
from edge.bundle.shipped import DEMO, shipped_bundle
from edge.demo.line import DemoLine
from edge.frame import Frame
from edge.pictures.features import Rows
from edge.station.inference import input_probe
from edge.station.inference.input_probe import MOST_A_SECOND, MOST_SKIPPED, SUMMED, InputProbe


@pytest.fixture(scope="module")
def comparison() -> InputDistance:
    found = InputDistance.of(load_bundle(shipped_bundle(DEMO)).manifest)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def frame() -> Frame:
    return DemoLine(size=(180, 320)).render(0).frame


def test_the_distance_of_a_picture_is_there_once_after_it_was_compared(comparison: InputDistance, frame: Frame) -> None:
    probe = InputProbe(comparison)
    assert probe.take() is None
    probe.copy_rows(frame)
    assert probe.take() is None, "not before the result was sent"
    probe.compare(is_awaited=False)
    assert probe.take() == comparison.measure_frame(frame)
    assert probe.take() is None


def test_the_picture_is_compared_as_it_was_when_its_result_was_sent(comparison: InputDistance, frame: Frame) -> None:
    probe, slot = InputProbe(comparison), frame.copy()
    probe.copy_rows(slot)
    slot[:] = 0  # the capture process fills it with the next frame
    probe.compare(is_awaited=False)
    assert probe.take() == comparison.measure_frame(frame)


def test_a_part_that_waits_goes_first_but_some_pictures_are_compared(comparison: InputDistance, frame: Frame) -> None:
    probe, compared = InputProbe(comparison), []
    for _ in range(3 * (MOST_SKIPPED + 1)):
        probe.copy_rows(frame)
        probe.compare(is_awaited=True)
        compared.append(probe.take() is not None)
    assert compared == 3 * [*[False] * MOST_SKIPPED, True]


def test_a_picture_that_comes_while_another_is_compared_is_passed_over(
    comparison: InputDistance, frame: Frame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With several streams another thread may have the next result of a station ready."""
    probe, features = InputProbe(comparison), comparison.features
    expected = comparison.measure_frame(frame)

    def measure_while_the_next_comes(rows: Rows) -> npt.NDArray[np.float64]:
        probe.copy_rows(np.zeros_like(frame))
        return features(rows)

    monkeypatch.setattr(comparison, "features", measure_while_the_next_comes)
    probe.copy_rows(frame)
    probe.compare(is_awaited=False)
    assert probe.take() == expected


def test_a_self_test_leaves_nothing_to_compare(comparison: InputDistance) -> None:
    probe = InputProbe(comparison)
    probe.compare(is_awaited=False)
    assert probe.take() is None


def test_a_bundle_without_statistics_compares_nothing(frame: Frame) -> None:
    probe = InputProbe(None)
    probe.copy_rows(frame)
    probe.compare(is_awaited=False)
    assert probe.take() is None


def test_features_are_summed_with_and_without_statistics(comparison: InputDistance, frame: Frame) -> None:
    features = comparison.features(comparison.copy_rows(frame))
    for one in (comparison, InputFeatures(load_bundle(shipped_bundle(DEMO)).manifest.letterbox)):
        probe = InputProbe(one)
        for number in range(2 * SUMMED):
            assert (probe.take_sums() is None) is (number != SUMMED)
            probe.copy_rows(frame)
            probe.compare(is_awaited=False)
        summed = probe.take_sums()
        assert summed is not None
        assert summed.pictures == SUMMED
        assert np.allclose(summed.sums, SUMMED * features)
        assert np.allclose(summed.squares, SUMMED * features**2)
        assert (probe.take() is None) is (one is not comparison)


class Broken(InputDistance):
    """A comparison that fails in one of its steps."""

    def __init__(self, step: str) -> None:
        self._step = step

    def warm_up(self) -> None:
        if self._step == "start":
            raise ValueError("no such start")

    def copy_rows(self, frame: Frame) -> Rows:
        if self._step == "copy":
            raise MemoryError("no memory\nfor rows")
        return Rows(frame[:1], 2)

    def features(self, rows: Rows) -> npt.NDArray[np.float64]:
        raise ValueError("no such rows")


@pytest.mark.parametrize("step", ["start", "copy", "features"])
def test_a_failure_is_told_once_and_ends_the_comparison(step: str) -> None:
    probe = InputProbe(Broken(step))
    for _ in range(3):
        probe.copy_rows(np.zeros((20, 20, 3), np.uint8))
        probe.compare(is_awaited=False)
    told = probe.take()
    assert isinstance(told, Unmeasured)
    assert told.why in ("no such start", "no memory", "no such rows")
    assert "\n" not in told.why
    probe.copy_rows(np.zeros((20, 20, 3), np.uint8))
    probe.compare(is_awaited=False)
    assert probe.take() is None


def test_pictures_that_come_fast_are_all_compared_at_first_and_later_some_in_a_second(
    comparison: InputDistance, frame: Frame, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 100.0
    monkeypatch.setattr(input_probe, "FIRST", 5)
    monkeypatch.setattr(input_probe, "time", SimpleNamespace(monotonic=lambda: now_s))
    probe, compared = InputProbe(comparison), []
    for _ in range(5 + 200):
        probe.copy_rows(frame)
        probe.compare(is_awaited=False)
        compared.append(probe.take() is not None)
        now_s += 0.0051
    assert compared[:5] == [True] * 5
    assert 0 < sum(compared[5:]) <= 200 * 0.0051 * MOST_A_SECOND + 1
    now_s += 1
    probe.copy_rows(frame)
    probe.compare(is_awaited=False)
    assert probe.take() is not None, "a slow line's pictures are all compared"
