"""The faults of the drill, all of them real."""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import zmq

from edge.channel.asking import RefusedError, ask
from edge.channel.control_messages import (
    AskCandidate,
    CandidateState,
    LoadBundle,
    ProductSelected,
    Reply,
    Request,
    SelectProduct,
    Stage,
)
from edge.channel.limits import LARGEST_REQUEST
from edge.drill.plc_side import PlcSide
from edge.drill.scene import DAMAGED, PRODUCTS, Scene

NONSENSE = 20_000
NO_PRODUCT = 9
"""A number that no product has."""

BETWEEN_S, PATIENCE_S = 0.5, 20.0

Place = TypeVar("Place", Scene, PlcSide)


@dataclass(frozen=True)
class Fault(Generic[Place]):
    """`inject` causes the fault; after `lasts_s` seconds `lift` ends it, if it does not end by itself.

    The place is the station with its gate, or edge-plc with its PLC; whoever stands there decides the parts of the row.
    `is_felt` False: the line must continue without any effect. `blinds`: it cannot be noticed there before its end.
    """

    name: str
    inject: Callable[[Place], None]
    lift: Callable[[Place], None] = lambda place: None
    lasts_s: float = 0.0
    is_felt: bool = True
    blinds: bool = False


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


def _asked(scene: Scene, request: Request) -> Reply | str:
    """The station's answer, or why it refuses."""
    try:
        return ask(scene.control.endpoint, request)
    except RefusedError as error:
        return str(error)


def _change_over(scene: Scene) -> None:
    for product in (*PRODUCTS[1:], PRODUCTS[0]):
        answer = _asked(scene, SelectProduct(product=product, by="drill"))
        if not isinstance(answer, ProductSelected):
            scene.complaints.append(f"changeover to {product}: {answer}")
        time.sleep(BETWEEN_S)


def _change_over_to_nothing(scene: Scene) -> None:
    answer = _asked(scene, SelectProduct(number=NO_PRODUCT, by="drill"))
    if not (isinstance(answer, str) and "there is no product" in answer):
        scene.complaints.append(f"changeover to product {NO_PRODUCT}, which is not there: {answer}")


def _change_over_without_model(scene: Scene) -> None:
    scene.kill("edge-inference", signal.SIGKILL)
    for product in PRODUCTS[1:]:
        _asked(scene, SelectProduct(product=product, by="drill"))


def _back_to_first(scene: Scene) -> None:
    ends = time.monotonic() + PATIENCE_S
    while isinstance(answer := _asked(scene, SelectProduct(product=PRODUCTS[0], by="drill")), str):
        if time.monotonic() > ends:
            scene.complaints.append(f"changeover to {PRODUCTS[0]} after the model's restart: {answer}")
            return
        time.sleep(BETWEEN_S)


def _load_damaged(scene: Scene) -> None:
    answer, ends = _asked(scene, LoadBundle(bundle=DAMAGED, by="drill")), time.monotonic() + PATIENCE_S
    while isinstance(answer, CandidateState) and answer.stage is Stage.LOADING and time.monotonic() < ends:
        time.sleep(BETWEEN_S)
        answer = _asked(scene, AskCandidate())
    is_refused = isinstance(answer, CandidateState) and answer.stage is Stage.REFUSED
    if not (is_refused and "SHA-256" in str(getattr(answer, "why", None))):
        scene.complaints.append(f"a damaged bundle was not refused: {answer}")


def _kill_edge_plc(side: PlcSide) -> None:
    side.process.kill()
    side.process.wait()


def _signal_edge_plc(number: signal.Signals) -> Callable[[PlcSide], None]:
    return lambda side: side.process.send_signal(number)


def _set_plc(flag: str, value: int) -> Callable[[PlcSide], None]:
    return lambda side: setattr(side.plc, flag, value)


FAULTS: tuple[Fault[Scene], ...] = (
    Fault("inference process killed", _child("edge-inference", signal.SIGKILL)),
    Fault("inference process frozen", _child("edge-inference", signal.SIGSTOP)),
    Fault("capture process killed", _child("edge-capture", signal.SIGKILL)),
    Fault("capture process frozen", _child("edge-capture", signal.SIGSTOP)),
    Fault("archive process killed", _child("edge-archive", signal.SIGKILL), is_felt=False),
    Fault("nonsense on the control socket", _flood, is_felt=False),
    Fault("changeover and back", _change_over, is_felt=False),
    Fault("changeover to a product that is not there", _change_over_to_nothing, is_felt=False),
    Fault("changeover while the inference process is killed", _change_over_without_model, _back_to_first),
    Fault("damaged bundle loaded", _load_damaged, is_felt=False),
    Fault("network cut for 3 s, then all at once", _partition, _flush, 3.0),
    Fault("connections reset", _cut),
    Fault("network slow by 400 ms for 3 s", _delay(400), _delay(0), 3.0),
    Fault("station frozen for 2 s", _signal_station(signal.SIGSTOP), _signal_station(signal.SIGCONT), 2.0),
    Fault("station killed, started again", _kill_station, Scene.start, 1.0),
)  # fmt: skip

PLC_FAULTS: tuple[Fault[PlcSide], ...] = (
    Fault("edge-plc killed, started again", _kill_edge_plc, PlcSide.start, 0.5),
    Fault("edge-plc frozen for 1 s", _signal_edge_plc(signal.SIGSTOP), _signal_edge_plc(signal.SIGCONT), 1.0),
    Fault("PLC silent for 1 s", _set_plc("is_silent", True), _set_plc("is_silent", False), 1.0, blinds=True),
    Fault("PLC acknowledges a wrong number for 1 s", _set_plc("acknowledges_wrong", True),
          _set_plc("acknowledges_wrong", False), 1.0),
    Fault("PLC asks for a product that is not there for 1 s", _set_plc("wanted", NO_PRODUCT), _set_plc("wanted", 0),
          1.0),
    Fault("registers read in slices for 1 s", _set_plc("reads_slices", True), _set_plc("reads_slices", False), 1.0,
          is_felt=False),
    Fault("PLC's network cut for 1 s, then all at once", lambda side: side.network.partition(),
          lambda side: side.network.flush(), 1.0),
    Fault("PLC's connection reset", lambda side: side.network.cut()),
)  # fmt: skip
"""In order, with everything back before the next one."""
