"""Makes the bridge that edge-plc runs from the command's options and the `[plc]` table of its file."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.channel.client_security import read_client_keys
from edge.channel.control_messages import check_name, check_station_name
from edge.channel.endpoints import STATION, VERDICTS
from edge.cli.gate_controller import check_keys
from edge.errors import ConfigError
from edge.gate.station_link import Endpoint
from edge.plc.settings import PlcSettings, StationTable, settings_of

if TYPE_CHECKING:
    from edge.plc.bridge import Bridge
    from edge.plc.mqtt import MqttPublisher
    from edge.plc.opcua import OpcuaServer
    from edge.plc.process_image import Entry
    from edge.plc.settings import BrokerTable, OpcuaTable
    from edge.plc.sparkplug import SparkplugNode
    from edge.plc.tag_writer import TagWriter


def read_settings(file: Path | None, flags: dict[str, Any]) -> PlcSettings:
    """The `[plc]` table of the file, overridden by the flags that are not None; with the stations that are meant.

    The flags `station`, `connect`, `control` and `keys` name one station in place of those of the file, `modbus` and
    `insecure_modbus` the table `[plc.modbus]`. Raises ConfigError, in one line.
    """
    said = dict(_table(file))
    given = {key: value for key, value in flags.items() if value is not None}
    one = {key: given.pop(key) for key in ("station", "connect", "control", "keys") if key in given}
    modbus = {"bind": given.pop("modbus", None), "insecure": given.pop("insecure_modbus", None)}
    if said.get("modbus") is None or isinstance(said["modbus"], dict):
        said["modbus"] = said.get("modbus", {}) | {key: value for key, value in modbus.items() if value is not None}
    if one or (file is None):
        said["stations"] = [{"station": STATION, "connect": VERDICTS} | one]
    settings = settings_of(said | given, str(file) if file else "the options")
    if file is not None:
        settings = _found(settings, file, given)
    return settings if settings.stations else settings.model_copy(update={"stations": _stations_of(file)})


def _table(file: Path | None) -> dict[str, Any]:
    from edge.station.config.toml_reading import PLC, parsed

    said = {} if file is None else parsed(file).get(PLC, {})
    if not isinstance(said, dict):
        raise ConfigError(f"{file}: plc = {said!r} is no table; write [plc] above its keys")
    return said


def _found(settings: PlcSettings, file: Path, given: dict[str, Any]) -> PlcSettings:
    """The settings with the file's paths relative to its folder."""
    stations = tuple(
        one if one.keys is None or "keys" in given else one.model_copy(update={"keys": _beside(file, one.keys)})
        for one in settings.stations
    )
    log = settings.log if settings.log is None or "log" in given else _beside(file, settings.log)
    buses = {
        "mqtt": _found_broker(settings.mqtt, file),
        "sparkplug": _found_broker(settings.sparkplug, file),
        "opcua": _found_opcua(settings.opcua, file),
    }
    return settings.model_copy(update={"stations": stations, "log": log, **buses})


def _beside(file: Path, path: Path) -> Path:
    """A path of the file, from the file's folder if it is relative; ~ is the user's home."""
    return file.parent / path.expanduser()


def _found_broker(table: "BrokerTable | None", file: Path) -> "BrokerTable | None":
    if table is None:
        return None
    paths = {key: getattr(table, key) for key in ("password_file", "ca", "cert", "key", "cursor")}
    found: dict[str, Any] = {key: _beside(file, path) for key, path in paths.items() if path is not None}
    found["records"] = {station: _beside(file, folder) for station, folder in table.records.items()}
    return table.model_copy(update=found)


def _found_opcua(table: "OpcuaTable | None", file: Path) -> "OpcuaTable | None":
    if table is None:
        return None
    paths = {key: getattr(table, key) for key in ("cert", "key", "trusted", "password_file")}
    return table.model_copy(update={key: _beside(file, path) for key, path in paths.items() if path is not None})


def _stations_of(file: Path | None) -> tuple[StationTable, ...]:
    """The stations that edge-run starts from this file. Raises ConfigError."""
    from edge.station.config.layout import layout

    stations = [one.settings for one in layout(file, {}).stations]
    return tuple(StationTable(station=one.station, connect=one.bind, control=one.control) for one in stations)


