"""What a tag writer reads and writes, request by request."""

import contextlib
import logging
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.plc import until
from support.tag_servers import DB, LogixServer, S7Server
from support.tag_servers import READ_WORDS as SHOWN

from edge.plc.board import Board
from edge.plc.codes import Code
from edge.plc.logix import LogixMemory
from edge.plc.process_image import Readable
from edge.plc.registers import KIND_AT, Control, Status, Words, pack
from edge.plc.s7 import S7Memory
from edge.plc.settings import LogixTable, S7Table
from edge.plc.sockets import drop_unsent
from edge.plc.tag_writer import COMMAND_WORDS, LATE_BEATS, READ_WORDS, StationTags, TagMemory, TagWriter

FOREVER = 2**63


@pytest.fixture
def board() -> Iterator[Board]:
    board = Board(2)
    yield board
    board.close()


class Memory:
    """Memory of a PLC without a connection. `seen` has the words after each write."""

    def __init__(self) -> None:
        self.words: Words = [0] * READ_WORDS
        self.command: Words = [0] * COMMAND_WORDS
        self.seen: list[Words] = []
        self.connections = 0
        self.read_s = self.write_s = 0.0
        self.written: Callable[[], None] = lambda: None
        """Called after each write."""

    def connect(self) -> None:
        self.connections += 1

    def read(self, station: int) -> Words:
        time.sleep(self.read_s)
        return list(self.command)

    def write(self, station: int, offset: int, words: Words) -> None:
        time.sleep(self.write_s)
        self.words[offset : offset + len(words)] = words
        self.seen.append(list(self.words))
        self.written()

    def close(self) -> None:
        pass


def good(number: int, **changes: object) -> Readable:
    fields = {"valid": True, "code": Code.CLEAR, "number": number, "part": str(number), "pass_until_ns": FOREVER}
    return Readable(**fields | changes)  # type: ignore[arg-type]


images = st.builds(
    good, st.integers(1, 3), code=st.sampled_from([Code.CLEAR, Code.DEFECT, Code.EXPIRED]), valid=st.booleans(),
    queued=st.integers(1, 2), alive=st.integers(1, 3), trigger_number=st.integers(0, 1),
)  # fmt: skip


def _result(words: Words) -> Words:
    return words[2:10] + words[20:38]


@given(st.lists(images, max_size=8))
@settings(max_examples=60, deadline=None)
def test_after_each_request_a_valid_result_is_all_that_of_one_image(shown: list[Readable]) -> None:
    board, memory = Board(1), Memory()
    tags = StationTags(board, 0, memory, lambda what: None)  # type: ignore[arg-type]
    tags.clear()
    former, results = None, {tuple(_result(pack(image))) for image in shown if image.valid}
    for image in shown:
        del memory.seen[:]
        board.show(0, image)
        tags.turn()
        for words in memory.seen:
            if words[0] & Status.VALID:
                assert tuple(_result(words)) in results
                assert bool(words[0] & Status.PASS) == (words[6] == Code.CLEAR) == (words[2:4] == words[4:6])
        assert memory.words[2:] == pack(image)[2:READ_WORDS]
        assert memory.words[0] == pack(image)[0]
        is_same = former is not None and (former.valid, former.number, former.code) == (True, image.number, image.code)
        if is_same and image.valid:
            assert all(words[0] & Status.VALID for words in memory.seen), "the PLC would take the result twice"
        former = image
    board.close()


def test_words_of_before_are_cleared_with_the_status_first(board: Board) -> None:
    """A PLC that reads in between must see no valid status beside words that are cleared."""
    memory = Memory()
    left = pack(good(7))[:READ_WORDS]
    memory.words = list(left)
    StationTags(board, 0, memory, lambda what: None).clear()  # type: ignore[arg-type]
    assert memory.seen[0] == [0, 0, *left[2:]]
    assert memory.seen[-1] == [0] * READ_WORDS


@pytest.mark.parametrize("has_kind", [False, True])
def test_the_word_of_the_kind_is_written_only_into_a_memory_that_has_it(board: Board, has_kind: bool) -> None:
    memory = Memory()
    memory.words = [7] * (KIND_AT + has_kind)
    tags = StationTags(board, 0, memory, lambda what: None, has_kind)  # type: ignore[arg-type]
    tags.clear()
    assert memory.words == [0] * (KIND_AT + has_kind)
    board.show(0, good(7, code=Code.DEFECT, kind=3))
    tags.turn()
    assert memory.words == pack(good(7, code=Code.DEFECT, kind=3))[: KIND_AT + has_kind]
    assert not any(words[0] & Status.VALID and words[2:4] == [0, 7] and words[KIND_AT:] == [0] for words in memory.seen)
    board.show(0, good(8))
    tags.turn()
    assert memory.words == pack(good(8))[: KIND_AT + has_kind]
    tags.clear()
    assert memory.words == [0] * (KIND_AT + has_kind)


