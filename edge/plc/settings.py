"""The settings of edge-plc: the `[plc]` table of a configuration file."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge.errors import ConfigError, KeyFileError
from edge.gate import TRANSIT_MS
from edge.plc.handshake import HOLD_MS, Numbers
from edge.plc.registers import MOST_STATIONS
from edge.security import key_file
from edge.validation import plain

MODBUS = "127.0.0.1:5020"
"""Where the Modbus server listens unless told otherwise. The registered port, 502, needs privileges."""


OPCUA = "127.0.0.1:4840"
"""Where the OPC UA server listens unless told otherwise: the registered port."""


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


class BrokerTable(_Table):
    """An MQTT broker: what the tables `[plc.mqtt]` and `[plc.sparkplug]` share."""

    broker: str = Field(description="HOST or HOST:PORT")
    user: str | None = None
    password_file: Path | None = None
    ca: Path | None = Field(default=None, description="certificates in PEM that the broker's must be signed by: TLS")
    cert: Path | None = Field(default=None, description="this client's own certificate")
    key: Path | None = Field(default=None, description="the key of cert")
    insecure: bool = Field(default=False, description="a broker on the network without TLS is meant")
    records: dict[str, Path] = Field(default={}, description="folder of the records of each station, by its name")
    cursor: Path | None = Field(default=None, description="file that says how far the broker has the records")


class MqttTable(BrokerTable):
    """States and verdicts on plain topics: the table `[plc.mqtt]`."""

    topic: str = Field(default="edge", pattern=r"^[^#+\x00]{1,200}$", description="what all topics begin with")


SparkplugId = Annotated[str, Field(pattern=r"^[^#+/\x00]{1,200}$")]
"""What stands in a topic of Sparkplug between two slashes."""


class SparkplugTable(BrokerTable):
    """An edge node of Sparkplug B: the table `[plc.sparkplug]`."""

    group: SparkplugId = Field(default="edge", description="the group's id")
    node: SparkplugId | None = Field(default=None, description="the edge node's id; the name of [plc] if not given")
    host: SparkplugId | None = Field(
        default=None, description="id of the primary host application: nothing is published while it is offline"
    )


class OpcuaTable(_Table):
    """The OPC UA server: the table `[plc.opcua]`."""

    bind: str = Field(default=OPCUA, description="HOST:PORT, or PORT on loopback; the network needs all keys below")
    cert: Path | None = Field(default=None, description="the server's certificate in PEM or DER: Basic256Sha256")
    key: Path | None = Field(default=None, description="the key of cert")
    trusted: Path | None = Field(default=None, description="folder of the certificates of clients that may connect")
    user: str | None = Field(default=None, min_length=1)
    password_file: Path | None = None


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
    mqtt: MqttTable | None = None
    sparkplug: SparkplugTable | None = None
    opcua: OpcuaTable | None = None


def settings_of(said: dict[str, Any], origin: str) -> PlcSettings:
    """The settings of a `[plc]` table of the file `origin`. Raises ConfigError, in one line."""
    try:
        return PlcSettings.model_validate(said)
    except ValidationError as error:
        raise ConfigError(f"{origin}: [plc]: {plain(error, PlcSettings, 'the table')}") from error


def read_password(file: Path | None, purpose: str) -> str | None:
    """The password in `file`, None without a file. `purpose` says in errors what the password is for.

    Raises ConfigError if the file cannot be read, KeyFileError if other users can access it.
    """
    if file is None:
        return None
    try:
        content, mode = key_file.read(file)
        password = content.decode().strip()
    except (KeyFileError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read; it holds the password {purpose}") from error
    key_file.refuse_shared(file, mode)
    return password
