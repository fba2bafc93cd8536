"""The watch on drift: its reference on disk, its alarm, and what it names."""

import json
import logging
import math
import os
import random
from collections.abc import Mapping
from math import sqrt
from pathlib import Path

import pytest

from edge.bundle import GoodScores, Manifest, load_bundle
from edge.bundle.shipped import DEMO, shipped_bundle
from edge.pictures.features import RESOLUTION
from edge.station.drift.block import BlockSums, Summed
from edge.station.drift.chart import Block
from edge.station.drift.file import LineIdentity
from edge.station.drift.watch import BLOCK_PARTS, FIRST, MEMORY, SAVED_EVERY, DriftWatch

LINE = LineIdentity(digest="d1", bundle="part@d1", source="camera0")
HOURS = 4
COMPLETE = 240 + MEMORY
"""Blocks until the reference of four hours is complete."""


class Plant:
    """A line of 600 parts a block, and its watch."""

    manifest: Manifest | None = None
    hours: float = HOURS

    def __init__(self, folder: Path | None = None, line: LineIdentity = LINE) -> None:
        self.rng, self.noted = random.Random(0), list[tuple[int, str]]()
        self.number = 0
        self.start(folder, line)

    def start(self, folder: Path | None, line: LineIdentity = LINE) -> None:
        self.watch = DriftWatch(
            line,
            self.hours,
            folder,
            lambda level, text: self.noted.append((level, text)),
            self.manifest,
            lambda: f"{self.number}'",
        )

    def run(self, blocks: int, **moved: float) -> None:
        """`moved` is by feature with `_` for spaces: the shift in standard deviations; rejects: the share of them."""
        for _ in range(blocks):
            self.number += 1
            self.watch.end_block(dict(self.block(moved).blocks()))

    def block(self, moved: dict[str, float]) -> BlockSums:
        block, rng = BlockSums(0), self.rng
        rejects = round(600 * moved.get("rejects", 0.02) + rng.gauss(0, 2))
        for part in range(600):
            block.add(0.1 + 0.02 * (moved.get("score", 0) + (-1) ** part), part >= rejects)
        by = [moved.get(name.replace(" ", "_"), 0) * sqrt(1 + one**2) for name, one in RESOLUTION.items()]
        means = [50 + off + rng.gauss(0, 0.03) for off in by]
        sums, squares = [600 * mean for mean in means], [600 * (mean * mean + 1) for mean in means]
        block.add_pictures(Summed(600, tuple(sums), tuple(squares)))
        return block

    @property
    def alarm(self) -> str:
        (alarm,) = self.watch.alarms
        return alarm


@pytest.fixture
def plant() -> Plant:
    return Plant()


def test_an_unchanged_line_learns_and_raises_nothing(plant: Plant) -> None:
    plant.run(FIRST)
    assert plant.watch.levels == {}
    assert plant.watch.state.learned == 0.5
    plant.run(1000)
    assert plant.watch.alarms == ()
    assert plant.watch.state.learned == 1
    assert len(plant.watch.levels) == 14
    assert [text for level, text in plant.noted if "complete" in text] == [
        "the reference of the watch on drift is complete: the line since 0'"
    ]


def test_a_line_unlike_the_photographs_of_its_bundle_is_remarked_once(plant: Plant) -> None:
    manifest = load_bundle(shipped_bundle(DEMO)).manifest
    scores = GoodScores(artifact="openvino", count=100, low=0.2, median=0.3, high=0.4)
    plant.manifest = manifest.model_copy(update={"good_scores": scores})
    plant.start(None)
    plant.run(FIRST + 5)
    ((level, text),) = plant.noted
    assert level == logging.INFO
    assert text.startswith("the first two hours of this line differ from the photographs of the bundle: brightness 50.")
    assert ", in training 91.7 grey levels; " in text
    assert text.endswith("; score of good parts 0.09998, in validation 0.2 to 0.4")


def test_a_bundle_that_does_not_know_its_photographs_is_remarked_once(plant: Plant) -> None:
    plant.run(FIRST + 5)
    assert plant.noted == [
        (
            logging.INFO,
            "the bundle lacks the features and scores of its photographs, which a newer export stores; there the watch "
            "on drift knows only this line's own reference",
        )
    ]


