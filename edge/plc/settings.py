"""The settings of edge-plc: the `[plc]` table of a configuration file."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge.errors import ConfigError
from edge.gate import TRANSIT_MS
from edge.plc.handshake import HOLD_MS, Numbers
from edge.plc.registers import MOST_STATIONS
from edge.validation import plain

MODBUS = "127.0.0.1:5020"
"""Where the Modbus server listens unless told otherwise. The registered port, 502, needs privileges."""


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class StationTable(_Table):
    """A station: a table `[[plc.stations]]`, in the order of their blocks in the register map."""

    station: str
    connect: str = Field(description="endpoint of its verdicts")
    control: str | None = Field(default=None, description="its control endpoint; one port above if not given")
    keys: Path | None = Field(default=None, description="key file from edge-keys export")


class ModbusTable(_Table):
    """The Modbus TCP server: the table `[plc.modbus]`."""

    bind: str = Field(default=MODBUS, description="HOST:PORT, or PORT on loopback")
    insecure: bool = Field(default=False, description="an address of the network is meant; Modbus authenticates nobody")


class PlcSettings(_Table):
    """The table `[plc]`. Without `stations` those of the file itself are meant."""

    name: str = Field(default="plc1", description="name of this controller at the stations")
    numbers: Numbers = Field(
        default="order", description="whose numbers the parts have: order, or plc for its triggers"
    )
    transit_ms: float = Field(default=TRANSIT_MS, ge=0, le=60_000)
    hold_ms: float = Field(default=HOLD_MS, ge=0, le=60_000)
    allow_simulated: bool = False
    insecure: bool = Field(default=False, description="a station without keys is meant")
    log: Path | None = None
    stations: tuple[StationTable, ...] = Field(default=(), max_length=MOST_STATIONS)
    modbus: ModbusTable = ModbusTable()


def settings_of(said: dict[str, Any], origin: str) -> PlcSettings:
    """The settings of a `[plc]` table of the file `origin`. Raises ConfigError, in one line."""
    try:
        return PlcSettings.model_validate(said)
    except ValidationError as error:
        raise ConfigError(f"{origin}: [plc]: {plain(error, PlcSettings, 'the table')}") from error
