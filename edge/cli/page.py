"""edge-page: the operator's page of one station or of several. `edge-page user` is in edge/cli/page_user.py."""

import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from edge.channel.endpoints import VERDICTS
from edge.cli import new_app, run_app
from edge.cli.log_options import with_log_options
from edge.errors import ConfigError

FOUND_BY_ITSELF = 4
"""Stations of this machine that are listened to without --station, from the default endpoint on, three ports apart."""

SHIFTS = "06:00,14:00,22:00"

app = new_app()


@app.command(epilog="edge-page user add NAME makes the users who may log in from the network.")
@with_log_options
def page(
    station: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ENDPOINT",
            help="Verdict endpoint of a station, as for edge-listen; the page hears its viewers' socket. Repeatable.",
            show_default=f"the first {FOUND_BY_ITSELF} stations of this machine, from {VERDICTS} on",
        ),
    ] = None,
    records: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            help="Records of a station, or a folder with those of several. Repeatable.",
            show_default="those of this user's stations",
        ),
    ] = None,
    serve: Annotated[str, typer.Option(metavar="[HOST:]PORT", help="Address of the page.")] = "127.0.0.1:8470",
    shifts: Annotated[str, typer.Option(metavar="HH:MM,…", help="When shifts begin, in local time.")] = SHIFTS,
    users: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Users who may log in, from edge-page user add.")
    ] = None,
    tls_certificate: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Certificate of the page, PEM; needed off loopback.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Key of the certificate, PEM.")] = None,
    name: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST", help="Host name under which browsers open the page. Repeatable."),
    ] = None,
    keys: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Key file for the stations, from edge-keys export.")
    ] = None,
    words: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder with words of further languages, CODE.toml.")
    ] = None,
) -> None:
    """Serve the operator's page: what each station does now, its last parts, its record, and people's judgements."""
    from edge.channel.client_security import read_client_keys
    from edge.channel.endpoints import further
    from edge.page.serving import PageServer, PageSettings, be_nice
    from edge.station.config.resolved import default_records

    for folder in records or ():
        _check_records(folder)
    settings = PageSettings(
        stations=tuple(station or (further(VERDICTS, number) for number in range(FOUND_BY_ITSELF))),
        records=tuple(records or [default_records("").absolute()]),
        serve=serve,
        users=users,
        certificate=tls_certificate,
        key=tls_key,
        names=tuple(one.lower() for one in name or ()),
        shifts=_minutes(shifts),
        client_keys=None if keys is None else read_client_keys(keys),
        words=words,
    )
    be_nice()  # before any thread starts
    server = PageServer(settings)
    print(server.address, flush=True)
    server.run()


def _check_records(folder: Path) -> None:
    """Say that a folder of records is not there yet. Raises ConfigError if no station will make it."""
    if folder.is_dir():
        return
    if folder.exists() or not folder.absolute().parent.is_dir():
        raise ConfigError(f"--records {folder}: no such folder; give the one that edge-run --records writes")
    print(f"warning: {folder} does not exist yet; it is shown once a station has made it", file=sys.stderr)


def _minutes(shifts: str) -> tuple[int, ...]:
    """Minutes of the day of HH:MM,HH:MM. Raises ConfigError."""
    found = []
    for one in shifts.split(","):
        match = re.fullmatch(r"\s*(\d{1,2}):(\d\d)\s*", one)
        if match is None or int(match[1]) > 23 or int(match[2]) > 59:
            raise ConfigError(f"--shifts {shifts}: give times of day, as {SHIFTS}")
        found.append(60 * int(match[1]) + int(match[2]))
    return tuple(sorted(found))


def main() -> None:
    """Entry point; `edge-page user …` is a command of its own."""
    if sys.argv[1:2] == ["user"]:
        sys.argv[:2] = [f"{sys.argv[0]} user"]
        run_app(import_module("edge.cli.page_user").app, extra="page")
    run_app(app, extra="page")


if __name__ == "__main__":
    main()
