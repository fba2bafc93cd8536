"""Help of a command with its options in groups: plain text, a heading for each group."""

from typing import Any

import typer
from typer.core import TyperCommand

WIDTH = 110
"""Columns of the help, at most; a narrower terminal gets its own width."""


class GroupedCommand(TyperCommand):
    """A command whose help lists options under the `rich_help_panel` that they name, in order of first appearance.

    Options without one come last, under "Options".
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Arguments as for `TyperCommand`; the help is at most WIDTH columns wide."""
        settings = {"max_content_width": WIDTH} | (kwargs.pop("context_settings", None) or {})
        super().__init__(*args, context_settings=settings, **kwargs)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, then each group of options."""
        groups: dict[str, list[tuple[str, str]]] = {"Arguments": []}
        ungrouped: list[tuple[str, str]] = []
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is None:
                continue
            panel = getattr(param, "rich_help_panel", None)
            if param.param_type_name == "argument":
                groups["Arguments"].append(record)
            elif panel is None:
                ungrouped.append(record)
            else:
                groups.setdefault(panel, []).append(record)
        for name, records in (*groups.items(), ("Options", ungrouped)):
            if records:
                with formatter.section(name):
                    formatter.write_dl(records)


class App(typer.Typer):
    """A command line whose commands show their options in groups."""

    def command(self, name: str | None = None, *, cls: type[TyperCommand] | None = None, **settings: Any) -> Any:
        """Like `typer.Typer.command`, with `GroupedCommand` as the default class."""
        return super().command(name, cls=cls or GroupedCommand, **settings)
