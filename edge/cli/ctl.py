"""edge-ctl: asks a running station what it judges, and changes over to another product."""

import getpass
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.channel.endpoints import VERDICTS
from edge.cli import new_app, run_app
from edge.errors import ConfigError

if TYPE_CHECKING:
    from edge.channel.control_messages import Reply, Request

app = new_app()

Connect = Annotated[str, typer.Option(help="Verdict endpoint of the station; its control socket is one port above.")]
Keys = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Key file for this station with the role control, from edge-keys export."),
]
By = Annotated[str | None, typer.Option(metavar="NAME", help="Who asks, for the record. [default: your login]")]
Because = Annotated[str | None, typer.Option(metavar="TEXT", help="Why, for the record.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the station's answer as JSON.")]


@app.callback()
def ctl() -> None:
    """Ask a running station what it judges, and tell it what to judge."""


@app.command()
def product(
    name: Annotated[str | None, typer.Argument(metavar="[NAME|NUMBER]", help="Product to change over to.")] = None,
    connect: Connect = VERDICTS,
    by: By = None,
    reason: Because = None,
    keys: Keys = None,
    as_json: AsJson = False,
) -> None:
    """List the products of a station, or change over to one of them.

    Parts that are triggered or exposed from then on are judged as the new product; parts before are not affected.
    """
    from pydantic import ValidationError

    from edge.channel.control_messages import AskSnapshot, SelectProduct
    from edge.validation import first_problem, problem, shown

    if name is None:
        reply = _ask(connect, AskSnapshot(), keys)
        print(reply.model_dump_json() if as_json else _listed(reply))
        return
    wanted = {"number": name} if name.isdecimal() else {"product": name}
    try:
        request = SelectProduct.model_validate(wanted | {"by": by or getpass.getuser(), "reason": reason})
    except ValidationError as error:
        first = first_problem(error)
        raise ConfigError(f"{first['loc'][0]} {shown(first['input'])}: {problem(first)}") from error
    reply = _ask(connect, request, keys)
    said = json.loads(reply.model_dump_json())
    print(json.dumps(said) if as_json else f"product {said['product']}, before {said['before']}")


def _ask(connect: str, request: "Request", keys: Path | None) -> "Reply":
    """The station's answer. Raises ChannelError."""
    from edge.channel.asking import ask
    from edge.channel.client_security import read_client_keys
    from edge.channel.endpoints import CONTROL, neighbour_endpoint

    return ask(neighbour_endpoint(connect, CONTROL), request, None if keys is None else read_client_keys(keys))


def _listed(reply: "Reply") -> str:
    """The products of a snapshot, a line each."""
    from edge.channel.control_messages import Snapshot

    assert isinstance(reply, Snapshot)
    current = reply.heartbeat.product
    lines = []
    for one in reply.products:
        mark = "*" if one.name == current else " "
        number = "" if one.number is None else f"  number {one.number}"
        lines.append(f"{mark} {one.name}{number}  {one.bundle}{'' if one.is_up else '  (its model is not up)'}")
    return "\n".join(lines) or "the line makes one product"


def main() -> None:
    """Entry point."""
    run_app(app)


if __name__ == "__main__":
    main()
