"""The kinds of actuators, and `find_actuator`, which picks one by its name."""

from importlib import import_module

from edge.errors import ActuatorError
from edge.gate.actuators.base import Actuator

KINDS = ("terminal", "modbus", "gpio")
"""Modules of this package. Each has its `KIND`, a class of actuators with the module's name."""


def find_actuator(name: str) -> tuple[type[Actuator], str]:
    """The kind of actuator that NAME or NAME:ADDRESS names, and the address. Raises ActuatorError if there is none."""
    kind, _, address = name.partition(":")
    if kind not in KINDS:
        raise ActuatorError(f"no such actuator: {name!r}; there are: {', '.join(KINDS)}")
    found: type[Actuator] = import_module(f"{__package__}.{kind}").KIND
    return found, address
