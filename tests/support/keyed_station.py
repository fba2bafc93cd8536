"""A small station with keys in its own process: verdicts and a control socket, served as by the supervisor.

`running_keyed_station` starts the station for a test. Run as a program, this file is the station.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path

import zmq
from support.line import TESTS_PATH, free_endpoint
from support.verdicts import verdict

from edge.channel.access_control import Doorkeeper
from edge.channel.limits import CONTROL_ALLOWANCE
from edge.channel.publisher import Publisher
from edge.security.keystore import KeyStore

TICK_S = 0.01
PATIENCE_S = 60.0


@dataclass
class KeyedStation:
    """A running station: its process, its endpoints and its log."""

    process: subprocess.Popen[bytes]
    verdicts: str
    control: str
    log: Path

    def says(self, *words: str) -> str:
        """Wait for the first line of the log with all these words, and return it."""
        ends = time.monotonic() + PATIENCE_S
        while time.monotonic() < ends:
            for line in self.log.read_text().splitlines():
                if all(word in line for word in words):
                    return line
            time.sleep(0.02)
        raise AssertionError(f"the station never said {words}; its log:\n{self.log.read_text()}")


@contextmanager
def running_keyed_station(keys: Path) -> Iterator[KeyedStation]:
    """A station whose sockets admit only the keys of this folder; killed at the end of the context."""
    verdicts, control, log = free_endpoint(), free_endpoint(), keys.parent / "station.log"
    with log.open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "support.keyed_station", keys, verdicts, control],
            stderr=err,
            env=os.environ | {"PYTHONPATH": TESTS_PATH},
        )
    try:
        station = KeyedStation(process, verdicts, control, log)
        station.says("serving")
        yield station
        assert process.poll() is None, f"the station died:\n{log.read_text()}"
    finally:
        process.kill()
        process.wait()


def serve(keys: Path, verdicts: str, control: str) -> None:
    """Until killed, publish a verdict every TICK_S, and answer each control message with the name of its client."""
    context = zmq.Context()
    doorkeeper = Doorkeeper(context, KeyStore(keys), lambda line: print(line, file=sys.stderr, flush=True))
    publisher = Publisher(context, "line1", verdicts, doorkeeper=doorkeeper)
    router = context.socket(zmq.ROUTER)
    doorkeeper.guard(router, CONTROL_ALLOWANCE)
    router.bind(control)
    print("serving", file=sys.stderr, flush=True)
    seq, due = 0, time.monotonic()
    while True:
        wait([router.fileno(), *doorkeeper.fds], max(0.0, min(due - time.monotonic(), doorkeeper.due_in_s)))
        doorkeeper.serve()
        publisher.subscribers()
        while router.poll(0):
            sender, *payload = router.recv_multipart(copy=False)
            guest = doorkeeper.met(payload[-1])
            if guest is not None:
                router.send_multipart([sender.bytes, str(guest.name).encode(), json.dumps(doorkeeper.refused).encode()])
        if time.monotonic() >= due:
            seq, due = seq + 1, due + TICK_S
            publisher.send(verdict(seq=seq))


if __name__ == "__main__":
    serve(Path(sys.argv[1]), *sys.argv[2:])
