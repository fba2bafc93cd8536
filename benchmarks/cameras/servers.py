"""The cameras of the trials: the tests' own servers, which speak the real protocols, each in its own process."""

import signal
import subprocess
import sys
import time
from pathlib import Path

from edge.errors import EdgeError

PROGRAMS = Path(__file__).parents[2] / "tests" / "support"
ADDRESS, SERIAL = "127.0.0.1", "GVTest"
SYSTEM_PYTHON = "/usr/bin/python3"
"""GStreamer's bindings belong to the system's interpreter; they are not on PyPI."""


class Camera:
    """A camera that is switched on at creation. `source` is its name for a station."""

    needs = ""

    def __init__(self) -> None:
        """Raises EdgeError, with the install command, if it does not start."""
        self.source = ""
        self._process: subprocess.Popen[str] | None = None
        self.on()

    def on(self) -> None:
        """Switch the camera on; returns when it serves."""
        self._process = subprocess.Popen(self._command(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        said = self._process.stdout.readline().strip()
        if not said:
            why = self._process.communicate()[1].strip().splitlines()[-1:]
            raise EdgeError(f"the test's camera does not start ({' '.join(why)}); {self.needs}")
        self._heard(said)

    def off(self) -> None:
        """Switch the camera off, like a power failure."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def freeze(self, for_s: float) -> None:
        """Stop the process for `for_s` seconds: its connections stay open without data."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        time.sleep(for_s)

    def thaw(self) -> None:
        """Continue the process."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _heard(self, said: str) -> None:
        """Handle its first line of output."""


class GigE(Camera):
    """Aravis' fake GigE Vision camera, which loses the fraction `loss` of its packets."""

    needs = "it needs Aravis 0.8 (apt install libaravis-0.8-0), and port 3956 of 127.0.0.1 to itself"

    def __init__(self, loss: float = 0.0) -> None:
        self._loss = loss
        super().__init__()
        self.source = f"genicam:{ADDRESS}"

    def _command(self) -> list[str]:
        return [sys.executable, str(PROGRAMS / "fake_genicam.py"), ADDRESS, SERIAL, str(self._loss)]


class Rtsp(Camera):
    """GStreamer's RTSP server: H.264, 640×360, 25 pictures per second."""

    needs = "apt install gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-ugly python3-gi"

    def __init__(self) -> None:
        self._port = "0"
        super().__init__()

    def _command(self) -> list[str]:
        return [SYSTEM_PYTHON, str(PROGRAMS / "rtsp_server.py"), "--port", self._port]

    def _heard(self, said: str) -> None:
        self._port = said
        self.source = f"rtsp://127.0.0.1:{said}/line"
