"""The siege: hostile peers flood a running line, one kind after another, while its gate works and other peers join.

Each attacker is a process on this machine at the lowest priority. The line holds if nothing escapes, if honest peers
are served and if the station's memory stays bounded. Late verdicts, which are rejects, are counted.
"""

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import zmq

from edge.channel.client_security import read_client_keys, secure
from edge.channel.control_messages import Hello
from edge.drill.scene import GATE, STARTING_S, STRANGER, Scene, die_with_parent
from edge.errors import ChannelError
from edge.records.audit import audit
from edge.security.roles import Role
from edge.verdict import Reason, Verdict

RATE = 10.0
LOOK_S = 0.1
JOIN_S = 0.5
JOINED_WITHIN_S = 30.0
SETTLED_PASSES = 5
REST_S = 1.0
LOGGED_WITHIN_S = 60.0
MOST_MEMORY = 2.0
"""Limit of the station's memory, as a multiple of its memory without an attack."""


@dataclass(frozen=True)
class Assault:
    """Whose key the attacker has, and which of `attacker.FLOODS` it runs.

    An assault with `logged` ends only once the station has logged a line with all of these words, or after 60 s: on a
    busy machine an attacker of the lowest priority may need long until it reaches a limit.
    """

    who: str
    flood: str
    logged: tuple[str, ...] = ()

    def is_logged(self, log: str) -> bool:
        """Whether the station's log has that line."""
        return not self.logged or any(all(word in line for word in self.logged) for line in log.splitlines())


VIEWER, CONTROLLER = "viewer", "controller"
ROLES = {VIEWER: Role.SEE, CONTROLLER: Role.CONTROL}

WITH_KEYS = (
    *(Assault(STRANGER, flood) for flood in ("connections", "noise", "strangers", "subscriptions", "endless")),
    *(Assault(VIEWER, flood) for flood in ("subscriptions", "endless", "frames", "triggers", "replays")),
    *(
        Assault(CONTROLLER, flood)
        for flood in ("subscriptions", "endless", "frames", "triggers", "replays", "acknowledgements")
    ),
)
WITHOUT_KEYS = tuple(
    Assault("anybody", flood)
    for flood in ("connections", "noise", "subscriptions", "endless", "frames", "trickle", "triggers", "replays")
)


@dataclass(frozen=True)
class Stand:
    """Measurements during one assault. Times in milliseconds, from exposure to the arrival of the verdict.

    `memory` is the station's largest resident memory, bytes. `joined` is the number of honest peers whose hello was
    answered, `joined_ms` the longest time until an answer, `turned_away` the number without an answer within 30 s.
    """

    who: str
    flood: str
    verdicts: int
    late: int
    p50_ms: float
    p99_ms: float
    memory: int
    joined: int
    joined_ms: float
    turned_away: int


@dataclass(frozen=True)
class Siege:
    """The measurements of each assault, the audit's problems, and the station's log."""

    stands: list[Stand]
    problems: list[str]
    log: list[str]

    @property
    def has_held(self) -> bool:
        """Whether nothing escaped or was lost, memory stayed bounded, and every honest peer was served."""
        return not self.shortcomings

    @property
    def shortcomings(self) -> list[str]:
        """What did not hold, one line each: the problems of the audit, and the limits that an assault exceeded."""
        rest = min(stand.memory for stand in self.stands if not stand.flood)
        found = list(self.problems)
        for stand in self.stands:
            where = f"{stand.who}, {stand.flood or 'undisturbed'}"
            if not stand.verdicts:
                found.append(f"{where}: no verdict")
            if not stand.joined or stand.turned_away:
                found.append(f"{where}: {stand.joined} peers joined, {stand.turned_away} were turned away")
            if stand.memory > MOST_MEMORY * rest:
                found.append(f"{where}: {stand.memory} bytes of memory, {rest} undisturbed")
        return found


def as_json(found: Siege) -> dict[str, object]:
    """The result as JSON-compatible data."""
    return {"held": found.has_held, "stands": [asdict(one) for one in found.stands], "problems": found.problems}


