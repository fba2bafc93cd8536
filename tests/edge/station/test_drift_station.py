"""A running station whose line has moved from its reference says so in heartbeat, metrics, log and journal."""

import json
import shutil
import signal
import sqlite3
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

from support.line import DEMO_BUNDLE, Line, free_endpoint, ran, running_line

from edge.bundle import load_bundle, seal
from edge.station.drift.batch_means import BatchMeans
from edge.station.drift.features import FEATURES
from edge.station.drift.file import LineIdentity, Stored, StoredChart
from edge.station.drift.watch import FIRST
from edge.verdict import Heartbeat

DEMO = ("--source", "demo", "--size", "640x360")


def reference(bundle: Path, brightness: float, block_parts: int = 10) -> Stored:
    """A complete reference of the demonstration line with short blocks, in which only the brightness is known."""
    found = load_bundle(bundle)
    line = LineIdentity(digest=found.digest, bundle=found.label, source="demo")
    charts = {}
    for name in FEATURES:
        batches = BatchMeans()
        for number in range(480):  # other features vary so much that they never are an alarm
            batches.add(brightness if name == "brightness" else 1e6 * (number // 16 % 2))
        charts[name] = StoredChart(
            length=batches.length, means=tuple(batches.means), rest=tuple(batches.rest), variance=36.0, now=None,
            since=None,
        )  # fmt: skip
    return Stored(line=line, begun="Monday", block_s=0.01, block_parts=block_parts, charts=charts)


def keep(records: Path, stored: Stored) -> Path:
    records.mkdir()
    path = records / stored.line.file
    path.write_text(stored.model_dump_json())
    return path


def drift_alarms(beat: Heartbeat) -> list[str]:
    return [alarm for alarm in beat.alarms if alarm.startswith("drift: ")]


def events(records: Path) -> list[str]:
    with closing(sqlite3.connect(records / "journal.db")) as journal:
        return [text for (text,) in journal.execute("SELECT text FROM events WHERE kind = 'drift'")]


def metrics_of(page: str) -> list[str]:
    with urllib.request.urlopen(f"http://{page}/metrics", timeout=10) as answer:
        said: bytes = answer.read()
    return said.decode().splitlines()


def run_until_alarm(line: Line) -> Heartbeat:
    while not (line.heartbeats and drift_alarms(line.heartbeats[-1])):
        line.until(len(line.verdicts) + 10)
    return line.heartbeats[-1]


def test_a_line_darker_than_its_reference_raises_the_alarm_everywhere_and_changes_no_verdict(tmp_path: Path) -> None:
    page, records = free_endpoint().removeprefix("tcp://"), tmp_path / "records"
    path = keep(records, reference(DEMO_BUNDLE, brightness=140.0))
    arguments = (*DEMO, "--limit", 3000, "--metrics", page, "--records", records, "--backend", "openvino")
    with running_line(*arguments) as line:
        beat = run_until_alarm(line)
        line.until(len(line.verdicts) + 50)
        metrics = metrics_of(page)
        line.process.send_signal(signal.SIGTERM)
        assert line.to_the_end() == 0, line.stderr
    (alarm,) = drift_alarms(beat)
    assert alarm.startswith("drift: brightness 13")
    assert ", in the reference 140.0 grey levels, limit 135.3 grey levels, since 20" in alarm
    assert "; beyond their limits: 1 of 14 features; check lamp, exposure and aperture; if the line" in alarm
    assert beat.drift is not None
    assert (beat.drift.learned, beat.drift.feature) == (1.0, "brightness")
    assert beat.drift.level is not None
    assert beat.drift.level < -1
    shown = [text for text in line.stderr.splitlines() if "drift: " in text]
    assert len(shown) == 1, "an alarm whose figures change is not logged again"
    assert shown[0].startswith("line1: ALARM: drift: brightness ")
    (level,) = [text for text in metrics if text.startswith('edge_drift_level{feature="brightness"}')]
    assert float(level.split()[-1]) < -1
    assert "edge_drift_learned 1.0" in metrics
    audit = ran("audit", records)
    assert audit.returncode == 0, audit.stdout
    (event,) = events(records)
    assert event.startswith("line1: alarm: drift: brightness ")
    assert json.loads(path.read_text())["lead"] == "brightness"
    with running_line(*DEMO, "--limit", 100, "--backend", "openvino", "--drift-hours", 0) as unwatched:
        assert unwatched.to_the_end() == 0
    both = [[(verdict.verdict, verdict.score) for verdict in one.verdicts[:100]] for one in (line, unwatched)]
    assert both[0] == both[1]
    assert unwatched.heartbeats[-1].drift is None


def test_the_alarm_is_there_again_after_a_restart(tmp_path: Path) -> None:
    records = tmp_path / "records"
    keep(records, reference(DEMO_BUNDLE, brightness=140.0))
    arguments = (*DEMO, "--limit", 3000, "--records", records)
    with running_line(*arguments) as line:
        run_until_alarm(line)
        line.process.send_signal(signal.SIGTERM)
        assert line.to_the_end() == 0, line.stderr
    with running_line(*arguments) as line:
        line.until(1)
        assert drift_alarms(line.heartbeats[-1] if line.heartbeats else run_until_alarm(line))
        line.process.send_signal(signal.SIGTERM)
        assert line.to_the_end() == 0, line.stderr


def test_a_bundle_without_statistics_is_watched_too_and_says_that_it_lacks_them(tmp_path: Path) -> None:
    older, records = Path(shutil.copytree(DEMO_BUNDLE, tmp_path / "older.edge")), tmp_path / "records"
    seal(older, load_bundle(older).manifest.model_copy(update={"input_statistics": None}))
    complete = reference(older, brightness=140.0, block_parts=20)
    nearly: dict[str, Any] = {"length": FIRST - 2, "means": (), "variance": 0.0, "now": None, "since": None}
    charts = dict.fromkeys(FEATURES, StoredChart(**nearly, rest=(1e3,) * (FIRST - 3)))
    path = keep(records, complete.model_copy(update={"charts": charts}))
    with running_line(*DEMO, "--limit", 2000, "--records", records, bundle=older) as line:
        while not (line.heartbeats and line.heartbeats[-1].drift and line.heartbeats[-1].drift.feature):
            line.until(len(line.verdicts) + 20)
        line.process.send_signal(signal.SIGTERM)
        assert line.to_the_end() == 0, line.stderr
    assert "the bundle lacks the features and scores of its photographs, which a newer export stores" in line.stderr
    rests = {name: chart.rest[0] for name, chart in Stored.model_validate_json(path.read_text()).charts.items()}
    assert 70 < rests["brightness"] < 110
    assert 0 < rests["score of good parts"] < 0.5
    assert 0 <= rests["reject rate"] < 0.6
