"""The base class of the actuators with digital outputs: it gives the decisions to the driver's thread."""

from typing import Self

from edge.gate.actuators.base import Actuator
from edge.gate.decision import Decision
from edge.gate.outputs.driver import OutputDriver, Port
from edge.gate.outputs.settings import Name, OutputSettings


class DigitalOutputs(Actuator):
    """Outputs that a driver switches. The output `pass` is off at rest and on while a part may pass."""

    def __init__(self, driver: OutputDriver) -> None:
        """The driver runs."""
        self._driver = driver

    @classmethod
    def started(cls, port: Port, names: tuple[Name, ...], settings: OutputSettings) -> Self:
        """The actuator with its outputs reached and off. Raises ActuatorError, in one line."""
        driver = OutputDriver(port, names, settings)
        driver.start()
        return cls(driver)

    def pass_part(self, decision: Decision) -> None:
        """Add the part's window: `pass` is on in it."""
        self._driver.decide(decision)

    def reject(self, decision: Decision) -> None:
        """Add the part's window: `pass` is off in it, `reject` on."""
        self._driver.decide(decision)

    def check(self) -> str | None:
        """Why the outputs cannot follow now."""
        return self._driver.check()

    def separates(self, due_ns: int, next_due_ns: int | None) -> bool:
        """Whether the windows of these parts, and of those rejected so far, do not overlap."""
        return self._driver.separates(due_ns, next_due_ns)

    @property
    def remarks(self) -> tuple[str, ...]:
        """A line if parts come too close for the pulse and the timeout."""
        return self._driver.remarks

    def safe(self, reason: str) -> None:
        """Switch `pass` off for good; `alive` no longer changes."""
        self._driver.safe()

    def close(self) -> None:
        """Switch all off and release the outputs."""
        self._driver.close()
