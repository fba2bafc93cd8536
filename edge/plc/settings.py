"""The settings of edge-plc: the `[plc]` table of a configuration file."""

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge.errors import ConfigError, KeyFileError
from edge.gate import TRANSIT_MS
from edge.plc.handshake import HOLD_MS, Numbers
from edge.plc.registers import MOST_STATIONS
from edge.security import key_file
from edge.security.loopback import is_loopback
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


class TagsTable(_Table):
    """A PLC into whose memory edge-plc writes: what `[plc.s7]` and `[plc.logix]` have in common."""

    address: str = Field(description="HOST or HOST:PORT of the PLC")
    period_ms: float = Field(default=20, ge=5, le=100, description="from one exchange to the next")
    timeout_ms: float = Field(default=200, ge=20, le=250, description="how long one request may take")
    insecure: bool = Field(default=False, description="a PLC on the network is meant; it authenticates nobody")
    kind: bool = Field(default=False, description="write the word 40, kind, too: the memory must be as long")


class S7Table(TagsTable):
    """A Siemens S7 CPU: the table `[plc.s7]`."""

    rack: int = Field(default=0, ge=0, le=7)
    slot: int = Field(default=1, ge=0, le=31, description="1 for S7-1200 and S7-1500, 2 for S7-300")
    db: int = Field(ge=1, le=60_000, description="data block of the first station; the next ones follow")


class LogixTable(TagsTable):
    """A Rockwell Logix CPU: the table `[plc.logix]`."""

    slot: int = Field(default=0, ge=0, le=31, description="of the CPU in its chassis")
    tag: str = Field(
        default="Edge", pattern=r"^(Program:\w{1,40}\.)?[A-Za-z]\w{0,25}$", description="what the tags begin with"
    )


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
    s7: S7Table | None = None
    logix: LogixTable | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [one.station for one in self.stations]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"two [[plc.stations]] have the name {twice[0]!r}; give each station a name of its own")
        host = self.modbus.bind.rpartition(":")[0].strip("[]") or "127.0.0.1"
        if self.modbus.insecure and not is_loopback(host) and (self.s7 or self.logix):
            table = "[plc.s7]" if self.s7 else "[plc.logix]"
            raise ValueError(
                f"{table} and Modbus on the network, at {self.modbus.bind}: two PLCs would write the signals of one "
                f"handshake; let Modbus listen on 127.0.0.1, or take {table} out"
            )
        return self


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


def check_private_key(file: Path | None) -> None:
    """Raise KeyFileError, in one line, if the file cannot be read or other users can access it."""
    if file is not None:
        _, mode = key_file.read(file)
        key_file.refuse_shared(file, mode)
