"""Creates the controller of edge-gate from the command's options: endpoints, keys, belt, actuators."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from edge.channel.client_security import read_client_keys
from edge.channel.control_messages import check_name, check_station_name
from edge.errors import ActuatorError, ChannelError
from edge.gate.actuation import Actuation
from edge.gate.actuators.base import ActuatorRequest
from edge.gate.actuators.registry import find_actuator
from edge.gate.belt import Belt, EncoderBelt, SteadyBelt
from edge.gate.client import Controller, Endpoint
from edge.gate.gate import Rules
from edge.gate.log import GateLog
from edge.security.loopback import is_loopback

ReadEncoder = Callable[[int], None] | None


@dataclass(frozen=True)
class Asked:
    """The options of edge-gate that determine the controller; see the command's help."""

    connect: list[str]
    control: list[str]
    keys: list[Path]
    insecure: bool
    station: str
    name: str
    travel_ms: float
    travel_pulses: int | None
    pulses_per_s: float
    lead_ms: float
    transit_ms: float
    allow_simulated: bool
    log: Path | None
    actuators: list[str]
    as_json: bool


def endpoints_of(asked: Asked) -> list[Endpoint]:
    """The station's endpoints. Raises ChannelError if one is open to the network without keys or `--insecure`."""
    connect, control, keys = asked.connect, asked.control, asked.keys
    if control and len(control) != len(connect):
        raise ChannelError(f"{len(control)} --control for {len(connect)} --connect; give one for each, or none")
    if keys and len(keys) != len(connect):
        raise ChannelError(f"{len(keys)} --keys for {len(connect)} --connect; give one for each, or none")
    endpoints = [
        Endpoint.of(verdicts, control[index] if control else None, read_client_keys(keys[index]) if keys else None)
        for index, verdicts in enumerate(connect)
    ]
    for endpoint in endpoints:
        check_keys(endpoint, asked.insecure)
    return endpoints


def open_controller(
    asked: Asked, endpoints: list[Endpoint], show: Callable[[str], None], until: ExitStack
) -> Controller:
    """Create the controller and open its actuators. `show` prints a text. `until` closes everything, actuators first.

    Raises ChannelError, ActuatorError or RecordsError, in one line, before an actuator moves.
    """
    check_name(asked.name)
    check_station_name(asked.station)
    if asked.travel_pulses is None and asked.lead_ms + asked.transit_ms >= asked.travel_ms:
        raise ChannelError(
            f"--lead-ms {asked.lead_ms:g} and --transit-ms {asked.transit_ms:g} leave nothing of --travel-ms "
            f"{asked.travel_ms:g} for the station's budget: no part could pass"
        )
    belt, read_encoder = _belt(asked)
    if twice := next((name for name in asked.actuators if asked.actuators.count(name) > 1 and ":" in name), None):
        raise ActuatorError(f"--actuator {twice} is given twice: its outputs would be switched by both; leave one out")
    kinds = [find_actuator(name) for name in asked.actuators]
    is_trial = asked.insecure or not any(kind.is_real_output for kind, _ in kinds)
    book = GateLog(asked.log) if asked.log else None
    if book is not None:
        until.callback(book.close)
    actuation = Actuation()
    rules = Rules(transit_ms=asked.transit_ms, allow_simulated=asked.allow_simulated)
    controller = Controller(
        endpoints, asked.station, asked.name, belt, actuation, rules, book, read_encoder, allow_insecure=is_trial
    )
    until.callback(controller.close)
    until.callback(actuation.close)
    for kind, address in kinds:
        actuation.add(kind.open(ActuatorRequest(address, show, asked.as_json, _lead_ms(asked))))
    return controller


def check_keys(endpoint: Endpoint, insecure: bool) -> None:
    """Raise ChannelError if the endpoint is open to the network without keys or `--insecure`."""
    urls = [urlsplit(one) for one in (endpoint.verdicts, endpoint.control)]
    if not all(url.scheme in ("tcp", "ipc") for url in urls):
        raise ChannelError(f"{endpoint.verdicts!r} is no endpoint; one looks like tcp://127.0.0.1:5570")
    is_local = all(url.scheme == "ipc" or is_loopback(url.hostname or "") for url in urls)
    if not (endpoint.is_authentic or insecure or is_local):
        raise ChannelError(
            f"{endpoint.verdicts}: without keys anybody on the network can speak as the station; say --keys FILE, "
            "or --insecure if that is meant"
        )


def _belt(asked: Asked) -> tuple[Belt, ReadEncoder]:
    """The belt, and the function that reads its encoder, None without one."""
    if asked.travel_pulses is None:
        return SteadyBelt(asked.travel_ms, asked.lead_ms), None
    belt = EncoderBelt(asked.travel_pulses, _lead_pulses(asked))
    began = time.monotonic_ns()
    return belt, lambda now: belt.sample(now, int((now - began) / 1e9 * asked.pulses_per_s))


def _lead_pulses(asked: Asked) -> int:
    return int(asked.lead_ms / 1e3 * asked.pulses_per_s)


def _lead_ms(asked: Asked) -> float:
    """The time from a decision to the part's arrival. The encoder is simulated: its speed does not change."""
    return asked.lead_ms if asked.travel_pulses is None else _lead_pulses(asked) / asked.pulses_per_s * 1e3
