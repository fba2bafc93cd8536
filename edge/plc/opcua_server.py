"""OPC UA: the server, a process of its own that edge-plc starts: `python -m edge.plc.opcua_server`.

Standard input has a line of JSON with the settings, then one for each update; the process ends with its input. The
server is read only, and nothing in it moves a part.
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

from edge.plc.vision_nodes import LAST_RESULT, NAMESPACE, NODES, Value

APPLICATION = "urn:edge-inspect:edge-plc"
SILENCE_S = 1.0
"""Without an update for this long all values are said to be unknown."""

LONGEST_LINE = 2**22
MOST_MESSAGE = 2**20
RESULT = "ResultManagement.Result"
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
    """The nodes of the stations, and their values."""

    def __init__(self, settings: dict[str, Any]) -> None:
        """`settings` as `edge.plc.opcua` makes them."""
        self._settings = settings
        trusted = settings["trusted"]
        admission = Admission(None if trusted is None else Path(trusted), settings["user"], settings["password"])
        self._server = Server(user_manager=admission)
        self._nodes: dict[tuple[str, str], Any] = {}
        self._written: dict[tuple[str, str], Value] = {}
        self._events: dict[str, Any] = {}

    async def start(self) -> None:
        """Bind, and make the nodes; nothing is known of the stations yet."""
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
        index = await server.register_namespace(NAMESPACE)
        for station in settings["stations"]:
            await self._add(index, station)
        await server.start()

    async def _add(self, index: int, station: str) -> None:
        objects = {"": await self._server.nodes.objects.add_object(ua.NodeId(station, index), f"{index}:{station}")}
        for path, kind, meaning in NODES:
            *parents, name = path.split(".")
            for depth in range(1, len(parents) + 1):
                here, above = ".".join(parents[:depth]), ".".join(parents[: depth - 1])
                if here not in objects:
                    where = ua.NodeId(f"{station}.{here}", index)
                    objects[here] = await objects[above].add_object(where, f"{index}:{parents[depth - 1]}")
            is_array, of = kind.endswith("[]"), ua.VariantType[kind.removesuffix("[]")]
            first = ua.Variant([] if is_array else _nothing(of), of, is_array=is_array)
            where = ua.NodeId(f"{station}.{path}", index)
            node = await objects[".".join(parents)].add_variable(where, f"{index}:{name}", first)
            await node.write_attribute(ua.AttributeIds.Description, ua.DataValue(ua.Variant(ua.LocalizedText(meaning))))
            self._nodes[station, path] = node
            await self._write(station, path, None)
        fields = [(path.rpartition(".")[2], ua.VariantType[kind]) for path, kind, _ in NODES if LAST_RESULT in path]
        if not self._events:
            self._type = await self._server.create_custom_event_type(
                index, "ResultReadyEventType", ua.ObjectIds.BaseEventType, fields
            )
        self._events[station] = await self._server.get_event_generator(self._type, objects[""])

    async def update(self, said: dict[str, Any]) -> None:
        """Take an update: by station the values, and the results since the last update."""
        for station, (values, results) in said.items():
            for result in results:
                await self._result(station, result)
            for path, value in values.items():
                await self._write(station, path, value)

    async def _result(self, station: str, result: dict[str, Value]) -> None:
        named = {path.rpartition(".")[2]: value for path, value in result.items()}
        for path, value in result.items():
            await self._write(station, path, value)
        await self._write(station, RESULT, json.dumps(named))
        generator = self._events[station]
        for name, value in named.items():
            setattr(generator.event, name, value)
        await generator.trigger(message=f"{named['Event']}: part {named['PartId']}")

    async def forget(self) -> None:
        """Say of every value that it is not known."""
        for station, path in self._nodes:
            await self._write(station, path, None)

    async def _write(self, station: str, path: str, value: Value) -> None:
        """Write a value if it has changed; None: the last one, with the status BadNoCommunication."""
        key = station, path
        if key in self._written and self._written[key] == value:
            return
        self._written[key] = value
        node, now = self._nodes[key], datetime.now(UTC)
        if value is None:
            last = (await node.read_data_value(raise_on_bad_status=False)).Value
            bad = ua.StatusCode(ua.UInt32(ua.StatusCodes.BadNoCommunication))
            await node.write_value(ua.DataValue(last, bad, SourceTimestamp=now))
            return
        kind = next(kind for one, kind, _ in NODES if one == path)
        of = ua.VariantType[kind.removesuffix("[]")]
        await node.write_value(ua.DataValue(ua.Variant(value, of, is_array=kind.endswith("[]")), SourceTimestamp=now))

    async def stop(self) -> None:
        """Close the connections."""
        await self._server.stop()


def _nothing(of: ua.VariantType) -> Value:
    if of == ua.VariantType.String:
        return ""
    return False if of == ua.VariantType.Boolean else 0


async def serve() -> None:
    """Serve until standard input ends."""
    lines = asyncio.StreamReader(limit=LONGEST_LINE)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    server = VisionServer(json.loads(await lines.readline()))
    await server.start()
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
