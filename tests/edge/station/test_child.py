"""Start of a child process: what is logged if the system cannot create one."""

import errno
import logging
import os
from typing import Any, NoReturn

import pytest

from edge.station.process import child
from edge.station.process.child import Child


def test_a_child_that_cannot_be_started_is_a_warning_at_the_first_failure_in_a_row(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_descriptors() -> NoReturn:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(child, "pair", no_descriptors)
    logger = logging.getLogger("edge")  # an earlier test of this process may have configured it
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logger, "propagate", True)
    one: Any = Child("edge-capture", print, tuple, station="line1")
    for _ in range(3):
        one.start()
    (line,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert line.getMessage() == "edge-capture: not started: [Errno 24] Too many open files"
    assert not one.is_running
    assert one.due_in_s > 0