def open_bridge(
    settings: PlcSettings, show: Callable[[str, "Entry"], None], tell: Callable[[str], None], until: ExitStack
) -> "Bridge":
    """The bridge and its Modbus server, which runs. `show` is called with each entry after it is in the log, `tell`
    with the server's endpoint; `until` closes everything, the server first.

    Raises ChannelError, KeyFileError, RecordsError, in one line.
    """
    from edge.plc.bridge import Bridge, StationAt
    from edge.plc.handshake import HandshakeRules
    from edge.plc.log import PlcLog
    from edge.plc.modbus_server import ModbusServer

    check_name(settings.name)
    stations = [StationAt(one.station, _endpoint(one, settings.insecure)) for one in settings.stations]
    book = None if settings.log is None else PlcLog(settings.log)
    if book is not None:
        until.callback(book.close)

    readers: list[Callable[[str, Entry], None]] = []

    def log(station: str, entry: "Entry") -> None:
        if book is not None:
            book.write(station, settings.numbers, entry)
        for read in readers:
            read(station, entry)
        show(station, entry)

    rules = HandshakeRules(settings.numbers, settings.transit_ms, settings.hold_ms, settings.allow_simulated)
    bridge = Bridge(stations, settings.name, rules, log, settings.insecure)
    until.callback(bridge.close)
    publisher, sparkplug = _publisher(settings, bridge), _sparkplug(settings, bridge)
    opcua, tags = _opcua(settings, bridge), _tags(settings, bridge)
    server = ModbusServer(bridge.board, settings.modbus.bind, settings.modbus.insecure)
    if opcua is not None:
        readers.append(opcua.enter)
        until.callback(opcua.close)
        opcua.start()
    for thread in (publisher, sparkplug, tags):
        if thread is not None:
            until.callback(thread.close)
            thread.start()
    if tags is not None:
        bridge.need(tags)
    until.callback(server.close)
    server.start()
    bridge.need(server)
    tell(server.endpoint)
    return bridge


def _publisher(settings: PlcSettings, bridge: "Bridge") -> "MqttPublisher | None":
    if settings.mqtt is None:
        return None
    from edge.plc.mqtt import MqttPublisher

    return MqttPublisher(bridge.board, [one.station for one in settings.stations], settings.name, settings.mqtt)


def _sparkplug(settings: PlcSettings, bridge: "Bridge") -> "SparkplugNode | None":
    table = settings.sparkplug
    if table is None:
        return None
    from edge.plc.sparkplug import SparkplugNode

    if settings.mqtt is not None and table.cursor is not None and table.cursor == settings.mqtt.cursor:
        raise ConfigError("[plc.sparkplug]: cursor is that of [plc.mqtt]; give another file")
    return SparkplugNode(bridge.board, [one.station for one in settings.stations], settings.name, table)


def _opcua(settings: PlcSettings, bridge: "Bridge") -> "OpcuaServer | None":
    if settings.opcua is None:
        return None
    from edge.plc.opcua import OpcuaServer
    from edge.plc.settings import check_private_key

    names = [one.station for one in settings.stations]
    heard = lambda: [(one.heartbeat, one.bundle) for one in bridge.handshakes]  # noqa: E731
    server = OpcuaServer(bridge.board, names, heard, settings.opcua)
    check_private_key(settings.opcua.key)
    return server


def _tags(settings: PlcSettings, bridge: "Bridge") -> "TagWriter | None":
    if settings.s7 is None and settings.logix is None:
        return None
    from edge.plc.tag_writer import TagWriter

    if settings.logix is None:
        assert settings.s7 is not None
        from edge.plc.s7 import S7Memory

        return TagWriter(bridge.board, S7Memory(settings.s7), "S7", settings.s7)
    if settings.s7 is not None:
        raise ConfigError("[plc.s7] and [plc.logix] were given; give one: a result is acknowledged by one PLC")
    from edge.plc.logix import LogixMemory

    return TagWriter(bridge.board, LogixMemory(settings.logix), "Logix", settings.logix)


def _endpoint(one: StationTable, insecure: bool) -> Endpoint:
    check_station_name(one.station)
    keys = None if one.keys is None else read_client_keys(one.keys)
    endpoint = Endpoint.of(one.connect, one.control, keys)
    check_keys(endpoint, insecure)
    return endpoint
