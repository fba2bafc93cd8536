"""Requests of the page to stations: a suspension and its end, with name and reason."""

from typing import NamedTuple

import zmq

from edge.channel.client_security import ClientKeys


class Told(NamedTuple):
    """Whether a station did what it was asked, and why not."""

    is_done: bool
    why: str = ""


class Control:
    """Asks stations over their control sockets."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", keys: ClientKeys | None = None) -> None:
        """`keys` are those of the page's key, which needs the role `control`."""
        self._context, self._keys = context, keys

    def hold(self, station: object, is_held: bool, by: str, reason: str) -> Told:
        """Suspend a station or end its suspension."""
        return Told(False, "not built yet")
