"""Runs commands of the project in their own processes, forked from a server process that has imported them already.

A command that refuses its arguments takes a hundredth of a second. A start of Python with all imports takes fifty times
as long. `python tests/support/command_server.py` is the server: it reads a request as a line of JSON, and answers with
a line.
"""

import json
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

COMMANDS = (
    "audit",
    "backtest",
    "bench",
    "ctl",
    "gate",
    "group",
    "keys",
    "listen",
    "page",
    "plc",
    "review",
    "run",
    "verify",
)


class CommandServer:
    """The client of the server process."""

    def __init__(self) -> None:
        """Start the server process."""
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )

    def run(
        self, name: str, *arguments: object, timeout: float = 60, memory: int | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the current folder and environment; the result is as from `subprocess.run`. It is killed
        after `timeout` seconds and has at most `memory` bytes of data.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked = {"name": name, "arguments": [str(one) for one in arguments], "timeout": timeout, "memory": memory}
        print(json.dumps(asked | {"folder": os.getcwd(), "environment": dict(os.environ)}), file=self._process.stdin)
        self._process.stdin.flush()
        told = json.loads(self._process.stdout.readline())
        if told["timed_out"]:
            raise subprocess.TimeoutExpired([name, *map(str, arguments)], timeout, told["stdout"], told["stderr"])
        return subprocess.CompletedProcess([name], told["code"], told["stdout"], told["stderr"])


def serve() -> None:
    """Answer requests until standard input ends."""
    modules = {name: import_module(f"edge.cli.{name}") for name in COMMANDS}
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(_answer(modules[asked["name"]], asked)), flush=True)


def _answer(module: Any, asked: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            _become(module, asked, out.fileno(), err.fileno())
        timed_out = not _ends(child, asked["timeout"])
        if timed_out:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        said = []
        for file in (out, err):
            file.seek(0)
            said.append(file.read().decode(errors="surrogateescape"))
        code = os.waitstatus_to_exitcode(status)
        return {"code": code, "stdout": said[0], "stderr": said[1], "timed_out": timed_out}


def _ends(child: int, timeout: float) -> bool:
    """Whether the child ends within `timeout` seconds."""
    descriptor = os.pidfd_open(child)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(timeout * 1000))
    finally:
        os.close(descriptor)


def _become(module: Any, asked: dict[str, Any], out: int, err: int) -> None:
    """Run the command in the forked child. Does not return."""
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.chdir(asked["folder"])
        os.environ.clear()
        os.environ.update(asked["environment"])
        if asked["memory"] is not None:
            resource.setrlimit(resource.RLIMIT_DATA, (asked["memory"], asked["memory"]))
        sys.argv = [f"edge-{asked['name']}", *asked["arguments"]]
        module.main()
        code = 0
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else int(left.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        for file in (sys.stdout, sys.stderr):
            try:
                file.flush()
            except (OSError, ValueError):
                code = code or 1
        os._exit(code)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    serve()
