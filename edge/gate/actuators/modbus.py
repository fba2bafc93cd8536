"""Coils of a relay or output module over Modbus TCP: `--actuator modbus:FILE`."""

from edge.gate.actuators.base import ActuatorRequest
from edge.gate.outputs.actuator import DigitalOutputs
from edge.gate.outputs.coils import ModbusCoils
from edge.gate.outputs.settings import ModbusSettings, read


class Modbus(DigitalOutputs):
    """The coils of one module."""

    name = "modbus"

    @classmethod
    def open(cls, request: ActuatorRequest) -> "Modbus":
        """See `Actuator.open`."""
        settings = read(ModbusSettings, request)
        return cls.started(ModbusCoils(settings), tuple(settings.coils), settings)


KIND = Modbus
