"""The help of the commands: sentences in one style, with visible defaults."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
import typer

from edge.cli import new_app

COMMANDS = (
    "train.cli",
    "train.report.cli",
    "export.cli",
    "edge.cli.verify",
    "edge.cli.bench",
    "edge.cli.demo",
    "edge.cli.keys",
    "edge.cli.plc",
    "edge.cli.review",
)
"""Modules of the commands that are held to it."""

LOOSE = (" else ", "if not given", "may be repeated", ": none", "as --set")
"""Words by which a default or a repetition was told before."""


def commands() -> Iterator[tuple[str, Any]]:
    """Every command, with its name."""
    apps = {name: import_module(name).app for name in COMMANDS}
    for word in import_module("edge.cli.bench").SUBCOMMANDS:
        apps[word] = new_app()
        apps[word].command()(getattr(import_module(f"edge.cli.bench_{word}"), word))
    apps["rethreshold"] = new_app()
    apps["rethreshold"].command()(import_module("export.rethreshold_command").rethreshold)
    for name, app in apps.items():
        made: Any = typer.main.get_command(app)
        yield name, made
        yield from ((f"{name} {word}", sub) for word, sub in getattr(made, "commands", {}).items())


ALL = dict(commands())


def is_a_sentence(text: str) -> bool:
    return text[:1].isupper() and text.endswith(".") and not any(word in text for word in LOOSE)


@pytest.mark.parametrize("name", ALL)
def test_every_text_is_a_sentence(name: str) -> None:
    command = ALL[name]
    assert is_a_sentence(" ".join((command.help or "").split()))
    texts = {one.name: one.help or "" for one in command.params if one.name != "help"}
    wrong = [f"{key}: {text}" for key, text in texts.items() if not is_a_sentence(text)]
    assert not wrong


@pytest.mark.parametrize("name", ALL)
def test_an_option_that_can_be_given_again_says_so(name: str) -> None:
    several = [one for one in ALL[name].params if getattr(one, "multiple", False)]
    assert not [one.name for one in several if "Repeatable." not in one.help]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("train.cli", "[default: (that of the recipe)]"),
        ("train.cli", "[default: auto]"),
        ("edge.cli.verify", "[default: (one a core); 1<=x<=256]"),
        ("edge.cli.bench", "[default: (1000); x>=10]"),
        ("export.cli", "[default: (0.0001); 1e-09<=x<=0.1]"),
        ("edge.cli.demo", "[default: (1280x720)]"),
        ("edge.cli.keys init", "[default: ($EDGE_KEYS, or ~/.config/edge-inspect/keys)]"),
    ],
)
def test_a_default_is_shown(name: str, shown: str) -> None:
    command = ALL[name]
    with command.make_context("x", [], resilient_parsing=True, terminal_width=400, max_content_width=400) as context:
        assert shown in " ".join(command.get_help(context).split())
