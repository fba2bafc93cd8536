"""The messages between the supervisor and its children: every one arrives as it was sent."""

import multiprocessing
import pickle
import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from edge.bundle import Measured
from edge.station.process.message_socket import PIECE, MessageSocket, pair
from edge.station.process.messages import (
    Captured,
    Ended,
    GiveSlot,
    Infer,
    Inferred,
    Located,
    NamedKind,
    SelfTest,
    Stop,
    Waiting,
)
from edge.station.process.wire import MORE, decode, encode
from edge.verdict import Fault, Reason

whole = some.integers(0, 2**62)
text = some.text(max_size=40)
texts = text | some.just("\udcff.png")
moment = some.integers(-(2**62), 2**62)
score = some.floats(allow_nan=False)

messages = some.one_of(
    some.builds(GiveSlot, whole, text, whole, some.none() | text),
    some.builds(
        Captured,
        slot=some.none() | some.integers(0, 99),
        position=whole,
        name=texts,
        height=whole,
        width=whole,
        captured_ns=some.none() | moment,
        in_ring_ns=moment,
        fault=some.none() | some.builds(Fault, some.sampled_from(Reason), text),
        truth=some.sampled_from([None, "good", "bad"]),
        dropped=whole,
        frames=whole,
        mark=some.none(),
        seen=some.none() | some.tuples(score, score),
    ),
    some.builds(Infer, whole, text, whole, whole, whole, whole, some.booleans(), some.booleans(), some.booleans()),
    some.builds(
        Inferred,
        seq=whole,
        score=score,
        fault=some.none() | text,
        start_ns=moment,
        end_ns=moment,
        located=some.none() | some.lists(some.builds(Located, *[whole] * 5, score), max_size=3).map(tuple),
        seat=whole,
        worst=whole,
        measured=some.none() | some.builds(Measured, score, text),
        summed=some.none(),
        coarse=some.none(),
        kind=some.none() | some.builds(NamedKind, some.integers(1, 9), some.floats(0, 1)),
    ),
    some.sampled_from([Stop(), Waiting(), SelfTest(), Ended(3)]),
)


@given(message=messages)
def test_every_message_arrives_as_it_was_sent(message: tuple[Any, ...]) -> None:
    found = decode(memoryview(encode(message)))
    assert found == message
    assert type(found) is type(message)


@given(message=messages)
def test_no_message_begins_like_a_piece_of_a_longer_one(message: tuple[Any, ...]) -> None:
    assert encode(message)[:1] != MORE


def test_what_comes_with_every_part_is_not_pickled() -> None:
    usual = [
        GiveSlot(3, "/proc/1/fd/9#77", 2**21),
        Captured(3, 17, "part 17", 720, 1280, None, 5, None, "good", 0),
        Infer(17, "/proc/1/fd/9#77", 720, 1280),
        Inferred(17, 0.25, None, 5, 9),
    ]
    for message in usual:
        with pytest.raises(pickle.UnpicklingError):
            pickle.loads(encode(message)[1:])


def test_a_message_longer_than_a_packet_arrives_whole_and_in_order() -> None:
    ours, theirs = pair()
    long = [Inferred(1, 0.5, "y" * length, 1, 2) for length in (PIECE, PIECE + 5, 3 * PIECE)]
    sent = [Stop(), *long, Waiting()]
    process = multiprocessing.get_context("spawn").Process(target=_send_all, args=(theirs, sent))
    process.start()
    theirs.close()
    assert [ours.recv() for _ in sent] == sent
    with pytest.raises((EOFError, ConnectionResetError)):
        ours.recv()
    process.join()
    ours.close()


def _send_all(end: MessageSocket, messages: list[tuple[Any, ...]]) -> None:
    for message in messages:
        end.send(message)


def test_nothing_to_receive_is_no_message_and_the_end_of_the_other_side_is_noticed() -> None:
    ours, theirs = pair()
    assert ours.receive_now() is None
    assert not ours.poll()
    theirs.send(Waiting())
    assert ours.poll(1.0)
    assert ours.receive_now() == Waiting()
    theirs.close()
    with pytest.raises(EOFError):
        ours.receive_now()
    with pytest.raises(BrokenPipeError):
        ours.send(Stop())


def test_an_end_within_a_long_message_is_an_end() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.send(MORE + b"the beginning")
    theirs.close()
    with pytest.raises(EOFError):
        MessageSocket(ours).recv()


def test_what_the_other_side_had_sent_arrives_although_it_went_with_messages_unread() -> None:
    ours, theirs = pair()
    theirs.send(Ended(3))
    ours.send(Waiting())
    theirs.close()
    assert ours.receive_now() == Ended(3)
    with pytest.raises(EOFError):
        ours.recv()
