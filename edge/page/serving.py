"""A running page: the threads that listen and read, and the web server in front of them."""

import os
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
import zmq

from edge.channel.client_security import ClientKeys
from edge.errors import ChannelError, ConfigError
from edge.page.access.guard import Rules
from edge.page.access.users import Users
from edge.page.app import make_app
from edge.page.connections import MOST_CONNECTIONS, LimitedProtocol
from edge.page.control import Control
from edge.page.events import Streams
from edge.page.history import History
from edge.page.live import Feed, Stations
from edge.page.site import Site
from edge.page.tls import tls_context, tls_protocol
from edge.page.words import Languages
from edge.security.listening import bound, listen
from edge.security.loopback import is_loopback

NICENESS = 10
"""Niceness of the page: no verdict waits for it, also where a machine has few cores."""


@dataclass(frozen=True)
class PageSettings:
    """What a page shows, where, and to whom. `stations` are verdict endpoints."""

    stations: tuple[str, ...]
    records: tuple[Path, ...]
    serve: str = "127.0.0.1:8470"
    users: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    names: tuple[str, ...] = ()
    shifts: tuple[int, ...] = ()
    client_keys: ClientKeys | None = None
    words: Path | None = None


class _Server(uvicorn.Server):
    """Ends the open streams when a signal comes: the server would wait for them."""

    def __init__(self, config: uvicorn.Config, streams: Streams) -> None:
        super().__init__(config)
        self._streams = streams

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called with a signal."""
        self._streams.is_over = True
        self.should_exit = True


class PageServer:
    """Serves a page from `run` until `stop` or a signal. `address` is what a browser opens."""

    def __init__(self, settings: PageSettings) -> None:
        """Bind, and read users and certificate.

        Raises ChannelError, ConfigError, in one line, also if the network could reach a page without login and TLS.
        """
        is_tls = settings.certificate is not None
        _check_reach(settings)
        with ExitStack() as undo:
            self._listening = listen(settings.serve, "the page", "", True, 8470)
            undo.callback(self._listening.close)
            host = self._listening.getsockname()[0]
            if not is_loopback(host) and not (is_tls and settings.users):
                raise ConfigError(_open_to_all(settings.serve))
            users = Users(settings.users) if settings.users is not None else None
            if users is not None and not users.read():
                raise ConfigError(f"{settings.users} has no users; edge-page user add NAME adds one")
            self.endpoint = bound(self._listening)
            shown = self.endpoint
            if settings.names and ip_address(host).is_unspecified:  # no browser opens 0.0.0.0
                shown = f"{settings.names[0]}:{self._listening.getsockname()[1]}"
            self.address = f"{'https' if is_tls else 'http'}://{shown}/"
            self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
            undo.callback(self._context.destroy, 0)
            self.stations = Stations()
            feeds = [
                Feed(self._context, endpoint, self.stations, settings.client_keys) for endpoint in settings.stations
            ]
            history = History(self.stations, settings.records, settings.shifts)
            names = (socket.gethostname().lower(), *settings.names)
            rules = Rules(host, users, is_tls, names)
            control = Control(self._context, settings.client_keys)
            self.site = Site(self.stations, feeds, history, Languages(settings.words), rules, control)
            app, self._streams = make_app(self.site)
            protocol: Any = LimitedProtocol
            if settings.certificate is not None and settings.key is not None:
                protocol = tls_protocol(tls_context(settings.certificate, settings.key))
            config = uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                server_header=False,
                date_header=True,
                lifespan="off",
                ws="none",
                http=protocol,
                loop="asyncio",
                timeout_keep_alive=15,
                timeout_graceful_shutdown=1,
                limit_concurrency=2 * MOST_CONNECTIONS,  # LimitedProtocol closes earlier
                h11_max_incomplete_event_size=16 << 10,
                proxy_headers=False,
            )
            config.load()
            self._server = _Server(config, self._streams)
            undo.pop_all()

    def run(self) -> None:
        """Serve until a signal or `stop`."""
        history, feeds = self.site.history, self.site.feeds
        history.start()
        for feed in feeds:
            feed.start()
        try:
            self._server.run(sockets=[self._listening])
        finally:
            self._streams.is_over = True
            history.close()
            for feed in feeds:
                feed.close()
            self._context.destroy(0)

    def stop(self) -> None:
        """End `run`, from another thread."""
        self._streams.is_over = True
        self._server.should_exit = True


def _check_reach(settings: PageSettings) -> None:
    if (settings.certificate is None) != (settings.key is None):
        raise ConfigError("give --tls-certificate and --tls-key together")
    host = settings.serve.rpartition(":")[0].removeprefix("[").removesuffix("]") or "127.0.0.1"
    if not is_loopback(host) and not (settings.certificate and settings.users):
        raise ConfigError(_open_to_all(settings.serve))


def _open_to_all(serve: str) -> str:
    return (
        f"a page at {serve} can be reached from the network: give --tls-certificate, --tls-key and --users "
        "(edge-page user add NAME), or serve it on 127.0.0.1"
    )


def be_nice() -> None:
    """Lower the priority of this thread and of those that it starts. Raises ChannelError if that is not possible."""
    if hasattr(os, "nice"):
        try:
            os.nice(max(0, NICENESS - os.nice(0)))
        except OSError as error:
            raise ChannelError(f"the priority cannot be lowered: {error.strerror}") from error
