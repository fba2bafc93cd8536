"""Aravis' fake camera in its own process, with the real GigE Vision protocol over the loopback interface.

Run as a program, this file is the camera: `python fake_genicam.py ADDRESS SERIAL SHARE_OF_PACKETS_LOST`.
"""

import ctypes
import fcntl
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge.sources.aravis import LIBRARIES

ADDRESS = "127.0.0.1"
SERIAL = "GVTest"


def is_possible() -> bool:
    """Whether Aravis is installed."""
    return _library() is not None


def _library() -> ctypes.CDLL | None:
    for name in LIBRARIES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


@contextmanager
def no_other_cameras() -> Iterator[None]:
    """Exclude fake cameras of other test processes: a camera answers every process that searches for cameras."""
    with Path(tempfile.gettempdir(), f"edge-tests-fake-genicam-{os.getuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class FakeCamera:
    """A fake camera, switched on by the constructor; `off` is a power failure."""

    def __init__(self, loss: float = 0.0, address: str = ADDRESS, serial: str = SERIAL) -> None:
        self._command = [sys.executable, __file__, address, serial, str(loss)]
        self.on()

    def on(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline(), "the fake camera does not start"

    def off(self) -> None:
        assert self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


@contextmanager
def fake_camera(loss: float = 0.0, address: str = ADDRESS, serial: str = SERIAL) -> Iterator[FakeCamera]:
    """A fake camera that loses the share `loss` of its packets."""
    camera = FakeCamera(loss, address, serial)
    try:
        yield camera
    finally:
        camera.off()


def _main(address: str, serial: str, loss: str) -> None:
    library = _library()
    assert library is not None
    library.arv_gv_fake_camera_new.restype = ctypes.c_void_p
    camera = library.arv_gv_fake_camera_new(address.encode(), serial.encode())
    library.g_object_set(
        ctypes.c_void_p(camera), b"gvsp-lost-ratio", ctypes.c_double(float(loss)), ctypes.c_void_p(None)
    )
    assert library.arv_gv_fake_camera_is_running(ctypes.c_void_p(camera)), f"port 3956 of {address} is taken"
    print("on", flush=True)
    while True:
        time.sleep(60)


if __name__ == "__main__":
    _main(*sys.argv[1:])
