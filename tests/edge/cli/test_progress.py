"""Progress of long work: on a terminal a redrawn line, elsewhere a line now and then, never on standard output."""

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.terminal.progress import SILENT, Progress, clock, counted_by

BARE = [sys.executable, "-c"]
WORK = """
import time
from edge.cli import prepare_output
from edge.terminal.progress import Progress
prepare_output()
with Progress() as progress:
    progress.begin("loading")
    time.sleep(0.8)
    advance = progress.begin("fit\\x1b[2Jting", 4)
    for number in range(4):
        time.sleep(0.4)
        advance()
    progress.say("half\\x1b done")
    progress.begin("scoring", 10)
    time.sleep(0.8)
print("result")
"""


def on_a_terminal(arguments: list[str], columns: int = 100, **environment: str) -> tuple[str, str]:
    """The output of a command on standard output, a pipe, and on standard error, a terminal."""
    import fcntl
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    surroundings = os.environ | {"TERM": "xterm"} | environment
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=theirs, env=surroundings, text=True)
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
    os.close(ours)
    assert process.stdout is not None
    printed = process.stdout.read()
    process.wait()
    return printed, shown.decode()


def drawn(shown: str) -> list[str]:
    """The lines that were drawn over each other, without control sequences."""
    return [line for line in re.split(r"\r|\n", shown.replace("\x1b[K", "")) if line]


def test_a_terminal_shows_each_stage_its_steps_and_its_time_in_one_line_that_goes_away() -> None:
    printed, shown = on_a_terminal([*BARE, WORK])
    lines = drawn(shown)
    assert printed == "result\n"
    assert lines[0] == "loading  0:00"
    assert r"fit\x1b[2Jting  ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌  0/4  0:00" in lines
    assert any(re.search(r"━╌+  [123]/4  0:0[0-9]", line) for line in lines)
    assert r"half\x1b done" in lines
    assert "scoring" in lines[-1]
    assert shown.endswith("\r\x1b[K")


def test_a_narrow_terminal_never_wraps() -> None:
    _, shown = on_a_terminal([*BARE, WORK], columns=20)
    assert all(len(line) < 20 for line in drawn(shown))


def test_a_terminal_without_unicode_shows_the_bar_in_ascii() -> None:
    _, shown = on_a_terminal([*BARE, WORK], PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert shown.isascii()
    assert re.search(r"#+-+  [123]/4", shown)


def ran_without_a_terminal(**environment: str) -> str:
    done = subprocess.run([*BARE, WORK], capture_output=True, text=True, env=os.environ | environment, check=True)
    assert done.stdout == "result\n"
    return done.stderr


def test_without_a_terminal_a_line_comes_now_and_then() -> None:
    lines = ran_without_a_terminal(EDGE_PROGRESS_S="0.3").splitlines()
    assert lines[0] == "loading: 0:00 so far"
    assert any(re.fullmatch(r"fit\\x1b\[2Jting: [123] of 4(, about 0:0\d left)?", line) for line in lines)
    assert "half\\x1b done" in lines
    assert "\r" not in "".join(lines)


def test_without_a_terminal_short_work_says_only_what_is_to_stay() -> None:
    assert ran_without_a_terminal(EDGE_PROGRESS_S="3600") == "half\\x1b done\n"
    assert ran_without_a_terminal(EDGE_PROGRESS_S="nonsense") == "half\\x1b done\n"


def test_an_error_is_read_on_a_line_of_its_own() -> None:
    code = (
        "import time\nfrom edge.cli import fail\nfrom edge.errors import EdgeError\n"
        "from edge.terminal.progress import Progress\n"
        "try:\n    with Progress() as progress:\n        progress.begin('reading')\n        raise EdgeError('no')\n"
        "except EdgeError as error:\n    print('error:', error, file=__import__('sys').stderr)\n"
    )
    _, shown = on_a_terminal([*BARE, code])
    assert shown.endswith("\r\x1b[Kerror: no\r\n")


def test_progress_that_nobody_sees_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    SILENT.begin("reading", 3)(2)
    SILENT.say("done")
    assert capsys.readouterr().err == ""


def test_the_stage_that_goes_on_is_the_one_that_is_named() -> None:
    progress = Progress()
    first = progress.begin("first", 2)
    progress.begin("second", 2)
    first()
    progress.rename("third")
    assert progress._current is not None
    assert (progress._current.what, progress._current.done) == ("third", 1)


def test_items_are_counted_as_they_are_used() -> None:
    seen: list[str] = []

    def stage(what: str, total: float | None = None) -> Callable[..., None]:
        seen.append(f"{what} {total}")
        return lambda count=1: seen.append("done")

    items = counted_by(stage, "reading", ["a", "b"])
    assert seen == []
    assert list(items) == ["a", "b"]
    assert seen == ["reading 2", "done", "done"]


@pytest.mark.parametrize(("seconds", "said"), [(0.9, "0:00"), (61, "1:01"), (3600, "1:00:00"), (3671.5, "1:01:11")])
def test_a_duration_is_minutes_and_seconds(seconds: float, said: str) -> None:
    assert clock(seconds) == said


def test_json_goes_to_standard_output_while_the_work_is_shown(tmp_path: Path) -> None:
    command = ["edge-demo", tmp_path / "d", "--train", "40", "--val", "0", "--test", "0", "--json"]
    printed, shown = on_a_terminal([str(Path(sys.executable).with_name("edge-demo")), *map(str, command[1:])])
    assert json.loads(printed)["splits"]["train"]
    assert "rendering" in shown


def test_a_command_ends_without_collecting_all_that_it_imported() -> None:
    code = (
        "import atexit, gc\natexit.register(lambda: print(gc.get_freeze_count() > 1000))\n"
        "from edge.cli import new_app, run_app\napp = new_app()\napp.command()(lambda: None)\nrun_app(app)"
    )
    assert subprocess.run([*BARE, code], capture_output=True, text=True, check=True).stdout == "True\n"
