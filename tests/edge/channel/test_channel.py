"""The verdict channel over real sockets: the messages that a subscriber receives, and those withheld from it."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import zmq
from support.line import free_endpoint
from support.scripted_station import Peer, peer, until
from support.verdicts import verdict

from edge.channel.control_messages import AskSnapshot
from edge.channel.endpoints import CONTROL, neighbour_endpoint
from edge.channel.limits import LARGEST_MESSAGE
from edge.channel.publisher import Publisher, check_endpoint
from edge.channel.subscriber import Subscriber
from edge.errors import ChannelError
from edge.verdict import Heartbeat, Ledger, State, StateChange, Verdict, topic


@pytest.fixture
def ends() -> Iterator[tuple[Publisher, Subscriber]]:
    endpoint, context = free_endpoint(), zmq.Context()
    publisher, subscriber = Publisher(context, "line1", endpoint), Subscriber(endpoint, "line1")
    while not publisher.subscribers():
        pass
    yield publisher, subscriber
    subscriber.close()
    publisher.close()
    context.term()


def heartbeat(epoch: str, last_seq: int) -> Heartbeat:
    return Heartbeat(
        station="line1", epoch=epoch, simulated=False, state=State.EXECUTING, ready=True, valid_ms=300,
        sent=0, valid_until=300_000_000,
        last_seq=last_seq, ledger=Ledger(accepted=last_seq, good=last_seq), restarts=0,
    )  # fmt: skip


def hear(ends: tuple[Publisher, Subscriber], *messages: Any) -> list[tuple[int, int]]:
    """(seq or last_seq, missed) of each message that the subscriber returns when these messages are sent."""
    publisher, subscriber = ends
    for message in messages:
        publisher.send(message)
    heard = [(r.message, r.missed) for r in subscriber.messages(0.3)]
    return [(m.last_seq if isinstance(m, Heartbeat | StateChange) else m.seq, missed) for m, missed in heard]


def test_a_message_larger_than_any_of_a_station_is_not_taken() -> None:
    endpoint, context = free_endpoint(), zmq.Context()
    socket = context.socket(zmq.XPUB)
    socket.bind(endpoint)
    subscriber = Subscriber(endpoint, "line1")
    assert socket.poll(20_000)
    for seq, length in ((1, LARGEST_MESSAGE - 2000), (2, LARGEST_MESSAGE)):
        large = verdict(seq=seq, detail="x" * length).model_dump_json().encode()
        socket.send_multipart([topic("line1", "verdict"), large])
    heard = [r.message.seq for r in subscriber.messages(1) if isinstance(r.message, Verdict)]
    assert heard == [1]
    subscriber.close()
    context.destroy(linger=0)


def test_a_gap_is_seen_at_the_next_verdict(ends: tuple[Publisher, Subscriber]) -> None:
    assert hear(ends, *(verdict(seq=n) for n in (1, 2, 5, 6))) == [(1, 0), (2, 0), (5, 2), (6, 0)]


def test_a_gap_at_the_end_is_seen_at_the_next_heartbeat(ends: tuple[Publisher, Subscriber]) -> None:
    assert hear(ends, verdict(seq=1), heartbeat("e", 3), verdict(seq=4)) == [(1, 0), (3, 2), (4, 0)]


def test_a_late_joiner_missed_nothing_and_knows_where_it_began(ends: tuple[Publisher, Subscriber]) -> None:
    assert hear(ends, verdict(seq=40), verdict(seq=41)) == [(40, 0), (41, 0)]
    assert ends[1].first_seq == 40


def test_a_new_epoch_begins_at_one(ends: tuple[Publisher, Subscriber]) -> None:
    heard = hear(ends, verdict(epoch="a", seq=7), verdict(epoch="b", seq=5), verdict(epoch="b", seq=6))
    assert heard == [(7, 0), (5, 4), (6, 0)]


def test_a_repeated_or_reordered_verdict_and_one_of_a_past_epoch_are_not_given(
    ends: tuple[Publisher, Subscriber],
) -> None:
    heard = hear(ends, *(verdict(epoch=e, seq=n) for e, n in (("a", 1), ("a", 2), ("a", 1), ("b", 1), ("a", 3))))
    assert heard == [(1, 0), (2, 0), (1, 0)]
    assert ends[1].repeated == 2


def test_a_malformed_message_is_counted_and_not_given(ends: tuple[Publisher, Subscriber]) -> None:
    publisher, subscriber = ends
    for frames in ([topic("line1", "verdict"), b"{}"], [topic("line1", "verdict")], [b"evp1/line1/x/", b"{}"]):
        publisher._socket.send_multipart(frames)
    publisher._socket.send_multipart([topic("line1", "verdict"), verdict(station="line2").model_dump_json().encode()])
    assert hear(ends, verdict(seq=1)) == [(1, 0)]
    assert subscriber.malformed == 4


def test_subscriptions_to_other_stations_do_not_count() -> None:
    endpoint = free_endpoint()
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    publisher = Publisher(context, "line1", endpoint)
    other, ours = Subscriber(endpoint, "line2"), Subscriber(endpoint, "line1")
    while publisher.subscribers() < 1:
        pass
    assert not publisher._socket.poll(200, zmq.POLLIN) or publisher.subscribers() == 1
    ours.close()
    while publisher.subscribers():
        pass
    other.close()
    publisher.close()
    context.term()


def test_a_subscriber_that_hears_nothing_names_the_other_station_that_answers_once() -> None:
    endpoint, said = free_endpoint(), list[str]()
    with (
        peer(endpoint, neighbour_endpoint(endpoint, CONTROL)) as station,
        closing(Subscriber(endpoint, "oven3", say=said.append)) as subscriber,
    ):
        until(lambda: said, lambda: list(subscriber.messages(0.05)))
        assert list(subscriber.messages(1)) == []
        assert len(said) == 1
        assert f"the station at {endpoint} is called 'line1', not 'oven3'" in said[0]
        assert all(isinstance(request, AskSnapshot) for request in station.requests), "it says hello as a controller"


def test_a_station_of_the_right_name_that_publishes_nothing_is_not_taken_for_another_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    endpoint, said = free_endpoint(), list[str]()
    monkeypatch.setattr(Peer, "_publish", lambda self, message: None)
    with (
        peer(endpoint, neighbour_endpoint(endpoint, CONTROL)) as station,
        closing(Subscriber(endpoint, "line1", say=said.append)) as subscriber,
    ):
        until(lambda: station.requests, lambda: list(subscriber.messages(0.05)))
        assert list(subscriber.messages(1)) == []
        assert len(station.requests) == 1, "it was answered and asks again"
        assert said == []


@pytest.mark.parametrize("endpoint", ["tcp://0.0.0.0:5570", "tcp://*:5570", "tcp://192.0.2.1:1", "tcp://[::]:1"])
def test_an_endpoint_off_loopback_needs_to_be_meant(endpoint: str) -> None:
    with pytest.raises(ChannelError, match="--insecure"):
        check_endpoint(endpoint, allow_insecure=False)
    check_endpoint(endpoint, allow_insecure=True)


@pytest.mark.parametrize("endpoint", ["tcp://127.0.0.1:5570", "tcp://localhost:1", "tcp://[::1]:1"])
def test_loopback_is_free(endpoint: str) -> None:
    check_endpoint(endpoint, allow_insecure=False)


@pytest.mark.parametrize("name", ["", "a/b", "a b", "line\n1"])
def test_a_station_name_that_would_break_a_topic_is_refused(name: str) -> None:
    with pytest.raises(ChannelError, match="station name"):
        Publisher(zmq.Context(), name, free_endpoint())
