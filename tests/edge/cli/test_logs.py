"""Logs of commands: lines of text in the established form, or JSON; levels; no control sequences for a terminal."""

import json
import logging
import os
import signal
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.line import Line, free_endpoint, ran, running_line

from edge.terminal.logs import LogFormat, Logging, LogLevel, lines_through, start_logging
from edge.verdict import State

LINE = ("--source", "demo", "--size", "320x180", "--no-records", "--limit", 12, "--rate", "20/s")


def parsed(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def killed() -> Line:
    """A finished line that logged at all levels as JSON, and whose inference process was killed once."""
    with running_line(*LINE, "--loop", "--log-level", "debug", "--log-format", "json") as line:
        line.until(verdicts=2)
        os.kill(line.child("edge-inference"), signal.SIGKILL)
        line.until_state(State.HELD)
        line.until_state(State.EXECUTING)
        assert line.to_the_end() == 0, line.stderr
    return line


def test_each_line_of_json_has_time_level_logger_and_message(killed: Line) -> None:
    for line in parsed(killed.stderr):
        assert datetime.fromisoformat(line["time"]).utcoffset() == timedelta(0)
        assert line["level"] in list(LogLevel)
        assert line["logger"].split(".")[0] == "edge"
        assert line["message"]
        assert line.keys() <= {"time", "level", "logger", "message", "station"}


def test_states_are_lines_of_their_station_and_one_that_stands_still_is_a_warning(killed: Line) -> None:
    said = [(one["message"], one["level"], one.get("station")) for one in parsed(killed.stderr)]
    assert ("line1: executing", "info", "line1") in said
    assert ("line1: held: model: the inference process died", "warning", "line1") in said


def test_child_processes_log_as_the_command_does_and_their_end_names_the_exit_status(killed: Line) -> None:
    said = [(one["message"], one.get("station")) for one in parsed(killed.stderr) if "edge-" in one["message"]]
    assert said.count(("edge-inference: the child runs", None)) == 2
    assert ("edge-capture: the child runs", "line1") in said
    ends = [message for message, _ in said if "exit status" in message]
    assert any(end.startswith("edge-inference: ") and end.endswith("exit status -9") for end in ends)
    assert any(end.startswith("edge-inference: ") and end.endswith("exit status 0") for end in ends)


def test_a_debug_line_names_the_origin_of_each_value_that_was_given(killed: Line) -> None:
    said = [one["message"] for one in parsed(killed.stderr)]
    assert "line1: limit = 12  # --limit" in said


@pytest.mark.parametrize(("level", "says"), [("info", ["WARNING", "line1: "]), ("warning", ["WARNING"]), ("error", [])])
def test_a_level_leaves_out_what_is_less_severe(level: str, says: list[str]) -> None:
    with running_line(*LINE, "--insecure", "--log-level", level) as line:
        assert line.to_the_end() == 0, line.stderr
    assert list(dict.fromkeys(one[:7] for one in line.stderr.splitlines())) == says


@pytest.mark.parametrize("name", ["run", "gate", "listen"])
def test_a_refusal_is_a_line_of_json_where_lines_are_json(name: str) -> None:
    if name == "run":
        options: tuple[object, ...] = ("--source", "\x1b[2Jnosuch", "--bind", free_endpoint())
    else:
        options = ("--connect", free_endpoint(), "--wait-s", 0.2)
    text, lines = ran(name, *options, "--log-level", "error"), ran(name, *options, "--log-format", "json")
    assert text.returncode == lines.returncode == 2
    [line] = [one for one in parsed(lines.stderr) if one["level"] == "error"]
    assert text.stderr.startswith(line["message"][:20])
    assert lines.stderr.isascii()


def test_a_gate_that_cannot_know_its_station_warns() -> None:
    endpoint = free_endpoint()
    [warning, error] = parsed(ran("gate", "--connect", endpoint, "--wait-s", 0.2, "--log-format", "json").stderr)
    assert (warning["level"], warning["logger"], warning["station"]) == ("warning", "edge.gate", "line1")
    assert warning["message"].startswith(f"{endpoint}: no keys")
    assert error["message"].startswith("error: nothing heard")


def test_a_level_that_is_none_is_refused() -> None:
    done = ran("run", "--log-level", "loud", "--list-sources")
    assert done.returncode == 2
    assert "loud" in done.stderr


@given(text=st.text())
def test_a_line_of_text_is_one_line_and_steers_no_terminal(text: str) -> None:
    assert rendered(LogFormat.TEXT, text)[:-1].isprintable()


@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_a_line_of_json_is_one_line_of_ascii_that_says_the_text(text: str) -> None:
    line = rendered(LogFormat.JSON, text)
    assert line.isascii()
    assert line[:-1].isprintable()
    assert json.loads(line)["message"] == text


def rendered(form: LogFormat, text: str) -> str:
    """The log line for this text, with its line end."""
    root = logging.getLogger("edge")
    before, lines = (root.handlers[:], root.level, root.propagate), list[str]()
    try:
        start_logging(Logging(format=form))
        with lines_through(lines.append):
            logging.getLogger("edge.test").info("%s", text)
    finally:
        root.handlers[:], root.level, root.propagate = before
    [line] = lines
    assert line[-1] == "\n"
    return line
