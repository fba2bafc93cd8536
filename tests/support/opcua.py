"""The OPC UA server of edge-plc in a process of its own, and a client of it."""

import asyncio
import gzip
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any, TypeVar
from xml.etree import ElementTree

from asyncua import Client
from support.verdicts import verdict

from edge.plc.board import Board
from edge.plc.codes import STATE_CODES, Code
from edge.plc.machine_vision import NODE_SET
from edge.plc.opcua import Heard, OpcuaServer
from edge.plc.process_image import Entry, Readable
from edge.plc.settings import OpcuaTable
from edge.plc.vision_nodes import NAMESPACE
from edge.verdict import State, Timing

T = TypeVar("T")
PATIENCE_S = 60.0
URI = "http://opcfoundation.org/UA/MachineVision"
SCHEMA = {"u": "http://opcfoundation.org/UA/2011/03/UANodeSet.xsd"}
EXECUTING = Readable(alive=1, state=STATE_CODES[State.EXECUTING], ready=True, epoch="ab12")

MS = 1_000_000
TIMING = Timing(captured=0, in_ring=2 * MS, inference_start=3 * MS, inference_end=11 * MS, published=50 * MS)
VERDICT = verdict(
    bundle="demo@0123456789ab", time="2026-03-04T05:06:07.250+00:00", age_ms=50.0, simulated=True, timing=TIMING
)
JUDGED = Entry("pass", "ab12", 7, "P7", 4711, Code.CLEAR, VERDICT)


class NodeSet:
    """The node set as XML, read without asyncua."""

    def __init__(self) -> None:
        packed = files("edge.plc").joinpath(NODE_SET).read_bytes()
        root = ElementTree.fromstring(gzip.decompress(packed))
        self.nodes = {where: node for node in root if (where := node.get("NodeId"))}

    def references(self, where: str, kind: str) -> list[str]:
        found = self.nodes[where].findall("u:References/u:Reference", SCHEMA)
        return [str(one.text) for one in found if one.get("ReferenceType") == kind and one.get("IsForward") is None]

    def mandatory(self, where: str) -> Iterator[tuple[str, str]]:
        """Names and ids of the children that an instance must have."""
        for child in self.references(where, "HasComponent") + self.references(where, "HasProperty"):
            if self.references(child, "HasModellingRule") == ["i=78"]:
                yield str(self.nodes[child].get("BrowseName")).removeprefix("1:"), child

    def named(self, name: str) -> int:
        """The number of the one type, state or transition of this name; copies in other types have modelling rules."""
        (found,) = [
            where
            for where, node in self.nodes.items()
            if node.get("BrowseName") == f"1:{name}"
            and node.tag.rpartition("}")[2] in ("UAObjectType", "UAVariableType", "UAObject")
            and not self.references(where, "HasModellingRule")
        ]
        return int(found.rpartition("=")[2])


class Reader:
    """A connected client of one station."""

    def __init__(self, client: Client, index: int, theirs: int) -> None:
        self.client, self.index, self.theirs = client, index, theirs

    def node(self, path: str) -> Any:
        return self.client.get_node(f"ns={self.index};s=line1.{path}".rstrip("."))

    async def read(self, path: str) -> Any:
        """A value; None if it is not known now."""
        found = await self.node(path).read_data_value(raise_on_bad_status=False)
        return found.Value.Value if found.StatusCode.is_good() else None

    async def until(self, path: str, value: object) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while await self.read(path) != value:
                await asyncio.sleep(0.02)


def reads(
    endpoint: str, what: Callable[[Reader], Awaitable[T]], prepare: Callable[[Client], Awaitable[None]] | None = None
) -> T:
    """Connect, as soon as the server listens, and let `what` read."""

    async def session() -> T:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                client = Client(f"opc.tcp://{endpoint}/edge", timeout=20)
                if prepare is not None:
                    await prepare(client)
                try:
                    await client.connect()
                    break
                except OSError:
                    await asyncio.sleep(0.1)
        try:
            return await what(Reader(client, *[await client.get_namespace_index(uri) for uri in (NAMESPACE, URI)]))
        finally:
            await client.disconnect()

    return asyncio.run(session())


@contextmanager
def serving(
    table: OpcuaTable | None = None, image: Readable = EXECUTING, heard: Heard = (None, None)
) -> Iterator[OpcuaServer]:
    """A server of the station line1, of which `image` and `heard` are known."""
    board = Board(1)
    board.show(0, image)
    server = OpcuaServer(board, ["line1"], lambda: [heard], table or OpcuaTable(bind="0"))
    server.start()
    try:
        yield server
    finally:
        server.close()
        board.close()
