"""What the supervisor says to a capture child whose camera exposes when it is told."""

import queue
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from edge.errors import EdgeError
from edge.station.process.messages import Expose


class Inbox:
    """The one reader of the pipe: a thread, which passes on the word to expose at once, whoever waits for the camera.

    All else is received from here, as from the connection.
    """

    def __init__(self, connection: Connection, expose: Callable[[], None]) -> None:
        """`expose` is called in the thread; the EdgeError that it raises is raised by `recv`."""
        self._connection, self._expose = connection, expose
        self._waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self._hear, name="inbox", daemon=True).start()

    def poll(self) -> bool:
        """Whether `recv` would not wait."""
        return not self._waiting.empty()

    def recv(self) -> Any:
        """The next message. Raises EOFError if the supervisor is gone, EdgeError if the camera took no trigger."""
        message = self._waiting.get()
        if isinstance(message, Exception):
            raise message
        return message

    def _hear(self) -> None:
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
