"""Standard output and standard error as a command writes them: neither they nor who reads them ends its work.

Nor does what others named, a file, a part or a bundle, steer the terminal: `Output` writes out what is not printable.
"""

import codecs
import contextlib
import errno
import io
import os
import queue
import re
import select
import sys
import threading

MOST_WAITING = 10_000
"""Texts that a slow reader may leave unread before more of them are dropped."""


class OutputError(Exception):
    """Standard output cannot be written. `is_unread`: whoever read it has left.

    It is no OSError: Typer takes one with EPIPE for its own and leaves with exit code 1.
    """

    def __init__(self, error: OSError) -> None:
        """The words are those of the system."""
        super().__init__(error.strerror)
        self.is_unread = error.errno == errno.EPIPE


class _Output(io.FileIO):
    def write(self, data: object) -> int:
        try:
            while (written := super().write(data)) is None:  # type: ignore[arg-type]
                select.select([], [self], [])
            return written
        except OSError as error:
            raise OutputError(error) from error


class _Remarks(io.FileIO):
    """What is said on standard error is worth less than the work: if it cannot be written, it is lost."""

    def write(self, data: object) -> int:
        with contextlib.suppress(OSError):
            if (written := super().write(data)) is not None:  # type: ignore[arg-type]
                return written
        return len(data)  # type: ignore[arg-type]


def _escaped(error: UnicodeError) -> tuple[str, int]:
    r"""A character that the terminal's encoding lacks becomes \uXXXX, which JSON reads back."""
    assert isinstance(error, UnicodeEncodeError)
    return _units(error.object[error.start : error.end]), error.end


def _units(text: str) -> str:
    units = text.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))


ESCAPED = "edge-escaped"
codecs.register_error(ESCAPED, _escaped)

_UNUSUAL = re.compile(r"[^\n\t -~]")


def harmless(text: str) -> str:
    r"""The text with every character that is not printable as \uXXXX, but for line ends and tabs. JSON stays JSON."""
    return _UNUSUAL.sub(lambda found: found[0] if found[0].isprintable() else _units(found[0]), text)


class Output(io.TextIOWrapper):
    """A standard file that steers no terminal."""

    def write(self, text: str) -> int:
        """Write a text made harmless; its length."""
        super().write(harmless(text))
        return len(text)

    def write_as_it_is(self, text: str) -> int:
        """Write a text whose escape sequences are the program's own."""
        return super().write(text)


def prepare_output() -> None:
    """Make the standard files of this process writable whatever they are connected to.

    Characters that their encoding lacks are written out. Standard output raises OutputError where it cannot be written,
    standard error never raises.
    """
    _open_standard_files()
    if sys.stdout is sys.__stdout__:  # nobody has put something else there
        sys.stdout = _text(_Output(1, "w", closefd=False), sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(_Remarks(2, "w", closefd=False), sys.stderr)


def _text(raw: io.FileIO, like: object) -> Output:
    """A text file like the one that Python made, on another raw file."""
    assert isinstance(like, io.TextIOWrapper)
    return Output(
        io.BufferedWriter(raw),
        encoding=like.encoding,
        errors=ESCAPED,
        line_buffering=like.line_buffering,
        write_through=like.write_through,
    )


def _open_standard_files() -> None:
    """Standard input, output and error are there, though nobody reads them: else the next file opened takes their place
    and a child writes into it.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")


def stop_output() -> None:
    """What is still buffered for standard output cannot be written either: the interpreter's end must not try."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


class Display:
    """Writes texts to standard output or error in a thread of its own, so that no reader holds up who calls.

    A reader that is too slow misses some of them, one that is gone all; a disk that is full misses those of the time.
    """

    def __init__(self, descriptor: int, most_waiting: int = MOST_WAITING) -> None:
        """`descriptor` is 1 or 2. At most `most_waiting` texts wait."""
        self._descriptor = descriptor
        self._encoding = (sys.stdout if descriptor == 1 else sys.stderr).encoding
        self._texts: queue.Queue[str | None] = queue.Queue(most_waiting)
        self._writer = threading.Thread(target=self._write, daemon=True)
        self._writer.start()

    def show(self, text: str) -> None:
        """Have a text written, made harmless; it may go back to the beginning of a line. Never waits, never raises."""
        with contextlib.suppress(queue.Full):
            self._texts.put_nowait("\r".join(map(harmless, text.split("\r"))))

    def close(self, patience_s: float) -> None:
        """Let what waits be written, for `patience_s` seconds at most."""
        with contextlib.suppress(queue.Full):
            self._texts.put_nowait(None)
        self._writer.join(patience_s)

    def _write(self) -> None:
        while (text := self._texts.get()) is not None:
            with contextlib.suppress(OSError):
                self._put(text.encode(self._encoding, ESCAPED))

    def _put(self, data: bytes) -> None:
        """Past Python's buffers: a lock of theirs that a waiting thread holds would abort the process as it ends."""
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:
                select.select([], [self._descriptor], [])