def siege(
    bundle: Path, show: Callable[[str], None], seconds: float, keyed: bool = True, assaults: tuple[Assault, ...] = ()
) -> Siege:
    """Attack a line of 600 parts per minute, for `seconds` per assault; the first and last run have no attacker.
    Without `assaults`, run all.

    Raises ChannelError if the line does not run at all.
    """
    quiet = Assault("nobody", "")
    assaults = assaults or (WITH_KEYS if keyed else WITHOUT_KEYS)
    with tempfile.TemporaryDirectory(prefix="edge-siege-") as folder, Scene(Path(folder), bundle, RATE, keyed) as scene:
        show("the line starts")
        if scene.until(lambda: scene.passes(0, SETTLED_PASSES), STARTING_S) is None:
            raise ChannelError(f"the line passed nothing within {STARTING_S:.0f} s: {scene.last_words()}")
        stands = []
        for assault in (quiet, *assaults, quiet):
            show(f"{assault.who}: {assault.flood}" if assault.flood else "undisturbed")
            stands.append(_stand(scene, assault, seconds, keyed))
        scene.stop()
        time.sleep(REST_S)
        report = audit(scene.records, scene.gate_log)
        return Siege(stands, [problem.text for problem in report.problems], scene.log.splitlines())


def _stand(scene: Scene, assault: Assault, seconds: float, keyed: bool) -> Stand:
    began_ns = time.monotonic_ns()
    memory = 0
    with ExitStack() as closing:
        if assault.flood:
            closing.enter_context(_attacking(scene, assault, keyed))
        joining = closing.enter_context(_Joining(scene, keyed))
        while (passed_s := (time.monotonic_ns() - began_ns) / 1e9) < seconds or (
            passed_s < LOGGED_WITHIN_S and not assault.is_logged(scene.log)
        ):
            memory = max(memory, scene.memory())
            time.sleep(LOOK_S)
    ended_ns = time.monotonic_ns()
    time.sleep(REST_S)
    heard = [
        (at_ns, message)
        for at_ns, message in list(scene.heard)
        if isinstance(message, Verdict) and began_ns <= at_ns < ended_ns
    ]
    ages = sorted((at_ns - verdict.timing.captured) / 1e6 for at_ns, verdict in heard)
    return Stand(
        who=assault.who,
        flood=assault.flood,
        verdicts=len(heard),
        late=sum(verdict.reason is Reason.LATE for _, verdict in heard),
        p50_ms=median(ages) if ages else 0.0,
        p99_ms=ages[min(len(ages) - 1, int(0.99 * len(ages)))] if ages else 0.0,
        memory=memory,
        joined=len(joining.took_ms),
        joined_ms=max(joining.took_ms, default=0.0),
        turned_away=joining.turned_away,
    )


@contextmanager
def _attacking(scene: Scene, assault: Assault, keyed: bool) -> Iterator[None]:
    keys = [str(_key_of(scene, assault))] if keyed else []
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "edge.drill.attacker", assault.flood, *scene.endpoints, *keys],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=die_with_parent,
    )
    try:
        yield
        if process.poll() is not None:
            raise ChannelError(f"the attacker that floods with {assault.flood} ended by itself: {process.returncode}")
    finally:
        process.kill()
        process.wait()


def _key_of(scene: Scene, assault: Assault) -> Path:
    """A new key for each attack, because a key that was cut for a limit must wait before it reconnects."""
    if assault.who == STRANGER:
        return scene.key_file(STRANGER)
    path = scene.admit(f"{assault.who}-{assault.flood}", ROLES[assault.who])
    time.sleep(REST_S)
    return path


class _Joining:
    """An honest peer with the gate's key that connects twice a second, sends a hello, waits for a message, and
    disconnects.
    """

    def __init__(self, scene: Scene, keyed: bool) -> None:
        self.took_ms: list[float] = []
        self.turned_away = 0
        self._verdicts, self._control, _ = scene.endpoints
        self._keys = read_client_keys(scene.key_file(GATE)) if keyed else None
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._join, daemon=True)

    def __enter__(self) -> "_Joining":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _join(self) -> None:
        with zmq.Context() as context:
            while not self._is_over.wait(JOIN_S):
                began_ns = time.monotonic_ns()
                if self._is_answered(context, zmq.DEALER, self._control) and self._is_answered(
                    context, zmq.SUB, self._verdicts
                ):
                    self.took_ms.append((time.monotonic_ns() - began_ns) / 1e6)
                else:
                    self.turned_away += 1

    def _is_answered(self, context: "zmq.Context[zmq.Socket[bytes]]", kind: int, endpoint: str) -> bool:
        """Whether a new connection receives a message within JOINED_WITHIN_S."""
        with context.socket(kind) as socket:
            socket.set(zmq.LINGER, 0)
            if self._keys is not None:
                secure(socket, self._keys)
            socket.connect(endpoint)
            if kind == zmq.SUB:
                socket.subscribe(b"")
            else:
                socket.send(Hello(client="newcomer").model_dump_json().encode())
            return bool(socket.poll(int(JOINED_WITHIN_S * 1000)))
