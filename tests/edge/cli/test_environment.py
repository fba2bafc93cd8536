"""Terminals, pipes, disks, folders and limits in any condition neither end a command's work nor make it hang."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest
from support.line import command, free_endpoint, running_line
from support.records import rows, until

ASCII = {"PYTHONIOENCODING": "ascii"}
C_LOCALE = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
PARTS = 5


class Client(NamedTuple):
    """The result of a command."""

    code: int
    stdout: bytes
    stderr: bytes


def beside_a_station(
    folder: Path, lines: list[tuple[str, dict[str, str]]], awaited: str, count: int = PARTS, **more: Any
) -> list[Client]:
    """Run shell lines, in which ENDPOINT is replaced, beside a station that judges five parts once all lines listen.

    Each line has its own environment. The station is stopped when the query `awaited` of its journal returns `count`,
    or when all clients have ended.
    """
    pictures, records, endpoint = folder / "pictures", folder / "records", free_endpoint()
    pictures.mkdir()
    for number in range(PARTS):
        coded = cv2.imencode(".png", np.full((180, 320, 3), 90, np.uint8))[1]
        (pictures / f"täst{number}.png").write_bytes(coded.tobytes())
    options = ("--source", pictures, "--watch", "--wait-subscribers", len(lines), "--budget-ms", 20_000)
    with contextlib.ExitStack() as stack:
        run = command("run", *options, "--bind", endpoint, "--records", records)
        station = stack.enter_context(subprocess.Popen(run, stderr=DEVNULL))
        clients = []
        for shell, environment in lines:
            line = ["bash", "-c", shell.replace("ENDPOINT", endpoint)]
            client = subprocess.Popen(line, env=os.environ | environment, stdout=PIPE, stderr=PIPE, **more)
            clients.append(stack.enter_context(client))
        for process in (station, *clients):
            stack.callback(process.kill)  # runs before the process is waited for
        until(lambda: all(client.poll() is not None for client in clients) or known(records, awaited) == count)
        station.terminate()
        said = [client.communicate(timeout=60) for client in clients]
        assert station.wait(60) == 0
    return [Client(client.returncode, *texts) for client, texts in zip(clients, said, strict=True)]


JUDGED = "SELECT count(DISTINCT seq) FROM verdicts"
ACKNOWLEDGED = "SELECT count(*) FROM (SELECT DISTINCT client, seq FROM acknowledgements)"


def known(records: Path, query: str) -> int:
    """The result of a query of the journal; 0 while there is no journal."""
    with contextlib.suppress(sqlite3.OperationalError):
        return int(rows(records, query)[0][0])
    return 0


def full_pipe() -> tuple[int, int]:
    """Both ends of a full pipe that is not read."""
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    for size in (4096, 1):
        try:
            while True:
                os.write(writes, b"." * size)
        except BlockingIOError:
            pass
    os.set_blocking(writes, True)
    return reads, writes


GATE = subprocess.list2cmdline(command("gate", "--connect", "ENDPOINT", "--once", "--travel-ms", 200))
LISTEN = subprocess.list2cmdline(command("listen", "--connect", "ENDPOINT", "--once"))


DISPLAYS = {
    "ascii": ("", ASCII),
    "C": ("", C_LOCALE),
    "left": ("| head -n 1; exit ${PIPESTATUS[0]}", {}),
    "full": ("> /dev/full 2> /dev/full", {}),
    "unread": (">&$UNREAD 2>&$UNREAD", {}),
    "closed": (">&- 2>&-", {}),
}


@pytest.mark.parametrize("as_json", ["", "--json"], ids=["lines", "json"])
def test_gates_go_on_whatever_becomes_of_their_display(tmp_path: Path, as_json: str) -> None:
    reads, writes = full_pipe()
    lines = [
        (f"{GATE} --name {name} --log {tmp_path / name}.log {as_json} {end}", environment | {"UNREAD": str(writes)})
        for name, (end, environment) in DISPLAYS.items()
    ]
    gates = beside_a_station(tmp_path, lines, ACKNOWLEDGED, PARTS * len(lines), pass_fds=[writes])
    os.close(reads)
    os.close(writes)
    parts = [f"täst{number}.png" for number in range(PARTS)]
    for (name, (_, environment)), done in zip(DISPLAYS.items(), gates, strict=True):
        assert done.code == 0, (name, done.stderr)
        assert b"Traceback" not in done.stderr, name
        log = (tmp_path / f"{name}.log").read_text(encoding="utf-8")
        assert [json.loads(text)["part"] for text in log.splitlines()] == parts, name
        if environment and as_json:
            assert [json.loads(text)["part"] for text in done.stdout.splitlines()] == parts, name
        elif environment:
            assert b"t\\u00e4st4.png" in done.stdout, name


LISTENERS = [
    ("", ASCII, 0, "", b"t\\u00e4st4.png"),
    ("", C_LOCALE, 0, "", b"t\\u00e4st4.png"),
    ("", {"PYTHONIOENCODING": "latin-1"}, 0, "", b"t\xe4st4.png"),
    ("2> /dev/full", {}, 0, "", b".png"),
]
LEAVING = [
    ("| head -n 1; exit ${PIPESTATUS[0]}", {}, 141, "", b"\n"),
    ("> /dev/full", {}, 2, "error: standard output cannot be written: No space left on device", b""),
]


@pytest.mark.parametrize("listeners", [LISTENERS, LEAVING[:1], LEAVING[1:]], ids=["stays", "left", "full"])
def test_a_listener_that_nobody_reads_leaves_without_a_traceback(
    tmp_path: Path, listeners: list[tuple[str, dict[str, str], int, str, bytes]]
) -> None:
    lines = [(f"{LISTEN} {end}", environment) for end, environment, *_ in listeners]
    for done, (_, _, code, said, shown) in zip(beside_a_station(tmp_path, lines, JUDGED), listeners, strict=True):
        assert done.code == code, done.stderr
        assert done.stderr.decode().startswith(said)
        assert done.stderr.count(b"\n") == bool(said)
        assert shown in done.stdout


@pytest.mark.parametrize(
    "arguments", [("run", "--print-config"), ("run", "--help"), ("verify", "demo", "--json")], ids=" ".join
)
def test_what_a_command_prints_is_lost_without_a_traceback(arguments: tuple[str, ...]) -> None:
    line = subprocess.list2cmdline(command(*arguments))
    left = subprocess.run(["bash", "-c", f"{line} | :; exit ${{PIPESTATUS[0]}}"], capture_output=True, timeout=60)
    assert (left.returncode, left.stderr) == (141, b"")
    full = subprocess.run(["bash", "-c", f"exec {line} > /dev/full"], capture_output=True, timeout=60)
    assert full.returncode == 2
    assert full.stderr.count(b"\n") == 1
    foreign = subprocess.run(command(*arguments), env=os.environ | C_LOCALE, capture_output=True, timeout=60)
    assert (foreign.returncode, foreign.stderr) == (0, b"")
    assert foreign.stdout.isascii() or "--help" in arguments, "click writes its help in UTF-8 whatever the locale"


SHORT = {
    "run": ("--source", "demo", "--limit", 3, "--size", "320x180", "--no-records"),
    "bench": ("demo", "--frames", 3, "--paced-s", 0),
    "verify": ("demo",),
    "audit": ("nothing",),
    "listen": ("--wait-s", 0.1),
    "gate": ("--wait-s", 0.1),
}
"""Short arguments for each command."""


def in_shell(script: str, *arguments: object, **environment: str) -> Client:
    """Run a command at the end of a shell script, in a folder that the script creates."""
    line = f"{script}; exec {' '.join(map(str, arguments))}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, timeout=60, env=os.environ | environment)
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return Client(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("name", SHORT)
def test_a_command_in_a_folder_that_was_removed_says_so(tmp_path: Path, name: str) -> None:
    gone = in_shell(f"mkdir {tmp_path}/a; cd {tmp_path}/a; rmdir ../a", *command(name, *SHORT[name]))
    assert gone.code == 2
    assert b"error: the working directory has been removed; change to another one\n" in gone.stderr


def test_a_station_whose_working_directory_is_removed_starts_its_children_again(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    with running_line("--source", "demo", "--size", "320x180", "--rate", "20/s", cwd=tmp_path / "here") as line:
        line.until(2)
        (tmp_path / "here").rmdir()
        os.kill(line.child("edge-inference"), signal.SIGKILL)
        has_failed = False
        for number in range(3, 400):
            line.until(number)
            scored = line.verdicts[-1].score is not None
            has_failed |= not scored
            if has_failed and scored:
                return
    pytest.fail("the inference process was not started again")


def test_a_station_with_too_few_open_files_says_so_and_does_not_hang() -> None:
    few = in_shell("ulimit -n 24", *command("run", *SHORT["run"]))
    assert few.code == 2
    assert b"may open 24 files" in few.stderr
    measured = in_shell("ulimit -n 24", *command("bench", *SHORT["bench"]))
    assert measured.code == 2
    low = in_shell("ulimit -S -n 24", *command("run", *SHORT["run"]))
    assert low.code == 0, "the process raises its own limit as far as it may"


UNKNOWN_USER = """
import pwd, sys
def getpwuid(uid): raise KeyError(uid)
pwd.getpwuid = getpwuid
from importlib import import_module
import_module("edge.cli." + sys.argv.pop(1)).main()
"""
"""Stands for a user without an entry in the list of users, who could not read this interpreter's own files here."""


