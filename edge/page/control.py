"""Requests of the page to stations, each with a name and a reason: suspensions, products, candidates."""

from typing import NamedTuple

import zmq

from edge.channel.asking import RefusedError, ask
from edge.channel.client_security import ClientKeys
from edge.channel.control_messages import (
    AskCandidate,
    AskSnapshot,
    CandidateState,
    Operation,
    ProductSelected,
    ProductState,
    Reply,
    Request,
    Resume,
    Snapshot,
    Suspend,
    Suspension,
)
from edge.channel.endpoints import CONTROL, neighbour_endpoint
from edge.errors import ChannelError
from edge.page.station_live import StationLive


class Told(NamedTuple):
    """Whether a station did what it was asked, and why not."""

    is_done: bool
    why: str = ""


class Models(NamedTuple):
    """What a station judges with: its run, its products (empty if it makes one), the current one, what decides of it
    (`running`), and the candidate, of whatever product. `why` says why that is not known.
    """

    epoch: str = ""
    products: tuple[ProductState, ...] = ()
    current: str | None = None
    running: CandidateState | None = None
    candidate: CandidateState | None = None
    why: str = ""


class Control:
    """Asks stations over their control sockets."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", keys: ClientKeys | None = None) -> None:
        """`keys` are those of the page's key, which needs the role `control`."""
        self._context, self._keys = context, keys

    def hold(self, station: StationLive, is_held: bool, by: str, reason: str) -> Told:
        """Suspend a station or resume it. Waits for its answer; see `edge.channel.asking.ask`."""
        reply = self._change(station, Suspend if is_held else Resume, {"by": by, "reason": reason})
        if isinstance(reply, str):
            return Told(False, reply)
        is_done = isinstance(reply, Suspension) and reply.is_suspended is is_held
        return Told(is_done, "" if is_done else "it answers something else")

    def change(self, station: StationLive, kind: type[Operation], values: dict[str, object]) -> Told:
        """Change the product or the bundle of a station; `values` are those of the request, `by` and `reason` too."""
        reply = self._change(station, kind, values)
        if isinstance(reply, str):
            return Told(False, reply)
        is_done = isinstance(reply, ProductSelected | CandidateState)
        return Told(is_done, "" if is_done else "it answers something else")

    def models(self, station: StationLive) -> Models:
        """The products of a station, what decides, and its candidate."""
        try:
            snapshot = self._ask(station, AskSnapshot())
            if not isinstance(snapshot, Snapshot):
                return Models(why="it answers something else")
            beat = snapshot.heartbeat
            known = Models(beat.epoch, snapshot.products, beat.product)
            running, candidate = (
                self._ask(station, AskCandidate(product=beat.product)),
                self._ask(station, AskCandidate()),
            )
        except RefusedError as error:  # a group of stations has no candidate
            return known._replace(why=str(error))
        except (ValueError, ChannelError) as error:
            return Models(why=str(error))
        if not (isinstance(running, CandidateState) and isinstance(candidate, CandidateState)):
            return known
        return known._replace(running=running, candidate=candidate)

    def _change(self, station: StationLive, kind: type[Operation], values: dict[str, object]) -> Reply | str:
        """The answer to a request for this station, in the run of `values`, else in its present one; else why not."""
        view = station.view()
        if view.rival is not None:
            return f"two stations are called {station.name}: {station.endpoint} and {view.rival}"
        epoch = view.heartbeat.epoch if view.heartbeat is not None else None
        try:
            return self._ask(station, kind.model_validate({"epoch": epoch} | values | {"station": station.name}))
        except (ValueError, ChannelError) as error:
            return str(error)

    def _ask(self, station: StationLive, request: Request) -> Reply:
        if not station.endpoint:
            raise ChannelError("it is not running")
        return ask(neighbour_endpoint(station.endpoint, CONTROL), request, self._keys, self._context)
