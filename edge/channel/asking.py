"""One request to a station's control socket, and its answer."""

from contextlib import ExitStack

import zmq

from edge.channel.client_security import ClientKeys, secure
from edge.channel.control_messages import Refused, Reply, Request, parse_reply
from edge.channel.limits import LARGEST_MESSAGE
from edge.errors import ChannelError

PATIENCE_MS = 3_000


class RefusedError(ChannelError):
    """The station refuses the request; the message is its reason."""


def ask(
    control: str,
    request: Request,
    keys: ClientKeys | None = None,
    context: "zmq.Context[zmq.Socket[bytes]] | None" = None,
) -> Reply:
    """Send a request to the endpoint `control`, and wait PATIENCE_MS at most for the answer.

    Raises RefusedError with the station's reason, and ChannelError if no valid answer comes.
    """
    with ExitStack() as stack:
        context = context or stack.enter_context(zmq.Context())
        socket = stack.enter_context(context.socket(zmq.DEALER))
        socket.set(zmq.LINGER, 0)
        socket.set(zmq.IMMEDIATE, 1)
        socket.set(zmq.SNDTIMEO, PATIENCE_MS)
        socket.set(zmq.MAXMSGSIZE, LARGEST_MESSAGE)
        if keys is not None:
            secure(socket, keys)
        try:
            socket.connect(control)
            socket.send(request.model_dump_json(exclude_none=True).encode())
            if not socket.poll(PATIENCE_MS):
                raise ChannelError("not confirmed: the station may still do it; look at its state")
            reply = parse_reply(socket.recv())
        except zmq.Again:
            raise ChannelError(f"{control} cannot be reached; is the station running?") from None
        except zmq.ZMQError as error:
            raise ChannelError(f"{control}: {error}") from error
        except ValueError as error:
            raise ChannelError(f"{control} answers something that is no reply: {error}") from error
    if isinstance(reply, Refused):
        raise RefusedError(reply.why)
    return reply