def test_the_alarm_says_feature_amount_time_and_remedy_and_ends(plant: Plant) -> None:
    plant.run(COMPLETE)
    plant.run(60, brightness=-2)
    assert plant.alarm.startswith("drift: brightness 46.")
    assert ", in the reference 50.0 grey levels, limit 48.3 grey levels, since " in plant.alarm
    since = int(plant.alarm.split("since ")[1].split("'")[0])
    assert COMPLETE < since < COMPLETE + 20
    assert plant.alarm.endswith(
        "beyond their limits: 1 of 14 features; check lamp, exposure and aperture; "
        "if the line is meant to be so: stop the station, start it"
    )
    assert plant.watch.levels["brightness"] < -1
    assert plant.watch.state.feature == "brightness"
    plant.run(150)
    assert plant.watch.alarms == ()
    assert [(level, text.split(":")[0]) for level, text in plant.noted[-2:]] == [
        (logging.DEBUG, "alarm"), (logging.INFO, "drift is over")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("moved", "feature", "remedy"),
    [
        ({"brightness": -1.5, "contrast": -1.6, "coarse_vertical_texture": -1.7}, "brightness", "check lamp"),
        ({"fine_vertical_texture": -2, "edges": -0.5}, "fine vertical texture", "check focus and lens"),
        ({"red": 2, "score": 2}, "red", "check lamp and white balance"),
        ({"rejects": 0.7, "blue": 1.2}, "blue", "whether another material runs"),
        ({"score": 3}, "score of good parts", "look at the last pictures"),
        ({"rejects": 0.04}, "reject rate", "look at the last rejects"),
    ],
)
def test_the_alarm_names_the_likeliest_cause(plant: Plant, moved: dict[str, float], feature: str, remedy: str) -> None:
    plant.run(COMPLETE)
    plant.run(200, **moved)
    assert plant.alarm.startswith(f"drift: {feature} ")
    assert remedy in plant.alarm