@pytest.mark.parametrize("later", [good(8, code=Code.DEFECT), good(7, pass_until_ns=0), good(8), Readable()])
def test_a_result_that_changes_while_its_words_are_written_gets_no_status(board: Board, later: Readable) -> None:
    memory = Memory()
    tags = StationTags(board, 0, memory, lambda what: None)  # type: ignore[arg-type]
    tags.turn()
    board.show(0, good(7))
    memory.written = lambda: board.show(0, later)
    del memory.seen[:]
    tags.turn()
    assert memory.seen
    assert not any(Status(words[0]) & Status.VALID for words in memory.seen)
    tags.turn()
    assert memory.words == pack(later.at(1))[:READ_WORDS]


@pytest.mark.parametrize(("lease_s", "lines"), [(0.03, 1), (600.0, 0)])
def test_a_beat_that_always_comes_back_too_late_is_said_once(
    board: Board, monkeypatch: pytest.MonkeyPatch, lease_s: float, lines: int
) -> None:
    monkeypatch.setattr("edge.plc.tag_writer.LEASE_S", lease_s)
    memory, said = Memory(), list[str]()
    memory.read_s = 0.02
    tags = StationTags(board, 0, memory, said.append)  # type: ignore[arg-type]
    for _ in range(2 * LATE_BEATS):
        tags.turn()
    assert len(said) == lines
    assert all("take so long that its beat for station 1 comes back after more than 30 ms" in one for one in said)


def test_alive_is_the_beat_of_the_plc_while_the_station_lives_alone(board: Board) -> None:
    memory = Memory()
    tags = StationTags(board, 0, memory, lambda what: None)  # type: ignore[arg-type]
    board.show(0, Readable(alive=6))
    for beat, alive, said in ((3, 6, 0), (4, 6, 0), (5, 7, 5), (6, 7, 5), (7, 8, 7), (0, 9, 0)):
        memory.command[0] = beat
        board.show(0, Readable(alive=alive))
        tags.turn()
        assert memory.words[1] == said


def test_what_a_former_connection_left_behind_is_neither_a_trigger_nor_an_acknowledgement(board: Board) -> None:
    memory, said = Memory(), []
    board.show(0, good(5))
    for left in ([1, Control.TRIGGER, 0, 9, 0, 0], [1, Control.SELECT, 0, 0, 0, 0], [1, 0, 0, 0, 0, 5]):
        tags = StationTags(board, 0, memory, said.append)  # type: ignore[arg-type]
        memory.command[:6] = [int(word) for word in left]
        tags.turn()
        assert not any(memory.words)
        assert not list(board.writes())
        memory.command[:6] = [1, 0, 0, 9, 0, 0]
        tags.turn()
        assert memory.words[0] & Status.PASS
        memory.command[:] = [1, int(Control.TRIGGER), 0, 9, 0, 5, 0x4142, *[0] * 16]
        tags.turn()
        (_, first), (_, second) = board.writes()
        assert (first.trigger, first.acknowledged) == (False, 0)
        assert (second.trigger, second.trigger_number, second.acknowledged, second.serial) == (True, 9, 5, "AB")
        memory.words = [0] * READ_WORDS


