"""Square brackets are printed as text: in the help of every command, and in output with names that contain them."""

import json
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer
from support.line import DEMO_BUNDLE, ROOT, ran

from edge.bundle import load_bundle, seal
from edge.cli import new_app
from edge.terminal.progress import Progress

SCRIPTS: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]


def applications() -> Iterator[tuple[str, list[str], typer.Typer]]:
    """The applications of all commands: the script, the words that lead to the application, and the application."""
    for script, entry in SCRIPTS.items():
        yield script, [], import_module(entry.partition(":")[0]).app
    for word in import_module("edge.cli.bench").SUBCOMMANDS:
        behind = new_app()
        behind.command()(getattr(import_module(f"edge.cli.bench_{word}"), word))
        yield "edge-bench", [word], behind


def commands(words: list[str], found: Any) -> Iterator[tuple[list[str], Any]]:
    """A command and its subcommands, each with the words that lead to it."""
    yield words, found
    for name, other in getattr(found, "commands", {}).items():
        yield from commands([*words, name], other)


EVERY = [
    (script, words, one)
    for script, leading, app in applications()
    for words, one in commands(leading, typer.main.get_command(app))
]
BRACKETS = re.compile(r"\S*\[[^\]]*\]\S*")


def bracketed(one: Any) -> set[str]:
    """The texts in brackets in the help of a command, as written in the source."""
    texts = [one.help or "", *(getattr(parameter, "help", None) or "" for parameter in one.params)]
    return {found for text in texts for found in BRACKETS.findall(text)}


@pytest.mark.parametrize(("script", "words", "one"), EVERY, ids=[" ".join([s, *w]) for s, w, _ in EVERY])
def test_help_shows_every_bracket_that_was_written(
    script: str, words: list[str], one: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module, _, entry = SCRIPTS[script].partition(":")
    monkeypatch.setattr(sys, "argv", [script, *words, "--help"])
    with pytest.raises(SystemExit) as left:
        getattr(import_module(module), entry)()
    assert not left.value.code
    shown = " ".join(capsys.readouterr().out.split())
    for written in bracketed(one):
        assert written in shown
    assert one.rich_markup_mode is None, "brackets that somebody writes tomorrow are text, too"


def test_some_help_has_brackets() -> None:
    assert {"[[stations]]", "[CLASS],"} <= {found for _, _, one in EVERY for found in bracketed(one)}


def test_brackets_in_names_of_bundles_and_artifacts_are_printed(tmp_path: Path) -> None:
    path = Path(shutil.copytree(DEMO_BUNDLE, tmp_path / "part[red].edge"))
    manifest = load_bundle(path).manifest
    (artifact,) = [one for name, one in manifest.artifacts.items() if name == "onnxruntime"]
    renamed = {"name": "part[red]", "artifacts": {"onnxruntime": artifact, "cpu[bold]": artifact}}
    seal(path, manifest.model_copy(update=renamed))
    done = ran("verify", path, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "part[red]@" in done.stdout
    assert "cpu[bold]" in done.stdout
    said = ran("verify", path, "--json", timeout=120)
    assert {check["backend"] for check in json.loads(said.stdout)["checks"]} == {"onnxruntime", "cpu[bold]"}


def test_brackets_in_names_of_folders_and_in_patterns_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    from export.bundle_summary import say as say_bundle

    bundle = load_bundle(DEMO_BUNDLE)
    (name, artifact), *_ = bundle.manifest.artifacts.items()
    renamed = artifact.model_copy(
        update={"threshold": artifact.threshold.model_copy(update={"data": "photographs of lot[red]"})}
    )
    manifest = bundle.manifest.model_copy(
        update={"description": "line [b] of hall [/b]", "artifacts": {name: renamed}, "refused": {"x": "layer[bold]"}}
    )
    say_bundle(Console(stderr=True), replace(bundle, path=Path("lot[red].edge"), manifest=manifest), ["val[red]"])
    Progress().say("25 groups by (part[a-z]+)")
    said = capsys.readouterr().err
    for written in ("lot[red].edge", "[b] of hall [/b]", "of lot[red]", "layer[bold]", "val[red]", "(part[a-z]+)"):
        assert written in said
