"""Requests of the page to stations: a suspension and its end, with name and reason."""

from typing import NamedTuple

import zmq

from edge.channel.asking import ask
from edge.channel.client_security import ClientKeys
from edge.channel.control_messages import Resume, Suspend, Suspension
from edge.channel.endpoints import CONTROL, neighbour_endpoint
from edge.errors import ChannelError
from edge.page.station_live import StationLive


class Told(NamedTuple):
    """Whether a station did what it was asked, and why not."""

    is_done: bool
    why: str = ""


class Control:
    """Asks stations over their control sockets."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", keys: ClientKeys | None = None) -> None:
        """`keys` are those of the page's key, which needs the role `control`."""
        self._context, self._keys = context, keys

    def hold(self, station: StationLive, is_held: bool, by: str, reason: str) -> Told:
        """Suspend a station or resume it. Waits for its answer; see `edge.channel.asking.ask`."""
        if not station.endpoint:
            return Told(False, "it is not running")
        view = station.view()
        if view.rival is not None:
            return Told(False, f"two stations are called {station.name}: {station.endpoint} and {view.rival}")
        epoch = view.heartbeat.epoch if view.heartbeat is not None else None
        kind = Suspend if is_held else Resume
        try:
            request = kind(by=by, reason=reason, station=station.name, epoch=epoch)
            reply = ask(neighbour_endpoint(station.endpoint, CONTROL), request, self._keys, self._context)
        except (ValueError, ChannelError) as error:
            return Told(False, str(error))
        is_done = isinstance(reply, Suspension) and reply.is_suspended is is_held
        return Told(is_done, "" if is_done else "it answers something else")
