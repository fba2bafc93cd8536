"""Reads the supervisor's messages in a capture child whose camera exposes on request, or changes its exposure."""

import queue
import threading
from collections.abc import Callable
from typing import Any

from edge.errors import EdgeError
from edge.station.process.message_socket import MessageSocket
from edge.station.process.messages import Adjust, Adjusted, Expose


class Inbox:
    """The only reader of the socket: a thread that handles Expose and Adjust at once, even if the main thread waits for
    the camera.

    All other messages are returned by `recv`, as from the connection; of an Adjust its answer, to be sent on.
    """

    def __init__(
        self, connection: MessageSocket, expose: Callable[[], None], adjust: Callable[[Adjust], Adjusted] | None = None
    ) -> None:
        """Both are called in the thread; an EdgeError that `expose` raises is raised again by `recv`."""
        self._connection, self._expose, self._adjust = connection, expose, adjust
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
                elif isinstance(message, Adjust) and self._adjust is not None:
                    self._waiting.put(self._adjust(message))
                else:
                    self._waiting.put(message)
        except EdgeError as error:
            self._waiting.put(error)
        except (EOFError, OSError):
            self._waiting.put(EOFError())
