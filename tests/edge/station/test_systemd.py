"""Notifications of a station to systemd, as real datagrams, and the unit that starts a station."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.line import ROOT

from edge.station.systemd import Service

UNIT = ROOT / "deploy" / "edge-run@.service"


class Manager:
    """The socket that systemd listens on."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address.replace("@", "\0", 1))
        self.socket.settimeout(5)
        self.environ = {"NOTIFY_SOCKET": address}

    def heard(self) -> list[str]:
        """The lines of the next datagram."""
        return self.socket.recv(4096).decode().split("\n")

    def hears_nothing(self) -> bool:
        """Whether no datagram waits. Datagrams on a machine's own sockets arrive before `sendto` returns."""
        self.socket.setblocking(False)
        try:
            self.socket.recv(4096)
        except BlockingIOError:
            return True
        finally:
            self.socket.settimeout(5)
        return False


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    address = f"{tmp_path}/notify" if request.param == "path" else f"@edge-test-{os.getpid()}-{time.monotonic_ns()}"
    listening = Manager(address)
    yield listening
    listening.socket.close()


def test_ready_is_said_once_and_not_before_the_station_has_started(manager: Manager) -> None:
    service = Service(manager.environ)
    service.beat(False, True, "preoperational")
    assert manager.heard() == ["STATUS=preoperational"]
    service.beat(True, True, "executing")
    assert manager.heard() == ["READY=1", "STATUS=executing"]
    service.beat(True, True, "executing")
    assert manager.hears_nothing()


def test_a_status_is_one_line(manager: Manager) -> None:
    service = Service(manager.environ)
    service.beat(False, False, "held: camera\nREADY=1")
    assert manager.heard() == ["STATUS=held: camera READY=1"]


def test_no_progress_no_ping(manager: Manager) -> None:
    service = Service({**manager.environ, "WATCHDOG_USEC": "40000"})
    service.beat(True, False, "held")
    assert manager.heard() == ["READY=1", "STATUS=held"]
    time.sleep(0.02)
    service.beat(True, False, "held")
    assert manager.hears_nothing()
    service.beat(True, True, "held")
    assert manager.heard() == ["WATCHDOG=1"]


def test_pings_are_several_in_the_time_allowed_and_not_one_a_beat(manager: Manager) -> None:
    service = Service({**manager.environ, "WATCHDOG_USEC": "4000000", "WATCHDOG_PID": str(os.getpid())})
    assert service.watchdog_s == 4
    service.beat(True, True, "")
    assert manager.heard() == ["READY=1", "WATCHDOG=1"]
    service.beat(True, True, "")
    assert manager.hears_nothing()


def test_a_watchdog_of_another_process_is_not_ours(manager: Manager) -> None:
    assert Service({**manager.environ, "WATCHDOG_USEC": "4000000", "WATCHDOG_PID": "1"}).watchdog_s is None


@pytest.mark.parametrize("usec", ["", "0", "-5", "soon", "²"])
def test_a_watchdog_that_is_no_time_is_none(usec: str) -> None:
    assert Service({"WATCHDOG_USEC": usec}).watchdog_s is None


def test_stopping_is_said_with_its_cause(manager: Manager) -> None:
    service = Service(manager.environ)
    service.stopping("told to stop")
    assert manager.heard() == ["STOPPING=1", "STATUS=told to stop"]
    service.close()
    service.stopping("again")
    assert manager.hears_nothing()


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1"}])
def test_without_systemd_nothing_is_said_and_nothing_fails(environ: dict[str, str]) -> None:
    service = Service(environ)
    service.beat(True, True, "executing")
    service.stopping("told to stop")
    service.close()


def test_what_systemd_did_not_hear_is_said_again(tmp_path: Path) -> None:
    address = f"{tmp_path}/notify"
    service = Service({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "4000000"})
    service.beat(True, True, "executing")  # nobody listens
    manager = Manager(address)
    service.beat(True, True, "executing")
    assert manager.heard() == ["READY=1", "STATUS=executing", "WATCHDOG=1"]
    manager.socket.close()


def test_a_manager_that_does_not_read_never_holds_the_station_up(manager: Manager) -> None:
    service = Service(manager.environ)
    for number in range(5000):  # more than a socket's queue holds
        service.beat(False, False, str(number))


def test_the_unit_is_one_that_systemd_understands(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here")
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/edge-inspect/bin/edge-run", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    assert done.returncode == 0
    complaints = [line for line in done.stderr.splitlines() if unit.name in line and "RestartSteps" not in line]
    assert [line for line in complaints if "RestartMaxDelaySec" not in line] == [], "those two are of systemd 254"


def test_the_unit_exposes_little(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here")
    options = ["--offline=true", "--threshold=20", "--no-pager"]
    done = subprocess.run(["systemd-analyze", "security", *options, UNIT], capture_output=True, text=True)
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze cannot look at a file")
    assert done.returncode == 0, done.stdout