def test_a_plc_whose_program_clears_nothing_is_named_once(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    memory, said = Memory(), []
    monkeypatch.setattr("edge.plc.tag_writer.STUCK_S", -1.0)
    tags = StationTags(board, 0, memory, said.append)  # type: ignore[arg-type]
    memory.command[5] = 17
    tags.turn()
    tags.turn()
    assert len(said) == 1
    assert "its acknowledgement, which is 17" in said[0]


@pytest.mark.parametrize("request_s", ["read_s", "write_s"])
def test_an_answer_that_took_longer_than_the_timeout_ends_the_connection(
    board: Board, caplog: pytest.LogCaptureFixture, request_s: str
) -> None:
    memory = Memory()
    memory.command[1] = int(Control.TRIGGER)
    setattr(memory, request_s, 0.1)
    writer = TagWriter(board, memory, "S7", S7Table(address="127.0.0.1", db=1, timeout_ms=50))
    writer.start()
    until(lambda: memory.connections == 2)
    writer.close()
    assert not list(board.writes())
    assert caplog.text.count("no answer within 50 ms; it is tried again") == 1


def test_the_pass_bit_falls_in_the_plc_at_its_time_also_if_the_loop_hangs(
    board: Board, unused_server: S7Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server = unused_server
    writer = TagWriter(board, S7Memory(table := table_of(server)), "S7", table)
    writer.start()
    until(lambda: "connected" in caplog.text)
    board.show(1, good(7))
    until(lambda: server.words(1)[0] & Status.PASS)
    assert server.words(0) == [0] * SHOWN
    server.say([1, 0, 0, 0, 0, 7], 1)
    until(lambda: [(station, one.acknowledged) for station, one in board.writes()][-1:] == [(1, 7)])
    board.show(1, good(7, pass_until_ns=time.monotonic_ns()))
    until(lambda: server.words(1)[0] == Status.VALID | Status.FAIL)
    assert server.words(1)[2:7] == [0, 7, 0, 0, Code.EXPIRED]
    writer.close()
    assert not any(server.words(1))
    assert not writer.is_alive()


@pytest.mark.parametrize("db", [DB + 7, DB + 1])
def test_a_data_block_that_is_not_there_is_said_once(
    board: Board, unused_server: S7Server, caplog: pytest.LogCaptureFixture, db: int
) -> None:
    table = table_of(unused_server, db)
    memory = S7Memory(table)
    connect, attempts = memory.connect, threading.Semaphore(0)

    def counted() -> None:
        attempts.release()
        connect()

    memory.connect = counted  # type: ignore[method-assign]
    writer = TagWriter(board, memory, "S7", table)
    writer.start()
    for _ in range(3):
        assert attempts.acquire(timeout=60)
    writer.close()
    assert caplog.text.count("it is tried again") == 1


@pytest.mark.parametrize(
    "answer", [b"", b"\x65\0\x40\0" + bytes(24), b"\3\0\0\x40" + bytes(9), b"GET / HTTP/1.1\r\n" * 9]
)
@pytest.mark.parametrize("kind", ["s7", "logix"])
def test_a_peer_that_answers_nonsense_and_closes_is_one_failed_connection(kind: str, answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            client, _ = listener.accept()
            client.recv(4_096)
            client.sendall(answer)
            client.close()

        thread = threading.Thread(target=serve)
        thread.start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        memory: TagMemory = (
            S7Memory(S7Table(address=address, db=1)) if kind == "s7" else LogixMemory(LogixTable(address=address))
        )
        with pytest.raises(Exception, match=r"\w"):
            memory.connect()
        memory.close()
        thread.join()


def test_what_is_not_sent_when_the_socket_closes_never_arrives() -> None:
    """As when the process is killed: the PLC would take a pass bit of seconds ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        with socket.create_connection(listener.getsockname()) as sender:
            drop_unsent(sender)
            receiver, _ = listener.accept()
            sender.setblocking(False)
            sent = 0
            with contextlib.suppress(BlockingIOError):
                while True:
                    sent += sender.send(bytes(65_536))
        with receiver:
            arrived = iter(lambda: receiver.recv(65_536), b"")
            assert sum(map(len, until_reset(arrived))) < sent


def until_reset(arrived: Iterator[bytes]) -> Iterator[bytes]:
    with pytest.raises(ConnectionResetError):
        yield from arrived


@pytest.mark.parametrize("kind", ["s7", "logix"])
def test_the_sockets_of_both_protocols_drop_what_is_not_sent(kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    server = S7Server(port) if kind == "s7" else LogixServer(port)
    server.start()
    address = f"127.0.0.1:{port}"
    s7, logix = S7Memory(S7Table(address=address, db=DB)), LogixMemory(LogixTable(address=address))
    memory: TagMemory = s7 if kind == "s7" else logix
    until(lambda: connects(memory))
    own = s7._socket() if kind == "s7" else logix._plc.conn.Socket  # type: ignore[union-attr]
    assert struct.unpack("ii", own.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)) == (1, 0)
    memory.close()
    server.stop()


def connects(memory: TagMemory) -> bool:
    """Whether the server listens yet."""
    try:
        memory.connect()
    except Exception:
        return False
    return True


@pytest.fixture
def unused_server() -> Iterator[S7Server]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    server = S7Server(port, stations=2)
    server.start()
    yield server
    server.stop()


def table_of(server: S7Server, db: int = DB) -> S7Table:
    return S7Table(address=f"127.0.0.1:{server.port}", db=db, timeout_ms=250)


def test_a_data_block_that_is_not_there_is_named(board: Board) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        server = S7Server(probe.getsockname()[1])
    server.start()
    try:
        memory = S7Memory(S7Table(address=f"127.0.0.1:{server.port}", db=DB + 7))
        memory.connect()
        with pytest.raises(ConnectionError, match=rf"^DB{DB + 7}, bytes 118 to 163 cannot be read: .* PUT/GET allowed"):
            memory.read(0)
        memory.close()
    finally:
        server.stop()
