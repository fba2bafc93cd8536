"""The Modbus server on its own: requests, registers, connections, with pymodbus' client and with bare sockets."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from io import RawIOBase

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.plc import ACKNOWLEDGE_AT, TRIGGER_AT, plc_at, until

from edge.plc.board import Board
from edge.plc.codes import Code
from edge.plc.modbus_requests import Function, ModbusRequests
from edge.plc.modbus_server import MOST_CONNECTIONS, ModbusServer
from edge.plc.process_image import Readable, Written
from edge.plc.registers import MAP_VERSION, WRITTEN_AT, WRITTEN_WORDS, Status, base, pack


@pytest.fixture
def board() -> Iterator[Board]:
    board = Board(2)
    yield board
    board.close()


@pytest.fixture
def server(board: Board) -> Iterator[ModbusServer]:
    server = ModbusServer(board, "0")
    server.start()
    yield server
    server.close()


def port_of(server: ModbusServer) -> int:
    return int(server.endpoint.rpartition(":")[2])


# ------------------------------------------------------------------------------------------------------ the server


def test_a_read_in_one_request_is_of_one_moment(board: Board, server: ModbusServer) -> None:
    images = [Readable(valid=True, code=Code.DEFECT, number=n, seq=n, part=str(n)) for n in (0x1111_2222, 0x3333_4444)]
    is_over = threading.Event()

    def change() -> None:
        while not is_over.is_set():
            for image in images:
                board.show(0, image)

    thread = threading.Thread(target=change)
    board.show(0, images[0])
    thread.start()
    try:
        with plc_at(port_of(server)) as plc:
            for _ in range(300):
                words = plc.read()
                assert words[2:4] == words[8:10]
                assert words[2:4] in ([0x1111, 0x2222], [0x3333, 0x4444])
    finally:
        is_over.set()
        thread.join()


def test_both_kinds_of_registers_have_the_same_content_for_each_station(board: Board, server: ModbusServer) -> None:
    board.show(1, Readable(valid=True, code=Code.DEFECT, number=7))
    with plc_at(port_of(server)) as plc:
        for read in (plc.client.read_holding_registers, plc.client.read_input_registers):
            assert read(0, count=3).registers == [MAP_VERSION, 2, 100]
            assert read(base(0), count=60).registers == [0] * 60
            assert read(base(1), count=4).registers == [Status.VALID | Status.FAIL, 0, 0, 7]


def test_what_the_plc_writes_comes_whole_and_only_into_its_own_registers(board: Board, server: ModbusServer) -> None:
    with plc_at(port_of(server), station=1) as plc:
        plc.write(TRIGGER_AT, 1, 2, 3, 4)
        plc.write(WRITTEN_AT, 1)
        until(lambda: len(board._writes) == 2)
        (_, first), (station, second) = board.writes()
        assert (station, first.trigger, second.trigger) == (1, False, True)
        assert (second.trigger_number, second.acknowledged) == (0x10002, 0x30004)
        assert plc.read(WRITTEN_AT, 5) == [1, 1, 2, 3, 4]
        for address, words in ((0, [1]), (WRITTEN_AT - 1, [0, 0]), (WRITTEN_AT + WRITTEN_WORDS - 1, [0, 0]), (99, [0])):
            assert plc.client.write_registers(base(1) + address, words).isError()
        assert plc.client.write_registers(0, [1]).isError()
        assert plc.client.write_coil(base(1) + WRITTEN_AT, True).isError()
        assert plc.client.read_holding_registers(base(2), count=1).isError()
        assert not list(board.writes())


def test_more_connections_than_allowed_close_the_one_that_was_silent_for_longest(server: ModbusServer) -> None:
    with contextlib.ExitStack() as until_then, plc_at(port_of(server)) as plc:
        silent = [until_then.enter_context(connected(server)) for _ in range(MOST_CONNECTIONS - 1)]
        for _ in range(3):
            assert plc.read(0, 1) == [0]
            silent.append(until_then.enter_context(connected(server)))
        assert plc.read(0, 1) == [0], "the PLC was the first to connect, and speaks"
        for one in silent[:3]:
            with contextlib.suppress(ConnectionResetError):
                assert one.recv(1) == b""


def connected(server: ModbusServer) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port_of(server)), timeout=60)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def request(transaction: int, function: int, *words: int) -> bytes:
    body = struct.pack(f">BB{len(words)}H", 1, function, *words)
    return struct.pack(">HHH", transaction, 0, len(body)) + body


def answer(client: socket.socket) -> tuple[int, bytes]:
    """Transaction, and what follows the unit number."""
    file = client.makefile("rb", buffering=0)
    transaction, _, size = struct.unpack(">HHH", exactly(file, 6))
    return transaction, exactly(file, size)[1:]


def exactly(file: RawIOBase, size: int) -> bytes:
    got = b""
    while len(got) < size:
        more = file.read(size - len(got))
        assert more, "the connection was closed"
        got += more
    return got


def test_requests_without_a_pause_are_answered_each_with_its_own_registers(board: Board, server: ModbusServer) -> None:
    board.show(0, Readable(valid=True, code=Code.DEFECT, number=1))
    board.show(1, Readable(valid=True, code=Code.DEFECT, number=2))
    with connected(server) as client:
        for pause_s in [None, *(step * 2e-5 for step in range(100))]:
            first, second = request(1, 3, base(0), 4), request(2, 3, base(1), 4)
            if pause_s is None:
                client.sendall(first + second)
            else:
                client.sendall(first)
                time.sleep(pause_s)
                client.sendall(second)
            for number in (1, 2):
                transaction, data = answer(client)
                assert (transaction, data[-1]) == (number, number)


@pytest.mark.parametrize("at_once", [1, 1_000])
def test_a_client_that_does_not_read_its_answers_is_cut_off(server: ModbusServer, at_once: int) -> None:
    with connected(server) as client, plc_at(port_of(server)) as plc:
        client.settimeout(0.1)

        def is_cut_off() -> bool:
            with contextlib.suppress(OSError):
                client.sendall(request(1, 3, 0, 125) * at_once)
            return len(server._connections) < 2

        assert plc.read(0, 1) == [0]
        assert len(server._connections) == 2
        until(is_cut_off, every_s=0.0001)
        assert plc.read(0, 1) == [0]


def test_what_is_no_modbus_ends_its_connection_alone(server: ModbusServer) -> None:
    with plc_at(port_of(server)) as plc:
        for junk in (b"GET / HTTP/1.1\r\n\r\n", bytes(20), b"\0\1\0\0\xff\xff\1\3"):
            with connected(server) as client, contextlib.suppress(ConnectionResetError):
                client.sendall(junk)
                assert client.recv(1) == b""
        assert plc.read(0, 1) == [0]


@given(st.one_of(st.binary(min_size=1, max_size=253), st.builds(bytes.__add__, st.sampled_from(
    [bytes((code,)) for code in Function]), st.binary(max_size=20))))  # fmt: skip
@settings(max_examples=500, deadline=None)
def test_no_request_changes_what_the_plc_reads_or_has_an_answer_that_is_none(pdu: bytes) -> None:
    board = Board(1)
    requests = ModbusRequests(board)
    image = Readable(valid=True, code=Code.DEFECT, number=3)
    board.show(0, image)
    said = requests.answer(pdu)
    assert said[0] in (pdu[0], pdu[0] | 0x80)
    assert 2 <= len(said) <= 253
    assert board.words(base(0), WRITTEN_AT) == pack(image)
    board.close()


def test_writes_without_an_end_do_not_hold_up_the_loop(board: Board) -> None:
    board.write(0, Written())
    for taken, _ in enumerate(board.writes()):
        assert taken == 0, "what is written meanwhile waits for the next turn"
        board.write(0, Written(clear=True))
    assert [written.clear for _, written in board.writes()] == [True]


def test_a_mask_and_a_write_with_a_read_are_answered(board: Board, server: ModbusServer) -> None:
    with plc_at(port_of(server)) as plc:
        at = base(0) + WRITTEN_AT
        plc.write(WRITTEN_AT, 0x12)
        assert not plc.client.mask_write_register(address=at, and_mask=0xF2, or_mask=0x25).isError()
        assert plc.read(WRITTEN_AT, 1) == [0x17]
        done = plc.client.readwrite_registers(read_address=at, read_count=2, write_address=at + 1, values=[7, 8])
        assert done.registers == [0x17, 7]
        assert [written.trigger_number for _, written in board.writes()] == [0, 0, 7 << 16 | 8]


def test_a_plc_reads_what_another_one_writes(board: Board, server: ModbusServer) -> None:
    with plc_at(port_of(server)) as one, plc_at(port_of(server)) as two:
        one.write(ACKNOWLEDGE_AT, 5, 6)
        assert two.read(ACKNOWLEDGE_AT, 2) == [5, 6]
