"""The scene of the drill: a station on the demo line, a gate that listens to it, and a network between them with
faults on request.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import zmq

from edge.bundle import load_bundle, seal
from edge.channel.client_security import read_client_keys, secure
from edge.channel.control_messages import Fate
from edge.channel.endpoints import CONTROL, VIEWERS, free_endpoint, neighbour_endpoint
from edge.drill.proxy import Proxy
from edge.errors import ChannelError
from edge.gate.belt import SteadyBelt
from edge.gate.client import Controller, Endpoint
from edge.gate.decision import Decision
from edge.gate.gate import Rules
from edge.gate.log import GateLog
from edge.rates import rate_text
from edge.security import key_file
from edge.security.certificate import Certificate, Pair
from edge.security.keystore import KeyStore
from edge.security.roles import Role
from edge.station.process.runner import EdgeRun
from edge.verdict import Heartbeat, StateChange, Verdict, parse

STATION, GATE = "drill", "gate"
PRODUCTS = ("first", "second")
"""Products of the line, both with the same bundle; their numbers are 1 and 2."""

DAMAGED = "damaged.edge"
"""A bundle in the station's folder of candidates, one of whose files has changed."""

STRANGER = "stranger"
KEYS = "keys"
RATE, SIZE = 20, "640x360"
BUDGET_MS = 300
TRAVEL_S, LEAD_S = 0.6, 0.05
STARTING_S = 60.0
POLL_S = 0.01

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """On Linux, let the station end when the drill ends, however it ends; on other systems it may keep running."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Scene:
    """Runs while the context is open. Messages and decisions are kept with their local time in nanoseconds."""

    def __init__(self, folder: Path, bundle: Path, rate: float = RATE, keyed: bool = False) -> None:
        """All files go into `folder`. `rate` is in parts per second. With `keyed` the station requires keys; `key_file`
        returns their paths.
        """
        self.heard: list[tuple[int, Verdict | Heartbeat | StateChange]] = []
        self.decisions: list[Decision] = []
        self.complaints: list[str] = []
        """What a fault found at the station that should not be."""

        self.records, self.gate_log = folder / "records", folder / "gate.jsonl"
        self.folder = folder
        self._bundle, self._rate = bundle, rate
        self._candidates = _with_damaged(folder / "candidates", bundle)
        self._output = folder / "station.log"
        self._keys = None
        if keyed:
            self._make_keys()
            self._keys = read_client_keys(self.key_file(GATE))
        self._endpoint = free_endpoint()
        self._is_over = threading.Event()
        self._closing = ExitStack()

    def __enter__(self) -> "Scene":
        with ExitStack() as undo:
            self.verdicts = undo.enter_context(Proxy(self._endpoint))
            self.control = undo.enter_context(Proxy(neighbour_endpoint(self._endpoint, CONTROL)))
            undo.callback(self.stop)
            self.start()
            log = GateLog(self.gate_log)
            undo.callback(log.close)
            endpoint = Endpoint(self.verdicts.endpoint, self.control.endpoint, self._keys)
            belt, rules = SteadyBelt(TRAVEL_S * 1e3, LEAD_S * 1e3), Rules(allow_simulated=True)
            gate = Controller([endpoint], STATION, GATE, belt, self.decisions.append, rules, log, allow_insecure=True)
            undo.callback(gate.close)
            self._thread = threading.Thread(target=self._listen, args=(gate,), name="edge-drill", daemon=True)
            self._thread.start()
            undo.callback(self._stop_listening)
            self._closing = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()

    # -------------------------------------------------------------------------------------------------- keys

    def _make_keys(self) -> None:
        store = KeyStore(self.folder / KEYS)
        station = store.init()
        self.admit(GATE, Role.ACKNOWLEDGE)
        stranger = Pair.new()
        unknown = Certificate(stranger.public, stranger.secret, station.public, STRANGER)
        key_file.create(self.key_file(STRANGER), unknown.render(), 0o600)

    def admit(self, name: str, role: Role) -> Path:
        """Create a key with this role. Returns its file; a running station admits it within a second."""
        store = KeyStore(self.folder / KEYS)
        store.add(name, role=role)
        store.export(name, self.key_file(name))
        return self.key_file(name)

    def key_file(self, name: str) -> Path:
        """The key file of an admitted client, or of STRANGER, which the station does not know."""
        return self.folder / f"{name}.key"

    # -------------------------------------------------------------------------------------------------- the station

    @property
    def endpoints(self) -> tuple[str, str, str]:
        """The station's own verdict, control and viewer endpoints, without the proxies."""
        return self._endpoint, neighbour_endpoint(self._endpoint, CONTROL), neighbour_endpoint(self._endpoint, VIEWERS)

    @property
    def log(self) -> str:
        """The station's log so far."""
        return self._output.read_text(errors="replace")

    def memory(self) -> int:
        """Resident memory of the station's process, bytes."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise ChannelError(f"the station has ended: {self.last_words()}")

    def start(self) -> None:
        """Start the station, with the same records and ports each time."""
        with self._output.open("ab") as output:
            self._station = EdgeRun(
                *(f"--products={name}={self._bundle},number={number}" for number, name in enumerate(PRODUCTS, 1)),
                source="demo",
                size=SIZE,
                rate=rate_text(self._rate),
                candidates=self._candidates,
                station=STATION,
                bind=self._endpoint,
                budget_ms=BUDGET_MS,
                records=self.records,
                require=GATE,
                keys=None if self._keys is None else self.folder / KEYS,
                log=self._output,
                popen={"stdout": output, "start_new_session": True, "preexec_fn": die_with_parent},
            )

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        """The station's own process."""
        return self._station.process

    def stop(self) -> None:
        """Stop the station in order, also if it is suspended, and kill it after 10 s."""
        self.process.send_signal(signal.SIGCONT)
        self._station.stop(10)

    def child(self, name: str) -> int:
        """Process id of a child of the station. Raises ChannelError if it has no such child now."""
        if (pid := self._station.child(name)) is None:
            raise ChannelError(f"the station has no {name} now; its log is {self._output}")
        return pid

    def kill(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a child of the station."""
        os.kill(self.child(name), number)

    def last_words(self) -> str:
        """The last line that the station wrote."""
        return self._station.last_words()

    # -------------------------------------------------------------------------------------------------- the gate

    def _listen(self, gate: Controller) -> None:
        """Run the gate's loop, and a subscriber at the same network that receives the same messages."""
        with zmq.Context() as context, context.socket(zmq.SUB) as subscriber:
            subscriber.set(zmq.LINGER, 0)
            if self._keys is not None:
                secure(subscriber, self._keys)
            subscriber.connect(self.verdicts.endpoint)
            subscriber.subscribe(b"")
            while not self._is_over.is_set():
                gate.turn()
                while subscriber.poll(0):
                    topic, payload = subscriber.recv_multipart()
                    self.heard.append((time.monotonic_ns(), parse(topic, payload)))

    def _stop_listening(self) -> None:
        self._is_over.set()
        self._thread.join()

    def until(self, happened: Callable[[], int | None], patience_s: float) -> int | None:
        """Wait for a time that `happened` returns, in nanoseconds; None after `patience_s`."""
        ends = time.monotonic() + patience_s
        while time.monotonic() < ends:
            if (at_ns := happened()) is not None:
                return at_ns
            time.sleep(POLL_S)
        return None

    def passes(self, after_ns: int, count: int = 1) -> int | None:
        """When the gate had passed `count` parts that were decided after `after_ns`; None if it has not."""
        moments = [d.at_ns for d in reversed(self.decisions) if d.passes and d.at_ns > after_ns]
        return moments[-count] if len(moments) >= count else None

    def noticed(self, after_ns: int, lease_ns: int) -> int | None:
        """When, after `after_ns`, a controller could first tell that something was wrong: from an unknown or missing
        verdict, a heartbeat that is not ready, or an expired lease.
        """
        heard_ns = self._heard_of(after_ns, lease_ns)
        missed_ns = next((d.at_ns for d in list(self.decisions) if d.at_ns > after_ns and d.fate is Fate.MISSED), None)
        return min((at_ns for at_ns in (heard_ns, missed_ns) if at_ns is not None), default=None)

    def _heard_of(self, after_ns: int, lease_ns: int) -> int | None:
        last_ns = after_ns
        for at_ns, message in [entry for entry in list(self.heard) if entry[0] > after_ns]:
            if isinstance(message, Heartbeat) and at_ns - last_ns > lease_ns:
                return last_ns + lease_ns
            if isinstance(message, Heartbeat):
                last_ns = at_ns
            if (isinstance(message, Heartbeat) and not message.ready) or (
                isinstance(message, Verdict) and message.score is None
            ):
                return at_ns
        return last_ns + lease_ns if time.monotonic_ns() - last_ns > lease_ns else None

    def judged(self, after_ns: int) -> int | None:
        """When the first in-time good or reject of a part captured after `after_ns` arrived."""
        latest_ns = int((BUDGET_MS + 50) * 1e6)
        for at_ns, message in list(self.heard):
            if isinstance(message, Verdict) and message.score is not None:
                captured = message.timing.captured
                if captured > after_ns and at_ns - captured <= latest_ns:
                    return at_ns
        return None


def _with_damaged(folder: Path, bundle: Path) -> Path:
    """A folder with another bundle than the running one, DAMAGED: a byte of a file has changed."""
    place = folder / DAMAGED
    shutil.copytree(bundle, place)
    seal(place, load_bundle(bundle).manifest.model_copy(update={"name": place.stem}))
    file = max((file for file in place.rglob("*") if file.is_file()), key=lambda one: one.stat().st_size)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    return folder
