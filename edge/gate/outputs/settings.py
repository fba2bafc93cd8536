"""The file of an output: which coil or line is which, how long a pulse is, and where the module is."""

import tomllib
from collections import Counter
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge.errors import ActuatorError
from edge.gate.actuators.base import ActuatorRequest
from edge.validation import plain

Name = Literal["pass", "reject", "alive"]
"""`pass` is on while a part may pass, `reject` for a pulse for each part that is rejected; `alive` toggles."""

Word = Annotated[int, Field(ge=0, le=0xFFFF)]

_Outputs = TypeVar("_Outputs", bound="OutputSettings")


class OutputSettings(BaseModel):
    """What coils and lines have in common. Times are in milliseconds."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    pulse_ms: float = Field(ge=1, le=60_000, description="length of a part's window at the gate")
    delay_ms: float = Field(default=0.0, ge=0, le=60_000, description="from the decision, the lead before the gate")
    alive_ms: float = Field(default=500.0, ge=50, le=60_000, description="time between two changes of alive")
    timeout_ms: float = Field(default=200.0, ge=10, le=10_000, description="longest time of an answer")

    @property
    def least_spacing_ms(self) -> float:
        """The least time between two parts: `pass` is on after the end of a window for as long as two writes take."""
        return self.pulse_ms + 2 * self.timeout_ms


class ModbusSettings(OutputSettings):
    """A module whose coils are the outputs. `watchdog` is written, register by register, after each connect."""

    module: str = Field(pattern=r"^[^\s:]+:\d{1,5}$", description="HOST:PORT; the registered port is 502")
    unit: int = Field(default=1, ge=0, le=255)
    coils: dict[Name, Word]
    watchdog: tuple[tuple[Word, Word], ...] = Field(default=(), description="[register, value], in order")

    @model_validator(mode="after")
    def _are_outputs(self) -> Self:
        _check(dict(self.coils), "coils")
        if not 0 < int(self.module.rpartition(":")[2]) <= 0xFFFF:
            raise ValueError(f"module = {self.module!r}: a port is a number from 1 to 65535")
        return self


class GpioSettings(OutputSettings):
    """Lines of a GPIO chip, by number or name. With `active_low` an output that is on has the low level."""

    chip: str = Field(description="such as /dev/gpiochip0")
    lines: dict[Name, Annotated[int, Field(ge=0)] | str]
    active_low: bool = False

    @property
    def least_spacing_ms(self) -> float:
        """The pulse: a line is switched at once."""
        return self.pulse_ms

    @model_validator(mode="after")
    def _are_outputs(self) -> Self:
        _check(dict(self.lines), "lines")
        return self


def _check(outputs: dict[Name, int] | dict[Name, int | str], name: str) -> None:
    if "pass" not in outputs:
        raise ValueError(f"{name} has no pass: it is the output that must be on for a part to pass")
    places = Counter(map(str, outputs.values()))
    if twice := next((place for place, count in places.items() if count > 1), None):
        raise ValueError(f"{name} names {twice} twice; each output has its own")


def read(kind: type[_Outputs], request: ActuatorRequest) -> _Outputs:
    """The settings in a TOML file, the address of `--actuator`. Raises ActuatorError, in one line."""
    settings = _parse(kind, request.address)
    if request.lead_ms is not None and settings.delay_ms >= request.lead_ms:
        raise ActuatorError(
            f"{request.address}: delay_ms = {settings.delay_ms:g} is not less than the lead of {request.lead_ms:g} ms: "
            "each part would be at the gate before its window; lower delay_ms or raise --lead-ms"
        )
    return settings


def _parse(kind: type[_Outputs], file: str) -> _Outputs:
    if not file:
        raise ActuatorError("an output needs its file, such as --actuator modbus:outputs.toml")
    try:
        return kind.model_validate(tomllib.loads(Path(file).read_text(encoding="utf-8-sig")))
    except OSError as error:
        raise ActuatorError(f"{file}: cannot be read ({error.strerror}); docs/guide/outputs.md shows one") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ActuatorError(f"{file}: not TOML: {error}") from error
    except ValidationError as error:
        raise ActuatorError(f"{file}: {plain(error, kind)}") from error