def test_a_user_whom_the_system_does_not_know_is_told_what_to_set(tmp_path: Path) -> None:
    unset = ("HOME", "EDGE_RECORDS", "EDGE_KEYS", "EDGE_CACHE", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in unset}

    def as_unknown(*arguments: object) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-c", UNKNOWN_USER, *map(str, arguments)]
        done = subprocess.run(line, capture_output=True, text=True, timeout=60, cwd=tmp_path, env=environment)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    assert as_unknown("run", *SHORT["run"]).returncode == 0
    recorded = as_unknown("run", *SHORT["run"][:-1])
    assert (recorded.returncode, "set HOME, or XDG_STATE_HOME" in recorded.stderr) == (2, True)
    keys = as_unknown("keys", "list")
    assert (keys.returncode, "set HOME, or XDG_CONFIG_HOME" in keys.stderr) == (2, True)
    (tmp_path / "line.toml").write_text('source = "demo"\nrecords = "~/records"\n')
    assert "no home folder is known" in as_unknown("run", "--config", "line.toml").stderr
    assert [file.name for file in tmp_path.iterdir()] == ["line.toml"], "no folder named ~ is made"


def test_a_gate_that_cannot_write_its_log_says_so_in_one_line(tmp_path: Path) -> None:
    """A gate without a log must not move, so the command ends."""
    shell = " ".join(map(str, command("gate", "--connect", "ENDPOINT", "--allow-simulated", "--log", "/dev/full")))
    (gate,) = beside_a_station(tmp_path, [(shell, {})], ACKNOWLEDGED)
    assert gate.code == 2
    assert b"Traceback" not in gate.stderr
    assert gate.stderr.count(b"/dev/full cannot be written: No space left on device; make room there") == 1
