"""The benchmark of the watch on drift: its simulated lines, and its page, on numbers that need no rendering."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.drift.chart import write_chart
from benchmarks.drift.page import fault_result, render, weeks_result
from benchmarks.drift.rendering import Effect, Eye, Fault, Seen, effect
from benchmarks.drift.simulation import COMMISSIONING, RATE, Lots, Noticed, Plant, at, doubled, false_alarms, notice
from edge.pictures.features import FEATURES, RESOLUTION
from edge.station.drift.chart import WEEK
from edge.station.drift.features import FEATURES as WATCHED
from edge.station.drift.features import REJECTS, SCORE

LOTS = Lots("lots of 8 minutes", 8)


@pytest.fixture(scope="module")
def seen() -> Seen:
    rng = np.random.default_rng(0)
    features = 50 + rng.normal(size=(1500, len(FEATURES))) * 3 * np.array([*RESOLUTION.values()])
    scores = np.where(np.arange(1500) % 50 == 0, 0.9, 0.1 + 0.02 * rng.normal(size=1500))
    return Seen(features, scores, 0.5)


@pytest.fixture(scope="module")
def lamp() -> list[Effect]:
    """A lamp with half a grey level for each per cent that is lost; beyond a tenth rejects come."""
    fall = np.array([-50.0 if name == "brightness" else 0.0 for name in FEATURES])
    return [Effect(loss, loss * fall, 0.0, 0.02 + 0.9 * max(0.0, loss - 0.1), 0.02) for loss in (0.1, 0.2, 0.4)]


def test_a_minute_has_every_feature_and_the_line_s_own_mean(seen: Seen, lamp: list[Effect]) -> None:
    plant = Plant(seen, lamp, Lots("none", 0, day=0.0), 1)
    minutes = [plant.minute() for _ in range(200)]
    assert minutes[0].keys() == WATCHED.keys()
    for number, name in enumerate(FEATURES):
        if name not in WATCHED:
            continue
        mean = np.mean([minute[name].mean for minute in minutes])
        assert mean == pytest.approx(seen.features[:, number].mean(), abs=0.5 * RESOLUTION[name])
    assert np.mean([minute[SCORE].mean for minute in minutes]) == pytest.approx(0.1, abs=0.002)
    assert np.mean([minute[REJECTS].mean for minute in minutes]) == pytest.approx(0.02, abs=0.004)
    assert np.var([minute[REJECTS].mean for minute in minutes]) > 0.5 * 0.02 / RATE


def test_lots_move_the_blocks_more_than_chance(seen: Seen, lamp: list[Effect]) -> None:
    deviations = []
    for lots in (Lots("none", 0, day=0.0), LOTS):
        plant = Plant(seen, lamp, lots, 1)
        deviations.append(np.std([plant.minute()["brightness"].mean for _ in range(300)]))
    assert deviations[1] > 3 * deviations[0]


def test_between_severities_the_effect_is_in_proportion(lamp: list[Effect]) -> None:
    brightness = FEATURES.index("brightness")
    assert [at(lamp, loss).features[brightness] for loss in (0.0, 0.05, 0.15, 0.9)] == [0, -2.5, -7.5, -20]
    assert [at(lamp, loss).rejects for loss in (0.0, 0.05, 0.15)] == pytest.approx([0.02, 0.02, 0.065])
    assert doubled(lamp, 0.1 / 240, 960) == 294  # a loss of 0.1222
    assert doubled(lamp, 0.1 / 240, 240) is None


def test_an_unchanged_line_is_quiet_and_a_lamp_is_noticed_before_rejects_double(seen: Seen, lamp: list[Effect]) -> None:
    assert false_alarms(Plant(seen, lamp, LOTS, 2), 0.1) == []
    found = notice(Plant(seen, lamp, LOTS, 3), lamp, 0.1 / 240, 400)
    assert found.feature == "brightness"
    assert found.minutes is not None
    assert found.minutes < 294


def test_the_interval_of_no_alarm_is_that_of_poisson() -> None:
    found = weeks_result("x", [[]] * 10, 1 - COMMISSIONING / WEEK)
    assert (found["weeks"], found["rate"], found["low"]) == (pytest.approx(10), 0, 0)
    assert found["high"] == pytest.approx(0.3689, abs=1e-3)
    found = weeks_result("x", [["red"], [], ["red", "edges"]], 1.0)
    assert (found["alarms"], found["lines_with_alarms"], found["features"]) == (3, 2, {"red": 2, "edges": 1})


def test_page_and_chart_have_what_was_noticed_and_what_was_not(lamp: list[Effect], tmp_path: Path) -> None:
    noticed = [Noticed(100, "brightness"), Noticed(120, "brightness"), Noticed(None, None)]
    faults = [
        fault_result("lamp", lamp, 0.1 / 240, 960, noticed),
        fault_result("lens", lamp, 1 / 60, 180, [Noticed(None, None)]),
        fault_result("material", lamp[-1:], 0.0, 180, [Noticed(2, "red")]),
    ]
    result = {
        "machine": {"cores": 2}, "seed": 1,
        "base": {"parts": 1500, "rejects": 0.02, "parts_of_each_severity": 3}, "repeats": 3,
        "unchanged": [weeks_result("lots of 8 minutes", [[], ["red"]], 1.0)], "faults": faults,
    }  # fmt: skip
    page = render(json.loads(json.dumps(result)))
    assert "| 2 of 3 |" in page
    assert "| 0 of 1 |" in page
    assert "| 294 minutes |" in page
    assert "4.6 % of the light lost" in page
    write_chart(result, tmp_path / "drift.svg")
    assert "<svg" in (tmp_path / "drift.svg").read_text()


def test_a_rendered_fault_does_to_the_pictures_what_it_says() -> None:
    eye, parts = Eye(5, (90, 160), 0.0), range(6)
    before = eye.see(Fault(), parts, lambda: None)
    name = {name: number for number, name in enumerate(FEATURES)}
    dark = effect(0.1, before, eye.see(Fault(light=0.9), parts, lambda: None))
    expected = -0.1 * before.features[:, name["brightness"]].mean()
    assert dark.features[name["brightness"]] == pytest.approx(expected, rel=0.15)
    blurred = effect(1.0, before, eye.see(Fault(blur=1.0), parts, lambda: None))
    assert blurred.features[name["fine horizontal texture"]] < -0.1
    assert abs(blurred.features[name["brightness"]]) < 1
    other = effect(1.0, before, eye.see(Fault(material=True), parts, lambda: None))
    assert other.features[name["blue"]] < -3
