"""Requests of the page to stations: a suspension and its end, with name and reason."""

from typing import NamedTuple

import zmq

from edge.channel.client_security import ClientKeys, secure
from edge.channel.control_messages import Refused, Resume, Suspend, Suspension, parse_reply
from edge.channel.endpoints import CONTROL, neighbour_endpoint
from edge.channel.limits import LARGEST_MESSAGE
from edge.errors import ChannelError
from edge.page.station_live import StationLive

PATIENCE_MS = 3_000


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
        """Suspend a station or resume it. Waits for its answer, PATIENCE_MS at most."""
        if not station.endpoint:
            return Told(False, "it is not running")
        view = station.view()
        if view.rival is not None:
            return Told(False, f"two stations are called {station.name}: {station.endpoint} and {view.rival}")
        epoch = view.heartbeat.epoch if view.heartbeat is not None else None
        kind = Suspend if is_held else Resume
        with self._context.socket(zmq.DEALER) as socket:
            socket.set(zmq.LINGER, 0)
            socket.set(zmq.IMMEDIATE, 1)
            socket.set(zmq.SNDTIMEO, PATIENCE_MS)
            socket.set(zmq.MAXMSGSIZE, LARGEST_MESSAGE)
            if self._keys is not None:
                secure(socket, self._keys)
            try:
                request = kind(by=by, reason=reason, station=station.name, epoch=epoch)
                socket.connect(neighbour_endpoint(station.endpoint, CONTROL))
                socket.send(request.model_dump_json().encode())
                if not socket.poll(PATIENCE_MS):
                    return Told(False, "not confirmed: it may still do it; look at the state")
                reply = parse_reply(socket.recv())
            except zmq.Again:
                return Told(False, "its control socket cannot be reached")
            except (zmq.ZMQError, ValueError, ChannelError) as error:
                return Told(False, str(error))
        if isinstance(reply, Refused):
            return Told(False, reply.why)
        is_done = isinstance(reply, Suspension) and reply.is_suspended is is_held
        return Told(is_done, "" if is_done else "it answers something else")
