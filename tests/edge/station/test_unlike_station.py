"""A running station with pictures unlike its bundle's training photographs reports them, and judges all of them."""

import json
import re
import shutil
import signal
import sqlite3
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

from support.line import DEMO_BUNDLE, Line, free_endpoint, running_line

from edge.bundle import load_bundle, seal
from edge.station.inference.input_probe import FIRST
from edge.station.input_watch import ALARM_AFTER

DEMO = ("--source", "demo", "--size", "640x360")
UNLIKE = "pictures are unlike the photographs that the bundle was trained on"


def result(line: Line) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(line.stdout.splitlines()[-1])
    return said


def alarms(line: Line) -> list[str]:
    """The alarms about pictures in the last heartbeat; a slow disk may raise others."""
    return [alarm for alarm in line.heartbeats[-1].alarms if UNLIKE in alarm]


def test_a_bundle_for_plates_on_a_line_of_codes_remarks_it_then_raises_an_alarm(tmp_path: Path) -> None:
    page, records = free_endpoint().removeprefix("tcp://"), tmp_path / "records"
    arguments = ("--source", "demo", "--line", "codes", "--limit", 2000, "--metrics", page, "--records", records)
    with running_line(*arguments) as line:
        line.until(ALARM_AFTER)
        assert not alarms(line), "the last distance comes with the next result"
        while not alarms(line):
            line.until(len(line.verdicts) + 1)
        with urllib.request.urlopen(f"http://{page}/metrics", timeout=10) as answer:
            metrics = answer.read().decode().splitlines()
        line.process.send_signal(signal.SIGTERM)
        assert line.to_the_end() == 0, line.stderr
    (alarm,) = alarms(line)
    assert alarm.startswith(f"50 of the last 50 {UNLIKE}, most in ")
    remark, shown = [text for text in line.stderr.splitlines() if UNLIKE in text]
    assert remark.startswith(f"line1: 20 of the last 20 {UNLIKE}, most in ")
    assert shown.startswith(f"line1: ALARM: 50 of the last 50 {UNLIKE}, most in ")
    assert "edge_unlike_share 1.0" in metrics
    assert "edge_alarms 0.0" not in metrics
    done = result(line)
    assert done["unlike"] == done["compared"] > ALARM_AFTER
    assert done["reasons"].keys() <= {"clear", "defect", "late", "stopped"}, "no verdict depends on it"
    with closing(sqlite3.connect(records / "journal.db")) as journal:
        events = [text for (text,) in journal.execute("SELECT text FROM events WHERE kind = 'input'")]
    assert [text.startswith("line1: alarm: ") for text in events] == [False, True]


def test_the_demonstration_bundle_says_nothing_of_five_hundred_parts_of_its_own_line() -> None:
    with running_line(*DEMO, "--limit", 520) as line:
        assert line.to_the_end() == 0
    assert UNLIKE not in line.stderr
    assert not alarms(line)
    done = result(line)
    assert FIRST <= done["compared"] <= 519, "the distance of the last one would come with the next result"
    assert done["unlike"] < 0.1 * done["compared"]


def test_a_bundle_without_statistics_judges_as_one_with_them_and_compares_nothing(tmp_path: Path) -> None:
    older = Path(shutil.copytree(DEMO_BUNDLE, tmp_path / "older.edge"))
    seal(older, load_bundle(older).manifest.model_copy(update={"input_statistics": None}))
    scores, compared = [], []
    for bundle in (DEMO_BUNDLE, older):
        with running_line(*DEMO, "--limit", 40, "--backend", "openvino", bundle=bundle) as line:
            assert line.to_the_end() == 0
        scores.append([verdict.score for verdict in line.verdicts])
        compared.append(result(line)["compared"])
    assert scores[0] == scores[1]
    assert compared[1] is None
    assert compared[0]


def test_a_region_of_the_frame_is_compared_by_itself() -> None:
    """A corner of the demonstration line's frames is unlike the whole frames, with which the bundle was trained."""
    with running_line(*DEMO, "--limit", 100, "--region", "0,0,60x60") as line:
        assert line.to_the_end() == 0
    done = result(line)
    assert done["unlike"] == done["compared"] >= 20
    assert len(re.findall(UNLIKE, line.stderr)) == 1
