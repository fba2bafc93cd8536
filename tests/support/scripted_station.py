"""A small scripted station with real sockets: it publishes the messages of a test, and can hang, be delayed and die."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import zmq
from support.simulated_station import ModelledStation

from edge.channel.control_messages import (
    Acknowledge,
    AskSnapshot,
    Exposed,
    Hello,
    Ping,
    Pong,
    Replayed,
    Request,
    Snapshot,
    Trigger,
    Triggered,
    Welcome,
    parse_request,
)
from edge.verdict import Heartbeat, StateChange, Verdict, topic

Message = Verdict | Heartbeat | StateChange
BEAT_S = 0.1


class Peer:
    """A station whose thread sends heartbeats, and answers pings and snapshots. While `is_held` its messages are held
    back; afterwards all are sent at once.
    """

    def __init__(self, verdicts: str, control: str, station: ModelledStation) -> None:
        self.station = station
        self.requests: list[Request] = []
        self.subscriptions: list[bytes] = []
        self.is_held = False
        self.says: str | None = "good"  # of a triggered part; None: nothing
        self.tells_exposure = False
        self.answers = True
        self._outbox: queue.Queue[list[bytes] | Message] = queue.Queue()
        self._whispers: queue.Queue[bytes] = queue.Queue()
        self._known: set[bytes] = set()
        self.whispered = 0
        self._held: list[list[bytes]] = []
        self._counting = threading.Lock()  # a heartbeat must not count a verdict that is not sent yet
        self._is_over = threading.Event()
        self._context = zmq.Context()
        self._xpub, self._router = self._context.socket(zmq.XPUB), self._context.socket(zmq.ROUTER)
        self._xpub.bind(verdicts)
        self._router.bind(control)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def say(self, *messages: Message | list[bytes]) -> None:
        """Publish these messages, or frames that are not valid messages."""
        for message in messages:
            self._outbox.put(message)

    def good(self, **changes: object) -> Verdict:
        """Publish a good for a part exposed 20 ms ago."""
        with self._counting:
            verdict = self.station.verdict(time.monotonic_ns(), **changes)
            self.say(verdict)
        return verdict

    def whisper(self, payload: Replayed | bytes) -> None:
        """Send the payload over the control socket to every controller that has sent a request."""
        self._whispers.put(payload if isinstance(payload, bytes) else payload.model_dump_json().encode())

    def acks(self) -> dict[int, str]:
        """The fate of each part that was acknowledged."""
        return {r.seq: str(r.fate) for r in list(self.requests) if isinstance(r, Acknowledge)}

    def die(self) -> None:
        """Close the sockets without announcing the end."""
        self._is_over.set()
        self._thread.join()
        self._context.destroy(linger=0)

    def _run(self) -> None:
        beat_due = time.monotonic()
        while not self._is_over.is_set():
            with self._counting:
                while not self._outbox.empty():
                    self._publish(self._outbox.get())
                if time.monotonic() >= beat_due:
                    self._publish(self.station.heartbeat(time.monotonic_ns()))
                    beat_due = time.monotonic() + BEAT_S
            while self._held and not self.is_held:
                self._xpub.send_multipart(self._held.pop(0))
            while not self._whispers.empty():
                payload = self._whispers.get()
                for identity in self._known:
                    self._router.send_multipart([identity, payload])
                self.whispered += 1
            if self._router.poll(2) and not self.is_held:
                self._answer(*self._router.recv_multipart())
            while self._xpub.poll(0):
                self.subscriptions.append(self._xpub.recv())

    def _publish(self, message: Message | list[bytes]) -> None:
        if not isinstance(message, list):
            kind = {Verdict: "verdict", Heartbeat: "heartbeat", StateChange: "state"}[type(message)]
            message = [topic(self.station.name, kind), message.model_dump_json().encode()]
        self._held.append(message)

    def _answer(self, identity: bytes, payload: bytes) -> None:
        request, station = parse_request(payload), self.station
        self.requests.append(request)
        self._known.add(identity)
        if not self.answers:
            return
        now = time.monotonic_ns()
        replies: list[Welcome | Pong | Snapshot | Triggered | Exposed] = []
        match request:
            case Hello(client=client):
                welcome = {"station": station.name, "epoch": station.epoch, "boot": station.boot, "budget_ms": 100.0}
                replies = [Welcome(client=client, is_required=True, **welcome)]
            case Ping(nonce=nonce):
                replies = [Pong(nonce=nonce, epoch=station.epoch, now=station.clock(now))]
            case AskSnapshot():
                replies = [Snapshot(heartbeat=station.heartbeat(now))]
            case Trigger(part=part):
                replies = [Triggered(part=part, epoch=station.epoch, seq=station.seq + 1)]
                if self.tells_exposure:
                    told = {"epoch": station.epoch, "seq": station.seq + 1, "captured": station.clock(now)}
                    replies.append(Exposed(part=part, **told))
                if self.says is not None:
                    self._publish(station.verdict(time.monotonic_ns(), age_ms=0, says=self.says, part=part))
        for reply in replies:
            self._router.send_multipart([identity, reply.model_dump_json().encode()])


@contextmanager
def peer(verdicts: str, control: str, station: ModelledStation | None = None) -> Iterator[Peer]:
    """A running peer, which dies at the end of the context."""
    running = Peer(verdicts, control, station or ModelledStation())
    try:
        yield running
    finally:
        running.die()


def until(condition: Callable[[], object], turn: Callable[[], None], patience_s: float = 20.0) -> None:
    """Call `turn` until `condition` holds. Fails after `patience_s` seconds."""
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        turn()
