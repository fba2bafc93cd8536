"""Which processes count as two with the name of a required controller; messages without sockets."""

from typing import Any
from unittest.mock import Mock

from edge.channel.control_messages import Hello, Ping
from edge.channel.control_socket import Peer
from edge.station.control_server import MOST_RUNS, ControlServer, Line

LINE = Line("line1", "a1", 1, 100.0, heartbeat=Mock(), accepted=Mock(), trigger=Mock())


class Server:
    """A control server that requires gate1, and gets messages by the name of the process that sends them."""

    def __init__(self) -> None:
        self._socket: Any = Mock()
        self.server = ControlServer(self._socket, LINE, Mock(), None, ("gate1",))

    def get(self, *processes: str) -> list[str]:
        for process in processes:
            peer = Peer((process.encode(),), None)
            self._socket.requests.return_value = [(peer, Hello(client="gate1", run=process)), (peer, Ping(nonce=1))]
            self.server.serve()
        return self.server.doubled()


def test_one_process_after_another_is_one() -> None:
    assert Server().get("a", "a", "b", "b", "c") == []


def test_two_that_speak_in_turns_are_two_also_while_others_begin() -> None:
    server = Server()
    assert server.get("a", "b") == []
    assert server.get("a") == ["gate1"]
    assert server.get("c") == ["gate1"]
    assert server.get(*(f"new{number}" for number in range(2 * MOST_RUNS))) == ["gate1"]


def test_a_client_that_does_not_name_its_run_is_not_told_apart() -> None:
    server = Server()
    peer = Peer((b"old",), None)
    server.get("a")
    server._socket.requests.return_value = [(peer, Hello(client="gate1")), (peer, Ping(nonce=1))]
    server.server.serve()
    assert server.get("a") == []
