"""A station that reads codes, in its own processes: the text is in verdict and journal, the verdicts are as without."""

import contextlib
import csv
import json
import os
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest
from support.codes import drawn, grey
from support.line import Line, free_endpoint, ran, refused, running_line

from edge.frame import Frame
from edge.verdict import Outcome, Verdict


class Folder:
    """A station over a folder into which the test puts pictures."""

    def __init__(self, folder: Path, line: Line, port: str) -> None:
        self.folder, self.line, self.port, self.count = folder, line, port, 0

    def judge(self, frame: Frame) -> Verdict:
        """Add a picture, and wait for its verdict."""
        self.count += 1
        hidden = self.folder / ".new.png"
        hidden.write_bytes(cv2.imencode(".png", frame)[1].tobytes())
        hidden.rename(self.folder / f"{self.count:03}.png")
        self.line.until(self.count)
        return self.line.verdicts[-1]

    def until_read(self) -> None:
        """Add pictures with codes until the text of one comes before its verdict."""

        def is_read() -> bool:
            text = f"SN-{self.count + 1}"
            fields = self.judge(drawn(grey(), text)).fields
            assert fields in (None, {"serial": text}), "no part has the text of another"
            return fields is not None

        self.until(is_read)

    def metric(self, name: str) -> float:
        """A value of the metrics page."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=30) as page:
            lines = page.read().decode().splitlines()
        return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

    def codes(self, *outcomes: str) -> float:
        return sum(self.metric(f'edge_codes_total{{outcome="{outcome}"}}') for outcome in outcomes)

    def until(self, holds: Callable[[], bool]) -> None:
        until = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < until
            time.sleep(0.05)

    def end(self) -> dict[str, Any]:
        """End the station; its result."""
        self.line.process.terminate()
        assert self.line.to_the_end() == 0
        return dict(json.loads(self.line.stdout))


@contextlib.contextmanager
def station(folder: Path, *options: object) -> Iterator[Folder]:
    folder.mkdir()
    port = free_endpoint().rpartition(":")[2]
    with running_line("--source", folder, "--watch", "--metrics", port, "--read-code", "serial", *options) as line:
        yield Folder(folder, line, port)


def test_the_text_of_the_code_is_a_field_in_verdict_journal_and_export(tmp_path: Path) -> None:
    records = tmp_path / "records"
    with station(tmp_path / "pictures", "--records", records) as folder:
        folder.until_read()
        late = folder.count + 1
        os.kill(folder.line.child("edge-codes"), signal.SIGSTOP)
        assert folder.judge(drawn(grey(), "LATE")).fields is None
        os.kill(folder.line.child("edge-codes"), signal.SIGCONT)
        folder.until(lambda: folder.codes("read", "late", "failed", "dropped") == late)
        assert folder.judge(grey()).fields is None
        folder.until(lambda: folder.codes("none", "dropped") > 0)
        codes = folder.end()["codes"]
    assert sum(codes.values()) == late + 1
    shown = late - 1
    assert f"serial SN-{shown}" in ran("audit", records, "--part", f"{shown:03}.png").stdout
    ran("audit", records, "--export", tmp_path / "table.csv")
    rows = list(csv.DictReader((tmp_path / "table.csv").open()))
    assert [row["field_serial"] for row in rows[shown - 1 :]] == [f"SN-{shown}", "", ""]
    assert ran("audit", records).returncode == 0
    if not codes["failed"]:  # on a busy machine the station has killed the reader meanwhile
        assert [row["late_serial"] for row in rows[shown - 1 :]] == ["", "LATE", ""]
        assert "known after the verdict: serial LATE" in ran("audit", records, "--part", f"{late:03}.png").stdout
        selected = "--export", tmp_path / "one.csv", "--field", "serial=LATE"
        assert "1 verdict in" in ran("audit", records, *selected).stderr


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_without_its_reader_the_station_judges_as_before_and_leaves_the_field_out(
    tmp_path: Path, number: signal.Signals
) -> None:
    frames = [drawn(grey(), f"AB-{n}", at=(10 + 20 * n, 30)) for n in range(4)]
    with station(tmp_path / "pictures") as folder:
        before = [folder.judge(frame) for frame in frames]
        folder.until(lambda: folder.codes("read", "late", "failed", "dropped") == 4)
        os.kill(folder.line.child("edge-codes"), number)
        without = [folder.judge(frame) for frame in frames]
        folder.until(lambda: folder.metric('edge_restarts_total{child="codes"}') == 1)
        folder.until_read()
        result = folder.end()
    verdicts = folder.line.verdicts
    assert [v.seq for v in verdicts] == list(range(1, folder.count + 1))
    assert all(v.verdict is not Outcome.UNKNOWN for v in verdicts), "none is late"
    assert [(v.verdict, v.score) for v in before] == [(v.verdict, v.score) for v in without]
    if number == signal.SIGSTOP:
        assert without[0].fields is None
        assert result["codes"]["failed"] > 0
    assert all(v.fields in (None, {"serial": f"AB-{n}"}) for n, v in enumerate(without))
    assert sum(result["codes"].values()) == folder.count
    assert result["codes"]["read"] == sum(v.fields is not None for v in verdicts)
    assert result["restarts"] == 0, "neither camera nor model"


def test_a_region_outside_the_frames_is_refused() -> None:
    demo = "--source", "demo", "--size", "320x180", "--no-records"
    said = refused(*demo, "--read-code", "serial", "--code-region", "300,0,64x64")
    assert "--code-region ends at column 364, row 64, and the frames are 320×180" in said
