"""The stations of a configuration file: one `[[stations]]` table each. Keys above the tables apply to all stations."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from edge.channel.endpoints import CONTROL, VIEWERS, further, neighbour_endpoint
from edge.errors import ConfigError
from edge.sources import kind_of
from edge.station.config.layers import Effective, Origin, merged
from edge.station.config.resolved import StationConfig
from edge.station.config.settings import Settings, about, flag
from edge.station.config.toml_reading import TABLES, checked, read
from edge.station.config.toml_writing import as_line, as_toml

OWN = ("source", "control", "viewers", "envelope")
"""Keys that need a different value for each station. A flag cannot set them for several stations."""


class Layout(NamedTuple):
    """The settings of all stations, and the settings in common; without tables the only station has those in common."""

    common: Effective
    stations: tuple[Effective, ...]
    has_tables: bool


def layout(file: Path | None, flags: dict[str, Any]) -> Layout:
    """The settings of each station: defaults, overridden by the file, then by the station's table, then by the flags.

    Unless a table sets `bind`, the verdicts of each further station are three ports after those of the previous one.
    Unless it sets `records`, the records are in a folder with the station's name below the common folder. The flag
    `--station` selects a single station. Raises ConfigError, in one line with the key and the remedy.
    """
    said = {} if file is None else read(file)
    if file is None or TABLES not in said:
        common = merged([] if file is None else [(checked(file, said), str(file))], flags)
        return Layout(common, (common,), has_tables=False)
    tables = _tables(file, said.pop(TABLES))
    above = checked(file, said)
    if "station" in above:
        raise ConfigError(f"{file}: station = {above['station']!r} stands above the tables; say it in each of them")
    common = merged([(above, str(file))], flags if flags.get("station") is None else {})
    chosen = _chosen(file, tables, flags)
    return Layout(common, tuple(_station(file, above, tables, number, flags) for number in chosen), has_tables=True)


def _tables(file: Path, said: Any) -> list[dict[str, Any]]:
    """The checked tables of the stations. Raises ConfigError if one has no name."""
    if not isinstance(said, list) or not said or not all(isinstance(table, dict) for table in said):
        raise ConfigError(f"{file}: {TABLES} is no list of tables; write [[{TABLES}]] above the keys of each station")
    for number, table in enumerate(said, 1):
        if not isinstance(table.get("station"), str):
            raise ConfigError(f"{file}: the {TABLES} table number {number} has no name; add station = NAME to it")
    return [checked(file, table, _origin(file, table)) for table in said]


def _origin(file: Path, table: dict[str, Any]) -> Origin:
    return f"{file}, station {table['station']}"


def _chosen(file: Path, tables: list[dict[str, Any]], flags: dict[str, Any]) -> list[int]:
    """Indices of the tables to run. Raises ConfigError if `--station` names none, or if a flag cannot apply to all."""
    names, wanted = [table["station"] for table in tables], flags.get("station")
    if wanted is not None:
        if wanted not in names:
            raise ConfigError(f"--station {wanted}: {file} has no such station; it has {', '.join(names)}")
        return [names.index(wanted)]
    for key in OWN:
        if len(names) > 1 and flags.get(key) is not None:
            raise ConfigError(
                f"{flag(key)} cannot be meant for all {len(names)} stations of {file}; say it in their tables, or take "
                "one of them with --station NAME"
            )
    return list(range(len(tables)))


def _station(
    file: Path, above: dict[str, Any], tables: list[dict[str, Any]], number: int, flags: dict[str, Any]
) -> Effective:
    """The settings of one table."""
    table, is_alone = tables[number], flags.get("station") is not None
    flags, layers = dict(flags), [(above, str(file)), (table, _origin(file, table))]
    for key, of_this in (("bind", _bind), ("records", _records)):
        is_flag = flags.get(key) is not None
        if (is_flag and is_alone) or (key in table and not is_flag):
            continue
        of_all = flags.pop(key) if is_flag else above.get(key, Settings.model_fields[key].default)
        if isinstance(of_all, str | Path):
            origin = flag(key) if is_flag else str(file) if key in above else "default"
            layers.append(({key: of_this(str(of_all), number, table["station"])}, origin))
        elif is_flag:
            flags[key] = of_all
    return merged(layers, flags | {"station": None})


def _bind(verdicts: str, number: int, station: str) -> str:
    return further(verdicts, number)


def _records(folder: str, number: int, station: str) -> str:
    return str(Path(folder) / station)


def layout_as_toml(layout: Layout) -> str:
    """The layout as an equivalent configuration file, with the origin of each value in a comment."""
    if not layout.has_tables:
        return as_toml(layout.common)
    common, lines = layout.common, []
    for key in Settings.model_fields:
        if key != "station":
            lines += [f"# {about(key)}", as_line(common, key)]
    for station in layout.stations:
        lines += ["", f"[[{TABLES}]]"]
        for key in Settings.model_fields:
            is_own = key in ("station", "bind") or getattr(station.settings, key) != getattr(common.settings, key)
            lines += [as_line(station, key)] if is_own else []
    return "\n".join(lines) + "\n"


def check_apart(configs: Sequence[StationConfig]) -> None:
    """Raise ConfigError, in one line, if two stations have the same name, endpoint or camera."""
    owners: dict[str, str] = {}
    for number, config in enumerate(configs, 1):
        bind, control, viewers = config.bind, config.control, config.viewers
        control, viewers = control or neighbour_endpoint(bind, CONTROL), viewers or neighbour_endpoint(bind, VIEWERS)
        remedies = {f"the name {config.station}": "give each table a station = NAME of its own"}
        remedies |= dict.fromkeys((bind, control, viewers), "give each a bind of its own, three ports apart")
        kind = kind_of(config.source)
        if kind is not None and kind.is_exclusive:
            remedies[f"the camera {config.source}"] = "one camera serves one station"
        for thing, remedy in remedies.items():
            if thing in owners:
                raise ConfigError(
                    f"stations {owners[thing]} and {config.station} (number {number}): both have {thing}; {remedy}"
                )
        owners |= dict.fromkeys(remedies, config.station)
