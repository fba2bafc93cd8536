"""Servers of PLC memory that are not ours: python-snap7's for S7, cpppo's for EtherNet/IP. The memory outlives them."""

import struct
import threading
from typing import Any

from cpppo.dotdict import apidict
from cpppo.server.enip.device import Attribute, lookup_reset
from cpppo.server.enip.logix import setup_reset
from cpppo.server.enip.main import main as serve_tags
from snap7.server import Server
from snap7.type import SrvArea

from edge.plc.registers import Words
from edge.plc.tag_writer import COMMAND_AT, COMMAND_WORDS, READ_WORDS

DB = 100


class S7Server:
    """A CPU with the data blocks DB and the next one, of `stations`."""

    table = f"[plc.s7]\ndb = {DB}\n"

    def __init__(self, port: int, stations: int = 1) -> None:
        self.port = port
        self._blocks = [bytearray(2 * (COMMAND_AT + COMMAND_WORDS)) for _ in range(stations)]
        self._server: Server | None = None

    def start(self) -> None:
        self._server = Server(log=False)
        for index, block in enumerate(self._blocks):
            self._server.register_area(SrvArea.DB, DB + index, block)
        self._server.start_to("127.0.0.1", self.port)

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None

    def words(self, station: int = 0) -> Words:
        return list(struct.unpack_from(f">{READ_WORDS}H", self._blocks[station]))

    def say(self, words: Words, station: int = 0) -> None:
        struct.pack_into(f">{len(words)}H", self._blocks[station], 2 * COMMAND_AT, *words)


class LogixServer:
    """A CPU with the tags Edge1_Result and Edge1_Command."""

    table = "[plc.logix]\n"

    def __init__(self, port: int) -> None:
        self.port = port
        self._tags = {"Edge1_Result": [0] * READ_WORDS, "Edge1_Command": [0] * COMMAND_WORDS}
        self._control: Any = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        lookup_reset()  # cpppo keeps the tags of a former server of this process, and would serve those
        setup_reset()
        self._control = apidict(timeout=2.0)
        self._control.update(done=False, disable=False, latency=0.02, timeout=0.5)
        tags = self._tags

        class Tag(Attribute):  # type: ignore[misc]
            def __init__(self, name: str, type_cls: Any, default: Any = 0, **more: Any) -> None:
                super().__init__(name, type_cls, default=tags.get(name, default), **more)

        own = [f"{name}=DINT[{len(words)}]" for name, words in tags.items()]
        self._thread = threading.Thread(
            target=serve_tags, daemon=True,
            kwargs={"argv": ["--no-udp", "--no-config", "-a", f"127.0.0.1:{self.port}", *own], "attribute_class": Tag,
                    "server": {"control": self._control}},
        )  # fmt: skip
        self._thread.start()

    def stop(self) -> None:
        if self._thread is not None:
            self._control.done = True
            self._thread.join(60)
            assert not self._thread.is_alive()
            self._thread = None

    def words(self) -> Words:
        return list(self._tags["Edge1_Result"])

    def say(self, words: Words) -> None:
        self._tags["Edge1_Command"][: len(words)] = words
