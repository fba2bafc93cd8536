"""Feeds that draw a clock into their pictures, one for each kind of source measurable without a real camera."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge.errors import SourceError

ROOT = Path(__file__).parents[2]
RTSP_SERVER = ROOT / "tests" / "support" / "rtsp_server.py"
SYSTEM_PYTHON = "/usr/bin/python3"
"""GStreamer's bindings belong to the system's Python; they are not on PyPI."""

GIGE_ADDRESS = "127.0.0.1"


@dataclass(frozen=True)
class Scene:
    """The pictures to show: `size` is (height, width), `folder` an empty working folder."""

    rate: int
    size: tuple[int, int]
    folder: Path


@dataclass(frozen=True)
class Feed:
    """A source with a clock: `start` runs the program that draws it and yields the options for edge-run.

    `unit_us` is the clock's unit in microseconds. `path` describes what lies between the drawing and the source. At
    most `most_rate` pictures per second are shown.
    """

    name: str
    path: str
    start: Callable[[Scene], AbstractContextManager[list[str]]]
    unit_us: int = 1
    most_rate: int = 1000


@contextmanager
def _clock(scene: Scene) -> Iterator[list[str]]:
    yield ["--source=clock", _size(scene), f"--rate={scene.rate}/s"]


@contextmanager
def _folder(scene: Scene) -> Iterator[list[str]]:
    height, width = scene.size
    script = ["-m", "benchmarks.glass.writer", str(scene.folder), str(scene.rate), str(width), str(height)]
    with _running([sys.executable, *script]):
        yield [f"--source={scene.folder}", "--watch"]


@contextmanager
def _genicam(scene: Scene) -> Iterator[list[str]]:
    with _running([sys.executable, "-m", "benchmarks.glass.gige", GIGE_ADDRESS, "Clock"]) as camera:
        _first_line(camera)
        yield [f"--source=genicam:{GIGE_ADDRESS}", _size(scene), f"--rate={scene.rate}/s"]


def _rtsp(codec: str) -> Callable[[Scene], AbstractContextManager[list[str]]]:
    @contextmanager
    def start(scene: Scene) -> Iterator[list[str]]:
        height, width = scene.size
        options = {"codec": codec, "width": width, "height": height, "rate": scene.rate, "keys": scene.rate}
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        if not Path(SYSTEM_PYTHON).exists():
            raise SourceError(f"the RTSP server needs {SYSTEM_PYTHON} with GStreamer's bindings")
        with _running([SYSTEM_PYTHON, str(RTSP_SERVER), *words]) as server:
            yield [f"--source=rtsp://127.0.0.1:{_first_line(server)}/line"]

    return start


FEEDS = (
    Feed("clock", "drawn when the picture is let go, in the capture process itself", _clock),
    Feed("genicam", "Aravis' fake GigE camera, drawn before its first packet; loopback, Mono8", _genicam),
    Feed("rtsp h264", "GStreamer's server: x264, RTP over TCP, loopback; decoded", _rtsp("h264"), unit_us=1000),
    Feed("rtsp jpeg", "GStreamer's server: JPEG, RTP over TCP, loopback; decoded", _rtsp("jpeg"), unit_us=1000),
    Feed("folder --watch", "another program: drawn, written as JPEG, renamed into place", _folder, most_rate=5),
)


def _size(scene: Scene) -> str:
    return f"--size={scene.size[1]}x{scene.size[0]}"


@contextmanager
def _running(command: list[str]) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _first_line(process: "subprocess.Popen[str]") -> str:
    """Its first line of output, printed when it serves. Raises SourceError with its last line if it does not."""
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line:
        said = process.communicate()[1].strip().splitlines()[-1:] or ["it said nothing"]
        raise SourceError(said[0])
    return line
