"""OPC UA: the server, a process of its own that edge-plc starts: `python -m edge.plc.opcua_server`.

Standard input has a line of JSON with the settings, then one for each update; the process ends with its input, and
writes a line when it listens. The server is read only, and nothing in it moves a part.
"""

import asyncio
import hmac
import json
import logging
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from asyncua import Server, ua
from asyncua.crypto.permission_rules import User, UserRole
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from edge.plc.machine_vision import forbid
from edge.plc.vision_nodes import NAMESPACE
from edge.plc.vision_system import Types, VisionSystem

APPLICATION = "urn:edge-inspect:edge-plc"
SILENCE_S = 1.0
"""Without an update for this long all values are said to be unknown."""

LONGEST_LINE = 2**24
MOST_MESSAGE = 2**20
ENCRYPTED = [ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt, ua.SecurityPolicyType.Basic256Sha256_Sign]


class Admission:
    """The user manager of asyncua: admits a client with a trusted certificate and the user's password, and anybody if
    neither is set.
    """

    def __init__(self, trusted: Path | None, user: str | None, password: str | None) -> None:
        """Raises OSError or ValueError if a file in `trusted` is no certificate."""
        self._user, self._password = user, password
        self._trusted = None if trusted is None else {_certificate(file) for file in sorted(trusted.iterdir())}

    def get_user(
        self, iserver: Any, username: str | None = None, password: str | None = None, certificate: Any = None
    ) -> User | None:
        """The user of a session, None if it is refused. `certificate` is that of the secure channel, in DER."""
        if self._trusted is not None and (certificate not in self._trusted or not _is_valid(certificate)):
            return None
        if self._user is not None:
            said, wanted = (f"{username}\0{password}", f"{self._user}\0{self._password}")
            if not hmac.compare_digest(said.encode(), wanted.encode()):
                return None
        return User(role=UserRole.User, name=username)


def _certificate(file: Path) -> bytes:
    """A certificate in DER, of a file in PEM or DER."""
    raw = file.read_bytes()
    read = x509.load_pem_x509_certificate if raw.startswith(b"-----") else x509.load_der_x509_certificate
    return read(raw).public_bytes(Encoding.DER)


def _format(file: str) -> str:
    return "pem" if Path(file).read_bytes().startswith(b"-----") else "der"


def _is_valid(certificate: bytes) -> bool:
    found = x509.load_der_x509_certificate(certificate)
    return found.not_valid_before_utc <= datetime.now(UTC) <= found.not_valid_after_utc


class VisionServer:
    """The server, with the nodes of each station."""

    def __init__(self, settings: dict[str, Any]) -> None:
        """`settings` as `edge.plc.opcua` makes them."""
        self._settings = settings
        trusted = settings["trusted"]
        admission = Admission(None if trusted is None else Path(trusted), settings["user"], settings["password"])
        self._server = Server(user_manager=admission)
        self._stations: dict[str, VisionSystem] = {}

    async def start(self) -> None:
        """Make the nodes, and listen; nothing is known of the stations yet."""
        server, settings = self._server, self._settings
        await server.init()
        server.set_endpoint(f"opc.tcp://{settings['bind']}/edge")
        server.set_server_name("edge-plc")
        server.limits.max_message_size = MOST_MESSAGE
        await server.set_application_uri(APPLICATION)
        if settings["cert"] is not None:
            await server.load_certificate(settings["cert"], format=_format(settings["cert"]))
            await server.load_private_key(settings["key"], format=_format(settings["key"]))
        server.set_security_policy(ENCRYPTED if settings["cert"] else [ua.SecurityPolicyType.NoSecurity])
        token = ua.AnonymousIdentityToken if settings["user"] is None else ua.UserNameIdentityToken
        server.set_identity_tokens([token])
        types = await Types.make(server, await server.register_namespace(NAMESPACE))
        for station in settings["stations"]:
            self._stations[station] = VisionSystem(server, types, station)
            await self._stations[station].add()
        await forbid(server, (types.ours, types.theirs))
        await server.start()

    async def update(self, said: dict[str, Any]) -> None:
        """Take an update: by station the values, and the results since the last update."""
        for station, (values, results) in said.items():
            for result in results:
                await self._stations[station].result(result)
            await self._stations[station].show(values)

    async def forget(self) -> None:
        """Say of every value that it is not known."""
        for station in self._stations.values():
            await station.forget()

    async def stop(self) -> None:
        """Close the connections."""
        await self._server.stop()


async def serve() -> None:
    """Serve until standard input ends."""
    lines = asyncio.StreamReader(limit=LONGEST_LINE)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    server = VisionServer(json.loads(await lines.readline()))
    await server.start()
    print("listening", flush=True)
    try:
        while True:
            try:
                line = await asyncio.wait_for(lines.readline(), SILENCE_S)
            except TimeoutError:
                await server.forget()
                continue
            if not line:
                return
            await server.update(json.loads(line))
    finally:
        await server.stop()


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)  # asyncua logs the requests of strangers, which could fill a disk
    try:
        asyncio.run(serve())
    except (OSError, ValueError, ua.UaError) as failure:
        sys.exit(f"OPC UA: {failure}")
