"""Lines of a GPIO chip, with libgpiod's package `gpiod` (extra `plc`)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from edge.gate.outputs.settings import GpioSettings, Name

if TYPE_CHECKING:
    from gpiod import LineRequest


class GpioLines:
    """Lines of one chip. `open` and `write` raise OSError or ValueError if the kernel refuses."""

    def __init__(self, settings: GpioSettings) -> None:
        """Nothing is requested before `open`. Raises ModuleNotFoundError without the package."""
        import gpiod  # noqa: F401

        self._settings = settings
        self._request: LineRequest | None = None
        self.name = f"the lines of {settings.chip}"

    def open(self) -> None:
        """Request the lines as outputs that are off."""
        import gpiod
        from gpiod.line import Direction, Value

        off = gpiod.LineSettings(
            direction=Direction.OUTPUT, active_low=self._settings.active_low, output_value=Value.INACTIVE
        )
        lines = tuple(self._settings.lines.values())
        self._request = gpiod.request_lines(self._settings.chip, config={lines: off}, consumer="edge-gate")

    def write(self, outputs: Mapping[Name, bool]) -> None:
        """Switch these outputs."""
        from gpiod.line import Value

        assert self._request is not None
        lines = self._settings.lines
        self._request.set_values(
            {lines[name]: Value.ACTIVE if is_on else Value.INACTIVE for name, is_on in outputs.items()}
        )

    def close(self) -> None:
        """Release the lines. The kernel's driver of the chip determines which level they have then."""
        if self._request is not None:
            self._request.release()
            self._request = None
