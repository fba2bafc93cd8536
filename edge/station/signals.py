"""The signals that end a run, for a loop that may be asleep."""

import signal
import socket
from types import FrameType, TracebackType
from typing import Literal

ENDING_SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]  # SIGHUP: the terminal was closed


class Signals:
    """The signals that end a run, as a flag and a socket that wakes a sleeping loop, while the context is open."""

    def __enter__(self) -> "Signals":
        self.came = False
        self.wake, self._write = socket.socketpair()
        self._write.setblocking(False)
        self._old_fd = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        self._old = {number: signal.signal(number, self._on_signal) for number in ENDING_SIGNALS}
        return self

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.came = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        for number, handler in self._old.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._old_fd)
        self.wake.close()
        self._write.close()
        return False
