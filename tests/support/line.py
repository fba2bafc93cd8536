"""A station in its own processes, which tests start, listen to and disturb."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import zmq
from support.command_server import CommandServer

from edge.channel.control_messages import Reply, Request, parse_reply
from edge.channel.endpoints import CONTROL, free_endpoint, neighbour_endpoint
from edge.channel.subscriber import Received, Subscriber
from edge.station.config.conversion import to_config
from edge.station.config.resolved import StationConfig
from edge.station.config.settings import Settings
from edge.station.process.runner import EdgeRun
from edge.station.process.usage import children
from edge.verdict import Heartbeat, State, StateChange, Verdict

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
DEMO_BUNDLE = ROOT / "models" / "demo.edge"
TILE_BUNDLE = ROOT / "models" / "magnetic-tile.edge"
SILENCE_S = 20.0
TESTS_PATH = os.pathsep.join([str(TESTS), str(ROOT)])
"""PYTHONPATH of a process that imports `support` and the project."""

__all__ = [
    "DEMO_BUNDLE", "ROOT", "TESTS_PATH", "TILE_BUNDLE", "Asking", "Line", "command", "free_endpoint", "ran", "refused",
    "run", "running_line", "station_config",
]  # fmt: skip


def command(name: str, *arguments: object) -> list[str]:
    """The command line of one of the project's commands, in this interpreter."""
    return [sys.executable, "-m", f"edge.cli.{name}", *map(str, arguments)]


@cache
def _server() -> CommandServer:
    return CommandServer()


def ran(name: str, *arguments: object, timeout: float = 60, memory: int | None = None) -> CompletedProcess[str]:
    """The result of `subprocess.run(command(name, ...), capture_output=True, text=True)`, fifty times as fast."""
    return _server().run(name, *arguments, timeout=timeout, memory=memory)


def run(*arguments: object) -> CompletedProcess[str]:
    """Run a command line, for at most a minute; its output and exit code."""
    return subprocess.run([*map(str, arguments)], capture_output=True, text=True, timeout=60)


def refused(*arguments: object) -> str:
    """The one line of standard error with which edge-run refuses these arguments."""
    done = ran("run", "--bind", free_endpoint(), *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


def station_config(source: str = "test", bundle: Path = DEMO_BUNDLE, **keys: Any) -> StationConfig:
    """The configuration of a station with these keys and without records."""
    settings = Settings.model_validate({"source": source, "records": False} | keys)
    return to_config(settings, bundle, simulated=False)


@dataclass
class Asking:
    """A minimal controller, which sends requests and receives replies."""

    socket: "zmq.Socket[bytes]"

    def __call__(self, request: Request) -> Reply:
        """Send a request and wait for its reply."""
        self.socket.send(request.model_dump_json().encode())
        return self.next()

    def next(self) -> Reply:
        """Wait for the next reply."""
        assert self.socket.poll(20_000), "no answer"
        return parse_reply(self.socket.recv())

    def hears_nothing(self) -> bool:
        """Whether no reply arrives for a while."""
        return not self.socket.poll(300)


@dataclass
class Line:
    """A station in its own processes, and the messages that a subscriber in this process received."""

    process: subprocess.Popen[str]
    subscriber: Subscriber
    endpoint: str
    received: list[Received] = field(default_factory=list)
    stdout: str = ""
    stderr: str = ""

    @property
    def verdicts(self) -> list[Verdict]:
        return [r.message for r in self.received if isinstance(r.message, Verdict)]

    @property
    def heartbeats(self) -> list[Heartbeat]:
        return [r.message for r in self.received if isinstance(r.message, Heartbeat)]

    def until(self, verdicts: int) -> None:
        """Receive until there are `verdicts` verdicts."""
        count = len(self.verdicts)
        for message in self._receive():
            count += isinstance(message, Verdict)
            if count >= verdicts:
                return

    def until_state(self, state: State) -> None:
        """Receive until the station announces a state."""
        for message in self._receive():
            if isinstance(message, StateChange) and message.state is state:
                return

    def _receive(self) -> Iterator[Verdict | Heartbeat | StateChange]:
        """The messages in order of arrival. A silent or dead station fails the test, which shows the station's log."""
        for received in self.subscriber.messages(SILENCE_S):
            self.received.append(received)
            yield received.message
        self.process.kill()
        raise AssertionError(f"the station fell silent; it said: {self.process.communicate()}")

    def to_the_end(self) -> int:
        """Receive until the station announces its end. Returns its exit code."""
        self.until_state(State.STOPPED)
        self.stdout, self.stderr = self.process.communicate(timeout=30)
        return self.process.returncode

    @contextmanager
    def asking(self) -> Iterator["Asking"]:
        """A connection to the control socket."""
        with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
            socket.set(zmq.LINGER, 0)
            socket.connect(neighbour_endpoint(self.endpoint, CONTROL))
            yield Asking(socket)

    def child(self, name: str) -> int:
        """Process id of the station's child "edge-capture" or "edge-inference"."""
        return children(self.process.pid)[name]


@contextmanager
def running_line(*arguments: object, bundle: Path = DEMO_BUNDLE, cwd: Path | None = None) -> Iterator[Line]:
    """`edge-run` with these arguments in the folder `cwd`. It waits for one subscriber, and is killed at the end of the
    context.
    """
    endpoint = free_endpoint()
    subscriber = Subscriber(endpoint, "line1")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = EdgeRun(
        *arguments,
        bundle=None if "--products" in arguments else bundle,
        bind=endpoint,
        wait_subscribers=1,
        budget_ms=20_000,
        json=True,
        records=None if "--records" in arguments else False,
        popen={**pipes, "cwd": cwd, "start_new_session": True},  # its own process group, which a test may kill
    ).process
    try:
        yield Line(process, subscriber, endpoint)
    finally:
        subscriber.close()
        process.kill()
        process.communicate()
