"""mosquitto as a real broker that is stopped and started, mosquitto_sub as a listener, and journals for a publisher."""

import json
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.plc import until
from support.records import enter, recorder, verdict

needs_mosquitto = pytest.mark.skipif(
    shutil.which("mosquitto") is None or shutil.which("mosquitto_sub") is None,
    reason="mosquitto is not installed (Debian: apt-get install mosquitto mosquitto-clients)",
)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class Broker:
    """mosquitto with persistence: what is queued for a listener outlives it."""

    def __init__(self, folder: Path, *lines: str) -> None:
        self.port, self.folder = free_port(), folder
        folder.mkdir()
        own = (f"listener {self.port} 127.0.0.1", "persistence true", f"persistence_location {folder}/",
               "autosave_interval 1", "user root", *(lines or ("allow_anonymous true",)))  # fmt: skip
        (folder / "mosquitto.conf").write_text("\n".join(own) + "\n")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        log = (self.folder / "log.txt").open("ab")
        self.process = subprocess.Popen(
            ["mosquitto", "-c", self.folder / "mosquitto.conf"], stdout=log, stderr=log, cwd=self.folder
        )
        log.close()
        until(self.answers)

    def answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        """In order, so that it saves what it has."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)  # a test may have frozen it
            self.process.terminate()
            self.process.wait(60)
            self.process = None


class Listener:
    """mosquitto_sub; its session stays when the broker goes."""

    def __init__(self, broker: Broker, *options: str) -> None:
        self._out = broker.folder / f"heard-{free_port()}.txt"
        with self._out.open("wb") as out:
            self.process = subprocess.Popen(
                ["mosquitto_sub", "-p", str(broker.port), "-i", self._out.stem, "-c", "-q", "1", "-t", "edge/#",
                 "-F", '{"topic": "%t", "retained": %r, "payload": "%x"}', *options], stdout=out, stderr=out,
            )  # fmt: skip

    def heard(self, topic: str) -> list[Any]:
        """The payloads of a topic, as JSON."""
        lines = [json.loads(line) for line in self._out.read_text().splitlines() if line.endswith("}")]
        return [json.loads(bytes.fromhex(line["payload"])) for line in lines if line["topic"] == topic]


@contextmanager
def listening(broker: Broker, *options: str) -> Iterator[Listener]:
    listener = Listener(broker, *options)
    try:
        yield listener
    finally:
        listener.process.kill()
        listener.process.wait()


def judge(folder: Path, first: int, last: int) -> Callable[[], None]:
    """A recorder with these verdicts; closes it."""
    journal = recorder(folder / "records", epoch=f"e{first:x}")
    enter(
        journal, *(verdict(seq - first + 1, epoch=f"e{first:x}", part=f"part-{seq}") for seq in range(first, last + 1))
    )
    return lambda: journal.close("told to stop", last - first + 1)


def cursor(folder: Path) -> int:
    """The last row that the broker has."""
    return int(json.loads((folder / "cursor").read_text())["line1"]["rowid"])
