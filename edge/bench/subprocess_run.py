"""A setting measured in a process of its own, because it needs CPU instructions that would slow the other settings."""

import signal
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from edge.backends import computes_float32, runtime_of
from edge.backends.environment import untouched_environment
from edge.bench.bare_inference import Bare, options
from edge.bench.result import Disturbance, Pace, Series, Setting
from edge.bundle import Bundle, open_bundle
from edge.errors import BundleError, DataError, EdgeError
from edge.frame import Frame
from edge.station.process.safe_path import safe_path


def bare(bundle: Bundle, setting: Setting, pictures: list[Frame]) -> "Bare | Apart":
    """The setting, compiled and warmed up, here or in a process. Raises BundleError or DataError if it cannot load."""
    is_float32 = computes_float32([bundle.artifact(setting.artifact)], options(setting))
    if runtime_of(setting.backend).shares_instructions and not is_float32:
        return Apart(bundle, setting, pictures)
    return Bare(bundle, setting, pictures)


class Apart:
    """Like `Bare`, which runs in another process. Not thread-safe."""

    def __init__(self, bundle: Bundle, setting: Setting, pictures: list[Frame]) -> None:
        """See `Bare`."""
        self.bundle, self.setting = bundle, setting
        spawn = get_context("spawn")
        self._connection, theirs = spawn.Pipe()
        process = spawn.Process(
            target=_serve, args=(theirs, bundle.folder, bundle.digest, setting, pictures), daemon=True
        )
        with untouched_environment(), safe_path():
            process.start()
        theirs.close()
        self.typical_ms: float = self._answer()

    def _answer(self) -> Any:
        try:
            answer = self._connection.recv()
        except EOFError:
            raise EdgeError(f"{self.bundle.path}: the process that measured {self.setting.artifact} died") from None
        if isinstance(answer, EdgeError):
            raise answer
        return answer

    def _ask(self, what: Callable[..., Any], *arguments: Any) -> Any:
        self._connection.send((what.__name__, arguments))
        return self._answer()

    def median_ms(self) -> float:
        """See `Bare`."""
        return float(self._ask(Bare.median_ms))

    def turn(self, pace: Pace, frames: int) -> None:
        """See `Bare`."""
        self._ask(Bare.turn, pace, frames)

    def note(self, pace: Pace, disturbance: Disturbance | None) -> None:
        """See `Bare`."""
        self._ask(Bare.note, pace, disturbance)

    def series(self) -> list[Series]:
        """See `Bare`."""
        return list(self._ask(Bare.series))

    def golden_holds(self) -> bool:
        """See `Bare`."""
        return bool(self._ask(Bare.golden_holds))


def _serve(connection: Connection, path: Path, digest: str, setting: Setting, pictures: list[Frame]) -> None:
    """Main function of the process: serve calls until the other end of the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles the interrupt, and closes the pipe
    try:
        bundle = open_bundle(path, digest=digest)
        here = Bare(bundle, setting, pictures)
        bundle.release()
    except (BundleError, DataError) as error:
        connection.send(error)
        return
    connection.send(here.typical_ms)
    while True:
        try:
            what, arguments = connection.recv()
        except EOFError:
            return
        connection.send(getattr(here, what)(*arguments))
