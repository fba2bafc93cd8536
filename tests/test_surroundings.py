"""What a process finds around it — terminals, pipes, disks, folders, limits — ends no work and hangs nothing."""

import contextlib
import json
import os
import sqlite3
import subprocess
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest
from entries import rows, until
from running import command, free_endpoint

ASCII = {"PYTHONIOENCODING": "ascii"}
C_LOCALE = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
PARTS = 5


class Client(NamedTuple):
    """What became of a command."""

    code: int
    stdout: bytes
    stderr: bytes


def beside_a_station(folder: Path, shell: str, environment: dict[str, str], awaited: str, **more: Any) -> Client:
    """Runs a line of the shell, in it ENDPOINT, beside a station that judges five parts once somebody listens.

    The station is told to stop when the table `awaited` of its journal knows each part, or when the client has left.
    """
    pictures, records, endpoint = folder / "pictures", folder / "records", free_endpoint()
    pictures.mkdir()
    for number in range(PARTS):
        coded = cv2.imencode(".png", np.full((180, 320, 3), 90, np.uint8))[1]
        (pictures / f"täst{number}.png").write_bytes(coded.tobytes())
    options = ("--source", pictures, "--watch", "--wait-subscribers", 1, "--budget-ms", 20_000)
    line = ["bash", "-c", shell.replace("ENDPOINT", endpoint)]
    environment = os.environ | environment
    with (
        subprocess.Popen(command("run", *options, "--bind", endpoint, "--records", records), stderr=DEVNULL) as station,
        subprocess.Popen(line, env=environment, stdout=PIPE, stderr=PIPE, **more) as client,
    ):
        try:
            until(lambda: client.poll() is not None or known(records, awaited) == PARTS)
            station.terminate()
            stdout, stderr = client.communicate(timeout=60)
            assert station.wait(60) == 0
        finally:
            station.kill()
            client.kill()
    return Client(client.returncode, stdout, stderr)


def known(records: Path, table: str) -> int:
    """Parts that a table of the journal knows; 0 while there is none."""
    with contextlib.suppress(sqlite3.OperationalError):
        return int(rows(records, f"SELECT count(DISTINCT seq) FROM {table}")[0][0])
    return 0


def full_pipe() -> tuple[int, int]:
    """A pipe that nobody reads and that takes nothing more: both ends."""
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


GATE = subprocess.list2cmdline(command("gate", "--connect", "ENDPOINT", "--once", "--travel-s", 0.2))
LISTEN = subprocess.list2cmdline(command("listen", "--connect", "ENDPOINT", "--once"))


@pytest.mark.parametrize("as_json", ["", "--json"], ids=["lines", "json"])
@pytest.mark.parametrize(
    ("end", "environment"),
    [
        ("", ASCII),
        ("", C_LOCALE),
        ("| head -n 1; exit ${PIPESTATUS[0]}", {}),
        ("> /dev/full 2> /dev/full", {}),
        (">&$UNREAD 2>&$UNREAD", {}),
        (">&- 2>&-", {}),
    ],
    ids=["ascii", "C", "left", "full", "unread", "closed"],
)
def test_a_gate_goes_on_whatever_becomes_of_its_display(
    tmp_path: Path, end: str, environment: dict[str, str], as_json: str
) -> None:
    reads, writes = full_pipe()
    log = tmp_path / "gate.log"
    shell = f"{GATE} --log {log} {as_json} {end}"
    done = beside_a_station(
        tmp_path, shell, environment | {"UNREAD": str(writes)}, "acknowledgements", pass_fds=[writes]
    )
    os.close(reads)
    os.close(writes)
    assert done.code == 0, done.stderr
    assert b"Traceback" not in done.stderr
    names = [f"täst{number}.png" for number in range(PARTS)]
    assert [json.loads(text)["part"] for text in log.read_text(encoding="utf-8").splitlines()] == names
    if environment and as_json:
        assert [json.loads(text)["part"] for text in done.stdout.splitlines()] == names
    elif environment:
        assert b"t\\u00e4st4.png" in done.stdout


@pytest.mark.parametrize(
    ("end", "environment", "code", "said", "shown"),
    [
        ("", ASCII, 0, "", b"t\\u00e4st4.png"),
        ("", C_LOCALE, 0, "", b"t\\u00e4st4.png"),
        ("", {"PYTHONIOENCODING": "latin-1"}, 0, "", b"t\xe4st4.png"),
        ("| head -n 1; exit ${PIPESTATUS[0]}", {}, 141, "", b"\n"),
        ("> /dev/full", {}, 2, "error: standard output cannot be written: No space left on device", b""),
        ("2> /dev/full", {}, 0, "", b".png"),
    ],
    ids=["ascii", "C", "latin-1", "left", "full", "full error"],
)
def test_a_listener_that_nobody_reads_leaves_without_a_traceback(
    tmp_path: Path, end: str, environment: dict[str, str], code: int, said: str, shown: bytes
) -> None:
    done = beside_a_station(tmp_path, f"{LISTEN} {end}", environment, "verdicts")
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
    assert foreign.stdout.isascii()