def test_the_reference_does_not_follow_a_drift(plant: Plant) -> None:
    """Neither after it is complete, nor while there is an alarm."""
    plant.run(FIRST + MEMORY // 2)
    plant.run(20, brightness=-4)
    assert plant.watch.alarms
    plant.run(500, brightness=-4)
    assert plant.watch.alarms
    assert plant.watch._learned == FIRST, "nor do the blocks right before the alarm get into it"
    plant.run(500)
    assert plant.watch.alarms == ()
    assert plant.watch.state.learned == 1


def test_a_restart_goes_on_where_the_watch_was(tmp_path: Path, plant: Plant) -> None:
    plant.start(tmp_path)
    plant.run(COMPLETE)
    plant.run(60, brightness=-3)
    alarm, levels = plant.alarm, dict(plant.watch.levels)
    plant.watch.close()
    plant.start(tmp_path)
    assert plant.alarm == alarm
    assert dict(plant.watch.levels) == pytest.approx(levels)
    assert plant.watch.state.learned == 1
    plant.run(150)
    assert plant.watch.alarms == ()
    plant.watch.close()


def test_a_reference_that_is_longer_than_wanted_grows_no_more(tmp_path: Path, plant: Plant) -> None:
    plant.start(tmp_path)
    plant.run(COMPLETE + 10)
    plant.watch.close()
    plant.hours = HOURS - 1  # a shorter --drift-hours
    plant.start(tmp_path)
    learned = plant.watch._learned
    assert learned == HOURS * 60
    plant.run(100)
    assert plant.watch._learned == learned
    assert plant.watch.state.learned == 1


def test_a_run_that_is_killed_loses_a_few_blocks_at_most(tmp_path: Path, plant: Plant) -> None:
    plant.start(tmp_path)
    plant.run(33)
    plant.watch._keeper.close(60)  # type: ignore[union-attr]
    plant.start(tmp_path)
    assert plant.watch._learned == 33 // SAVED_EVERY * SAVED_EVERY


@pytest.mark.parametrize("changed", [{"digest": "d2"}, {"source": "camera1"}, {"regions": ("0,0,60x60",)}])
def test_another_bundle_source_or_region_has_another_reference(
    tmp_path: Path, plant: Plant, changed: dict[str, object]
) -> None:
    plant.start(tmp_path)
    plant.run(COMPLETE)
    plant.watch.close()
    plant.start(tmp_path, LINE.model_copy(update=changed))
    assert plant.watch.state.learned == 0
    plant.run(10)
    plant.watch.close()
    plant.start(tmp_path)
    assert plant.watch.state.learned == 1, "the first line's is still there"
    plant.watch.close()


@pytest.mark.parametrize("content", [b"", b"{", b'{"version": 1}', b"\xff", b"[1e999]", b'{"version": 2}'])
def test_a_damaged_reference_is_said_and_replaced(tmp_path: Path, plant: Plant, content: bytes) -> None:
    (tmp_path / LINE.file).write_bytes(content)
    plant.start(tmp_path)
    assert plant.noted == [
        (logging.WARNING, f"the reference of the watch on drift begins anew: {LINE.file} is damaged")
    ]
    plant.run(SAVED_EVERY)
    plant.watch.close()
    plant.start(tmp_path)
    assert plant.watch._learned == SAVED_EVERY
    plant.watch.close()


def test_a_reference_that_cannot_be_written_is_an_alarm_and_delays_nothing(tmp_path: Path, plant: Plant) -> None:
    (tmp_path / f"{LINE.file}.new").mkdir()
    plant.start(tmp_path)
    plant.run(SAVED_EVERY)
    plant.watch.close()
    assert plant.watch.alarms == (f"{LINE.file} is not written: Is a directory",)
    os.rmdir(tmp_path / f"{LINE.file}.new")


def test_a_block_has_a_minute_and_fifty_parts(plant: Plant) -> None:
    ended = list[Mapping[str, Block]]()
    plant.watch.end_block = ended.append  # type: ignore[method-assign,assignment]
    for second in range(BLOCK_PARTS):
        plant.watch.count(0.1, True, second * 10**9)
    assert not ended, "fifty parts in fifty seconds"
    for second in range(BLOCK_PARTS, 62):
        plant.watch.count(0.1, True, second * 10**9)
    assert len(ended) == 1


def test_pictures_that_are_not_measured_leave_the_scores(plant: Plant) -> None:
    for _ in range(FIRST + 5):
        block = BlockSums(0)
        for part in range(600):
            block.add(0.1 + 0.001 * (part % 7), part > 10)
        plant.watch.end_block(dict(block.blocks()))
    assert plant.watch.levels.keys() == {"score of good parts", "reject rate"}
    assert plant.watch.alarms == ()


@pytest.mark.parametrize("score", [math.inf, math.nan, 1e200, -1e13])
def test_numbers_that_no_feature_has_are_left_out(tmp_path: Path, plant: Plant, score: float) -> None:
    plant.start(tmp_path)
    for _ in range(FIRST + SAVED_EVERY):
        blocks = dict(plant.block({}).blocks())
        plant.watch.end_block(blocks | {"score of good parts": Block(score, score * score), "red": Block(1.0, score)})
    assert "score of good parts" not in plant.watch.levels
    assert "blue" in plant.watch.levels
    plant.watch.close()
    assert plant.watch.alarms == ()
    plant.start(tmp_path)
    assert plant.noted[-1][1].startswith("the bundle lacks"), "the stored reference is sound"


def test_a_reference_that_contradicts_itself_is_replaced(tmp_path: Path, plant: Plant) -> None:
    plant.start(tmp_path)
    plant.run(SAVED_EVERY)
    plant.watch.close()
    stored = json.loads((tmp_path / LINE.file).read_text())
    for changes in ({"beyond": ["red"]}, {"lead": "red"}, {"beyond": ["red"], "lead": "red"}, {"beyond": ["x"]}):
        (tmp_path / LINE.file).write_text(json.dumps(stored | changes))
        plant.start(tmp_path)
        assert plant.noted[-1][1].endswith(f"begins anew: {LINE.file} is of another line or version")
        plant.watch.close()


def test_a_line_that_rejects_everything_is_an_alarm(plant: Plant) -> None:
    plant.run(COMPLETE)
    for _ in range(10):
        block = BlockSums(0)
        for _ in range(600):
            block.add(0.9, False)
        plant.watch.end_block(dict(block.blocks()))
    assert plant.alarm.startswith("drift: reject rate ")


def test_a_second_drift_beside_a_standing_one_is_an_alarm_of_its_own(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    plant.run(COMPLETE)
    plant.run(3 * MEMORY, brightness=-2)
    assert plant.alarm.startswith("drift: brightness ")
    plant.noted.clear()
    plant.run(2 * MEMORY, brightness=-2, red=3)
    assert [alarm.split()[1] for alarm in plant.watch.alarms] == ["brightness", "red"]
    assert [text.split()[:3] for _, text in plant.noted] == [["alarm:", "drift:", "red"]]
    assert plant.watch.alarms[1].endswith(f"stop the station, remove {LINE.file}, start it")
    plant.watch.close()
    plant.start(tmp_path)
    assert [alarm.split()[1] for alarm in plant.watch.alarms] == ["brightness", "red"], "after a restart, too"
    plant.run(4 * MEMORY, brightness=-2)
    assert plant.alarm.startswith("drift: brightness ")
    plant.watch.close()


def test_what_moves_with_the_first_feature_is_no_second_alarm(plant: Plant) -> None:
    plant.run(COMPLETE)
    plant.run(5 * MEMORY, brightness=-2, contrast=-2, edges=-1.5)
    assert plant.alarm.startswith("drift: brightness ")
