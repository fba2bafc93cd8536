"""An RTSP server in its own process, which tests receive from and disturb."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PYTHON = "/usr/bin/python3"
"""The system's Python: GStreamer's bindings are installed with it, and are not on PyPI."""

SCRIPT = Path(__file__).with_name("rtsp_server.py")
NEEDS = "gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-ugly python3-gi"


class Server:
    """A server that serves `/line` on one port between `start` and `kill`, repeatedly."""

    def __init__(self, *options: object) -> None:
        self._options = [str(option) for option in options]
        self._process: subprocess.Popen[str] | None = None
        self._port = "0"
        self.start()

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self._port}/line"

    def start(self) -> None:
        """Start the server and wait until it serves. Skips the test if the server is not available."""
        command = [PYTHON, str(SCRIPT), "--port", self._port, *self._options]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        port = self._process.stdout.readline().strip()
        if not port:
            _, said = self._process.communicate()
            absent = any(word in said for word in ("No module named 'gi'", "not available", "no element"))
            assert absent, said
            pytest.skip(f"no RTSP server here: apt-get install {NEEDS}")
        self._port = port

    def kill(self) -> None:
        """Kill the server, like a power failure; its connections break."""
        assert self._process is not None
        self._process.kill()
        self._process.communicate()

    def freeze(self) -> None:
        """Stop the server's process; its connections stay open, but nothing is sent."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Continue the server's process."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


@contextmanager
def serving(*options: object) -> Iterator[Server]:
    """A server with these options of `rtsp_server.py`. Skips the test if the server is not available."""
    if sys.platform != "linux" or not Path(PYTHON).exists():
        pytest.skip(f"no {PYTHON} with GStreamer's bindings here")
    server = Server(*options)
    try:
        yield server
    finally:
        server.kill()
