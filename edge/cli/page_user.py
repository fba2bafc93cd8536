"""edge-page user: the users who may log in to the operator's page, with their roles."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.cli import new_app
from edge.errors import ConfigError

if TYPE_CHECKING:
    from edge.page.access.users import Users

app = new_app()

Name = Annotated[str, typer.Argument(help="Name of the user.")]
File = Annotated[
    Path | None,
    typer.Option(
        "--users", metavar="FILE", help="File of users.", show_default="~/.config/edge-inspect/page-users.json"
    ),
]


@app.callback()
def user() -> None:
    """Add, list and remove the users of edge-page. A running page notices a change within a request."""


@app.command()
def add(
    name: Name,
    role: Annotated[
        str, typer.Option(help="see, review (also judges parts) or run (also suspends a station).")
    ] = "see",
    users: File = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input, one line.")
    ] = False,
) -> None:
    """Add a user, or change password and role of one; the password is asked for."""
    from edge.page.access.users import PageRole

    if role not in set(PageRole):
        raise ConfigError(f"--role {role}: it is one of {', '.join(PageRole)}")
    file = _file(users)
    if password_stdin:
        password = sys.stdin.readline().rstrip("\n")
    else:
        password = typer.prompt(f"Password of {name}", hide_input=True, confirmation_prompt=True, err=True)
    is_new = file.add(name, password, PageRole(role))
    print(f"{file.path}: {name} {'added' if is_new else 'changed'}, role {role}")


@app.command("list")
def list_users(users: File = None) -> None:
    """List the users and their roles."""
    for name, one in sorted(_file(users).read().items()):
        print(f"{name}  {one.role}")


@app.command()
def remove(name: Name, users: File = None) -> None:
    """Remove a user; an open page of this user ends."""
    file = _file(users)
    file.remove(name)
    print(f"{file.path}: {name} removed")


def _file(path: Path | None) -> "Users":
    from edge.machine import user_folder
    from edge.page.access.users import Users

    return Users(path or user_folder("XDG_CONFIG_HOME", ".config") / "edge-inspect" / "page-users.json")
