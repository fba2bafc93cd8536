"""Lines of this machine's GPIO: `--actuator gpio:FILE`."""

from edge.gate.actuators.base import ActuatorRequest
from edge.gate.outputs.actuator import DigitalOutputs
from edge.gate.outputs.lines import GpioLines
from edge.gate.outputs.settings import GpioSettings, read


class Gpio(DigitalOutputs):
    """Lines of one chip."""

    name = "gpio"

    @classmethod
    def open(cls, request: ActuatorRequest) -> "Gpio":
        """See `Actuator.open`."""
        settings = read(GpioSettings, request)
        return cls.started(GpioLines(settings), tuple(settings.lines), settings)


KIND = Gpio
