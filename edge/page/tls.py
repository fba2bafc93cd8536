"""TLS of the page: its certificate and key, and limits for handshakes that do not end."""

import asyncio
import ssl
from asyncio.sslproto import SSLProtocol
from functools import partial
from pathlib import Path
from typing import Any

from edge.errors import ConfigError
from edge.page.connections import IDLE_S, LimitedProtocol, crowds
from edge.security.key_file import read

HANDSHAKE_S = 10
"""A handshake that is not complete after this time ends the connection."""

MOST_HANDSHAKES = 64
"""Handshakes at a time. With one more, the oldest is closed."""

MOST_HANDSHAKES_OF_AN_ADDRESS = 16
"""Of these, those of one address, except of this machine: a proxy on it has the browsers of everybody."""


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """The context of a page with this certificate. Raises ConfigError, KeyFileError, in one line."""
    _, mode = read(key)
    if mode & 0o007:
        raise ConfigError(f"{key} can be used by everybody on this machine (mode {mode:04o}): chmod o= {key}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2

    def refuse() -> str:  # otherwise OpenSSL asks the terminal
        raise ConfigError(f"{key} is encrypted; edge-page asks for no passphrase: openssl pkey -in {key} -out NEW.key")

    try:
        context.load_cert_chain(certificate, key, refuse)
    except (OSError, ssl.SSLError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"{certificate}, {key}: no certificate with its key in PEM: {said}") from error
    return context


class TlsProtocol(SSLProtocol):
    """TLS around a LimitedProtocol, which knows nothing of a connection before its handshake is complete."""

    def __init__(self, context: ssl.SSLContext, begun: "dict[TlsProtocol, None]", **options: Any) -> None:
        """`begun` has the connections of the page in their handshake, the oldest first."""
        self._inside, self._begun = LimitedProtocol(**options), begun
        self._raw: asyncio.Transport | None = None
        self.address = ""
        nobody: Any = None  # waits for the handshake
        loop = asyncio.get_running_loop()
        super().__init__(
            loop,
            self._inside,
            context,
            nobody,
            True,
            ssl_handshake_timeout=HANDSHAKE_S,
            ssl_shutdown_timeout=IDLE_S,
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake, and close an older one if there are too many."""
        assert isinstance(transport, asyncio.Transport)
        self._raw, self.address = transport, str((transport.get_extra_info("peername") or ("",))[0])
        for one in [one for one in self._begun if not one._is_in_handshake]:
            del self._begun[one]
        self._begun[self] = None
        for begun, excess in crowds(self._handshakes, self.address, MOST_HANDSHAKES, MOST_HANDSHAKES_OF_AN_ADDRESS):
            for one in begun[:excess]:
                if one._raw is not None:
                    one._raw.abort()
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the connection."""
        self._begun.pop(self, None)
        super().connection_lost(exc)

    def _handshakes(self) -> "list[TlsProtocol]":
        return [one for one in self._begun if one._is_in_handshake]

    @property
    def _is_in_handshake(self) -> bool:
        return self._raw is not None and not self._raw.is_closing() and self._inside.transport is None


def tls_protocol(context: ssl.SSLContext) -> Any:
    """What makes the protocol of each connection, for uvicorn."""
    begun: dict[TlsProtocol, None] = {}
    return partial(TlsProtocol, context, begun)
