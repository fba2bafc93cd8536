"""The faults of the drill, all of them real."""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

import zmq

from edge.channel.limits import LARGEST_REQUEST
from edge.drill.scene import Scene

NONSENSE = 20_000


@dataclass(frozen=True)
class Fault:
    """`inject` causes the fault; after `lasts_s` seconds `lift` ends it, if it does not end by itself.

    `is_felt` False: the line must continue without any effect.
    """

    name: str
    inject: Callable[[Scene], None]
    lift: Callable[[Scene], None] = lambda scene: None
    lasts_s: float = 0.0
    is_felt: bool = True


def _kill_station(scene: Scene) -> None:
    scene.process.kill()
    scene.process.wait()


def _partition(scene: Scene) -> None:
    scene.verdicts.partition()
    scene.control.partition()


def _flush(scene: Scene) -> None:
    scene.verdicts.flush()
    scene.control.flush()


def _cut(scene: Scene) -> None:
    scene.verdicts.cut()
    scene.control.cut()


def _delay(ms: float) -> Callable[[Scene], None]:
    def set_delay(scene: Scene) -> None:
        scene.verdicts.delay(ms)
        scene.control.delay(ms)

    return set_delay


def _child(name: str, number: signal.Signals) -> Callable[[Scene], None]:
    return lambda scene: scene.kill(name, number)


def _flood(scene: Scene) -> None:
    """Send invalid messages to the control socket as fast as it accepts them."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.set(zmq.LINGER, 0)
        socket.connect(scene.control.endpoint)
        for number in range(NONSENSE):
            socket.send(b"\xff" * (number % LARGEST_REQUEST))
            if number % 1000 == 0:
                time.sleep(0.01)


def _signal_station(number: signal.Signals) -> Callable[[Scene], None]:
    return lambda scene: scene.process.send_signal(number)


FAULTS = (
    Fault("inference process killed", _child("edge-inference", signal.SIGKILL)),
    Fault("inference process frozen", _child("edge-inference", signal.SIGSTOP)),
    Fault("capture process killed", _child("edge-capture", signal.SIGKILL)),
    Fault("capture process frozen", _child("edge-capture", signal.SIGSTOP)),
    Fault("archive process killed", _child("edge-archive", signal.SIGKILL), is_felt=False),
    Fault("nonsense on the control socket", _flood, is_felt=False),
    Fault("network cut for 3 s, then all at once", _partition, _flush, 3.0),
    Fault("connections reset", _cut),
    Fault("network slow by 400 ms for 3 s", _delay(400), _delay(0), 3.0),
    Fault("station frozen for 2 s", _signal_station(signal.SIGSTOP), _signal_station(signal.SIGCONT), 2.0),
    Fault("station killed, started again", _kill_station, Scene.start, 1.0),
)
