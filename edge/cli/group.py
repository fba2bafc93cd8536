"""edge-group: several stations that look at one part, with one verdict."""

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.cli import new_app, run_app
from edge.cli.log_options import with_log_options
from edge.errors import ChannelError, ConfigError

if TYPE_CHECKING:
    from edge.gate.station_link import Endpoint
    from edge.group.encoder import EncoderPlaces
    from edge.group.group import Group

BIND, STATION = "tcp://127.0.0.1:5590", "group1"
FORM = "STATION=ENDPOINT[,control=ENDPOINT][,keys=FILE][,offset=COUNTS]"

channel_option = partial(typer.Option, rich_help_panel="Verdict channel")
view_option = partial(typer.Option, rich_help_panel="Views")
output_option = partial(typer.Option, rich_help_panel="Output")

app = new_app()


@app.command()
@with_log_options
def group(
    view: Annotated[
        list[str],
        view_option(
            metavar=FORM,
            help="A station of the group, by its name and the endpoint of its verdicts; keys is a file of edge-keys "
            "export with the role control. Give it for each.",
        ),
    ],
    station: Annotated[str, channel_option(metavar="NAME", help="Name of the group.")] = STATION,
    bind: Annotated[str, channel_option(metavar="ENDPOINT", help="Where its verdicts are published.")] = BIND,
    control: Annotated[
        str | None,
        channel_option(metavar="ENDPOINT", help="Control endpoint.", show_default="one port above --bind"),
    ] = None,
    viewers: Annotated[
        str | None,
        channel_option(metavar="ENDPOINT", help="Endpoint for viewers.", show_default="two ports above --bind"),
    ] = None,
    keys: Annotated[
        Path | None,
        channel_option(metavar="DIR", help="Keys of its own clients, from edge-keys init.", show_default="none"),
    ] = None,
    require: Annotated[
        list[str] | None,
        channel_option(metavar="NAME", help="Controller without which the group is suspended. May be repeated."),
    ] = None,
    budget_ms: Annotated[
        float,
        view_option(
            metavar="MS",
            help="Longest time from the first exposure of a part to the verdict. Longer than the budget of a station.",
            min=1,
            max=600_000,
        ),
    ] = 200.0,
    unannounced: Annotated[
        bool,
        view_option(
            "--unannounced",
            help="Also begin a part with the first verdict that names it, for stations that are not triggered by the "
            "group but name a part alike, such as by its code.",
        ),
    ] = False,
    encoder: Annotated[
        str | None,
        view_option(
            metavar="FIELD",
            help="Join parts by their place on the belt: the free field of each trigger that has the encoder's count. "
            "The stations are triggered by others, and the view option offset is how many counts later it sees a part.",
            show_default="by their id",
        ),
    ] = None,
    tolerance: Annotated[
        int | None,
        view_option(
            metavar="COUNTS", help="Largest difference of a part's places in two views; less than half a pitch.", min=0
        ),
    ] = None,
    insecure: Annotated[
        bool,
        view_option("--insecure", help="Accept stations without keys, and clients from the network without keys."),
    ] = False,
    records: Annotated[
        Path | None,
        output_option(metavar="DIR", help="Folder of the group's own record.", show_default="that of its name"),
    ] = None,
    no_records: Annotated[bool, output_option("--no-records", help="Keep no record.")] = False,
    once: Annotated[bool, output_option("--once", help="Exit when all stations have stopped.")] = False,
    as_json: Annotated[bool, output_option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Join the verdicts of several stations on one part: it is good only if all of them call it good in time.

    To a gate, a PLC and a page the group is a station. It triggers its stations, so that they name the part alike.
    Runs until Ctrl-C or SIGTERM.
    """
    from edge.channel.control_messages import check_station_name
    from edge.group.group import Group, GroupSettings, check_views
    from edge.station.config.resolved import default_records
    from edge.station.signals import Signals

    check_station_name(station)
    if no_records and records is not None:
        raise ConfigError("--no-records keeps nothing, and --records says where; leave one out")
    viewed = tuple(_view(text, insecure) for text in view)
    views = tuple((name, endpoint) for name, endpoint, _ in viewed)
    places = _places(encoder, tolerance, {name: offset for name, _, offset in viewed})
    if (wrong := check_views([name for name, _ in views], station)) is not None:
        raise ConfigError(wrong)
    settings = GroupSettings(
        station, views, bind, budget_ms, control, viewers, keys,
        None if no_records else records or default_records(station), tuple(require or ()), insecure, unannounced,
        places,
    )  # fmt: skip
    running = Group(settings)
    cause = "an error"
    try:
        with Signals() as signals:
            while not (signals.came or (once and _have_stopped(running))):
                running.turn()
        cause = "stopped by a signal" if signals.came else "its stations have stopped"
    finally:
        running.close(cause)
    report = running.report()
    counts = ", ".join(f"{report[outcome]} {outcome}" for outcome in ("good", "reject", "unknown"))
    print(json.dumps(report) if as_json else f"{report['parts']} parts: {counts}")


def _places(field: str | None, tolerance: int | None, offsets: "dict[str, int | None]") -> "EncoderPlaces | None":
    """How parts are joined by an encoder. Raises ConfigError if the options do not fit together."""
    from edge.group.encoder import EncoderPlaces

    if field is None:
        if tolerance is not None or any(offset is not None for offset in offsets.values()):
            raise ConfigError("--tolerance and offset= are for parts that are joined by --encoder FIELD; give it, too")
        return None
    if tolerance is None:
        raise ConfigError("--encoder needs --tolerance COUNTS: less than half the distance of two parts on the belt")
    return EncoderPlaces(field, {name: offset or 0 for name, offset in offsets.items()}, tolerance)


def _view(text: str, insecure: bool) -> "tuple[str, Endpoint, int | None]":
    """A view from the text of an option, and its offset. Raises ConfigError, ChannelError, KeyFileError."""
    from edge.channel.client_security import read_client_keys
    from edge.channel.control_messages import check_station_name
    from edge.gate.station_link import Endpoint

    named, *others = (part.partition("=") for part in text.split(","))
    more = {name: value for name, _, value in others}
    is_odd = len(more) < len(others) or not all(more.values()) or more.keys() - {"control", "keys", "offset"}
    if not (named[0] and named[2]) or is_odd:
        raise ConfigError(f"--view {text!r}: give {FORM}")
    if "offset" in more and not (more["offset"].isascii() and more["offset"].removeprefix("-").isdecimal()):
        raise ConfigError(f"--view {named[0]}: offset={more['offset']}: give a whole number of counts")
    check_station_name(named[0])
    keys = read_client_keys(Path(more["keys"])) if "keys" in more else None
    endpoint = Endpoint.of(named[2], more.get("control"), keys)
    if not (endpoint.is_authentic or insecure):
        raise ChannelError(
            f"--view {named[0]}: without keys any process that reaches {named[2]} can speak as the station; give "
            "keys=FILE, connect over ipc://, or say --insecure if that is meant"
        )
    return named[0], endpoint, int(more["offset"]) if "offset" in more else None


def _have_stopped(group: "Group") -> bool:
    from edge.verdict import State

    return not len(group.joining) and all(view.state is State.STOPPED for view in group.views)


def main() -> None:
    """Entry point."""
    run_app(app)


if __name__ == "__main__":
    main()
