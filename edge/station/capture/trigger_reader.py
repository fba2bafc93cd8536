"""Reads the supervisor's messages in a capture child whose camera exposes on request."""

import queue
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from edge.errors import EdgeError
from edge.station.process.messages import Expose


class Inbox:
    """The only reader of the pipe: a thread that handles Expose at once, even if the main thread waits for the camera.

    All other messages are returned by `recv`, as from the connection.
    """

    def __init__(self, connection: Connection, expose: Callable[[], None]) -> None:
        """`expose` is called in the thread; an EdgeError that it raises is raised again by `recv`."""
        self._connection, self._expose = connection, expose
        self._waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self._read, name="inbox", daemon=True).start()

    def poll(self) -> bool:
        """Whether `recv` returns without waiting."""
        return not self._waiting.empty()

    def recv(self) -> Any:
        """The next message. Raises EOFError if the supervisor is gone, EdgeError if the camera refused a trigger."""
        message = self._waiting.get()
        if isinstance(message, Exception):
            raise message
        return message

    def _read(self) -> None:
        try:
            while True:
                message = self._connection.recv()
                if isinstance(message, Expose):
                    self._expose()
                else:
                    self._waiting.put(message)
        except EdgeError as error:
            self._waiting.put(error)
        except (EOFError, OSError):
            self._waiting.put(EOFError())
