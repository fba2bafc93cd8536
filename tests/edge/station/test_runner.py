"""`edge-run` as a subprocess: its log while it runs, and its options."""

import os
import sys

import pytest

from edge.station.process import runner
from edge.station.process.runner import EdgeRun


@pytest.fixture
def chatty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of edge-run, a process that writes 2,000 lines to its standard error."""
    code = "import os\nfor i in range(2000): os.write(2, b'line%d\\n' % i)"
    popen = runner.subprocess.Popen
    monkeypatch.setattr(
        runner.subprocess, "Popen", lambda command, **options: popen([sys.executable, "-c", code], **options)
    )


def test_reading_the_log_of_a_running_station_loses_none_of_its_lines(chatty: None) -> None:
    station = EdgeRun()
    while station.process.poll() is None:
        assert station.log[:6] in ("", "line0\n")
    assert station.log.splitlines() == [f"line{i}" for i in range(2000)]
    assert station.last_words() == "line1999"


def test_a_station_whose_endpoints_stand_in_a_file_has_no_endpoint_here(chatty: None) -> None:
    station = EdgeRun(bind=None, config=os.devnull)
    assert (station.endpoint, station.name) == ("", "line1")
    station.stop()
