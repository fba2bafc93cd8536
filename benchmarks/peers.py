"""`python -m benchmarks.peers`: the graph of the shipped bundle against every runtime that users install instead.

Each peer has its own Python in build/peers, which `--install` makes, and runs in its own process. All peers get the
same uint8 frames, in turns, with the same number of threads, and are timed up to the score. A peer without a letterbox
gets OpenCV's on the host. The scores of each peer are compared with those of the same network in ONNX Runtime behind
OpenCV's letterbox. A peer is a file of `benchmarks.contestants.peers`.
"""

import json
import subprocess
import sys
import venv
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from benchmarks import script
from benchmarks.comparison import CannotRunError, Contestant, Turn, figures, frames_for, in_turns, ratio, set_up
from benchmarks.contestants import Setup, peers
from benchmarks.markdown import paragraph, table
from edge.cli import run_app
from edge.sources.size import parse_size

FOLDER = Path("build/peers")
INSTALLED = "installed.json"
"""File in a peer's folder: the installed packages, or the reason why the installation failed."""

OURS, SAME = "ours", "onnxruntime_host"
BESIDE = {OURS: "**edge-inspect, its graph**", SAME: "ONNX Runtime", "openvino_host": "OpenVINO"}
"""Contestants that run in the project's own Python, and their names on the page."""

ROUNDS, ROUND_S, MOST = 5, 0.8, 100
OTHER = 1e-3
"""Largest difference of scores that counts as the same; float32 on two runtimes differs by 1e-5 at most."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def compare(
    bundle: script.BundleOption = script.DEFAULT_BUNDLE,
    size: str = "1920x1080",
    threads: script.ThreadsOption = 2,
    quick: script.QuickOption = False,
    out: script.OutOption = None,
    only: Annotated[list[str] | None, typer.Option(metavar="NAME…", help="These peers alone.")] = None,
    folder: Annotated[Path, typer.Option(help="Where the peers are installed.")] = FOLDER,
    install: Annotated[bool, typer.Option("--install", help="Install what is missing, and measure nothing.")] = False,
) -> None:
    """Measure the graph against that of other runtimes."""
    names = only or known()
    if unknown := [name for name in names if name not in known()]:
        raise CannotRunError(f"no such peer: {unknown[0]}; there are {', '.join(known())}")
    if install:
        install_all(names, folder)
        return
    result = measure(bundle, parse_size(size), threads, names, folder, quick)
    script.finish(result, section(result), out)


def known() -> list[str]:
    """Names of all peers."""
    return sorted(module.name for module in iter_modules(peers.__path__))


def _about(name: str) -> Any:
    return import_module(f"{peers.__name__}.{name}")


def install_all(names: Sequence[str], folder: Path) -> None:
    """Make each missing Python of a peer, with the packages that its file names; failures of pip are noted."""
    with script.steps(len(names)) as step:
        for name in names:
            step(f"installing {name}")
            wanted, note = list(_about(name).REQUIRES), folder / name / INSTALLED
            if note.exists() and json.loads(note.read_text()).get("wanted") == wanted:
                continue
            venv.create(folder / name, with_pip=True, clear=True)
            reason = _pip(folder / name, wanted)
            note.write_text(json.dumps({"wanted": wanted, "reason": reason}))
            if reason is not None:
                script.say(f"{name} cannot be installed: {reason}")


def _pip(place: Path, wanted: Sequence[str]) -> str | None:
    """Install wheels; returns the reason of a failure, or None.

    Packages after `--no-deps` are installed without their dependencies, after the others.
    """
    at = wanted.index("--no-deps") if "--no-deps" in wanted else len(wanted)
    for part in (wanted[:at], wanted[at:]):
        command = [
            str(place / "bin" / "pip"),
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--only-binary",
            ":all:",
        ]
        done = subprocess.run([*command, *part], capture_output=True, text=True) if part else None
        if done is not None and done.returncode:
            errors = [one for one in done.stderr.splitlines() if one.startswith("ERROR")]
            return str((errors or ["pip failed"])[-1]).removeprefix("ERROR: ")[:200]
    return None


def measure(
    bundle: Path, shape: tuple[int, int], threads: int, names: Sequence[str], folder: Path, quick: bool = False
) -> dict[str, Any]:
    """All results; `section` renders them. A peer that does not run, or dies, is noted with its reason."""
    opened, rounds = script.opened(bundle), 1 if quick else ROUNDS
    result = script.about(threads, quick) | {"bundle": opened.label, "height": shape[0], "width": shape[1]}
    with TemporaryDirectory() as scratch, ExitStack() as stack, script.steps(None) as step:
        setup = set_up(opened, shape, threads, Path(scratch))
        contestants, refused = dict[str, Contestant](), dict[str, str]()
        for name in (*BESIDE, *names):
            step(f"loading {name}")
            try:
                contestants[name] = stack.enter_context(_contestant(name, setup, folder))
            except CannotRunError as error:
                if name in BESIDE:
                    raise
                refused[name] = str(error)
        turns = {name: one if name in BESIDE else _mortal(name, one, refused) for name, one in contestants.items()}
        counts = {name: 3 if quick else frames_for(one, ROUND_S, MOST) for name, one in turns.items()}
        found = in_turns(turns, rounds, counts, step)
    result["rows"] = [
        {
            "name": name,
            "what": BESIDE.get(name) or _about(name).TITLE,
            "installed": [] if name in BESIDE else list(_about(name).REQUIRES),
            "times": ratio(found[name], found[OURS]),
            "off": _off(one.scores, contestants[SAME].scores),
            **figures(found[name]),
        }
        for name, one in contestants.items()
        if name not in refused
    ]
    result["refused"] = [
        {"name": name, "what": _about(name).TITLE, "reason": reason} for name, reason in refused.items()
    ]
    return result


def _contestant(name: str, setup: Setup, folder: Path) -> Contestant:
    """The contestant of a peer. Raises CannotRunError if the peer is not installed."""
    if name in BESIDE:
        return Contestant(replace(setup, name=name), sys.executable)
    note, python = folder / name / INSTALLED, folder / name / "bin" / "python"
    if not note.exists():
        raise CannotRunError("it is not installed: make peers")
    if reason := json.loads(note.read_text())["reason"]:
        raise CannotRunError(f"it cannot be installed: {reason}")
    return Contestant(replace(setup, name=f"peers.{name}"), str(python.absolute()))


def _mortal(name: str, turn: Turn, died: dict[str, str]) -> Turn:
    """The same turn; if the peer dies in it, `died` gets its message and the peer has no further turns."""

    def run(frames: int) -> list[float]:
        try:
            return [] if name in died else turn(frames)
        except CannotRunError as error:
            died[name] = f"died: {error}"
            return []

    return run


def _off(scores: Sequence[float], same: Sequence[float]) -> float:
    """The largest difference of scores, over the frames that both scored."""
    return max(abs(one - other) for one, other in zip(scores, same, strict=False))


def goals(result: dict[str, Any]) -> list[dict[str, Any]]:
    """The goal that no peer is faster."""
    fastest = min((one for one in result["rows"] if one["name"] != OURS), key=lambda one: one["times"])
    found = f"{fastest['what']}: {fastest['times']:.2f}"
    return [{"goal": "no runtime takes less time than ours", "found": found, "reached": fastest["times"] >= 1}]


def section(result: dict[str, Any]) -> str:
    """The page's section about the peers."""
    rows = [
        (
            one["what"],
            f"**{one['times']:.2f}**",
            f"{one['p50_ms']:.2f}",
            f"{one['p99_ms']:.2f}",
            f"{one['off']:.1g}" if one["name"] != SAME else "",
            "its own letterbox" if one["name"] == OURS else "" if one["off"] <= OTHER else "no: another letterbox",
        )
        for one in sorted(result["rows"], key=lambda one: (one["name"] != OURS, one["times"]))
    ]
    refused = [(one["what"], one["reason"].replace("|", "/")) for one in result["refused"]]
    parts = [
        "## What people install\n",
        paragraph(
            f"From a frame of {result['width']}×{result['height']} to the score, {result['threads']} threads, "
            f"float32, {result['bundle']}; each in a process of its own, in turns. Who has no letterbox gets OpenCV's "
            "on the host (`INTER_AREA`), which is another filter than the one that the network was trained with: how "
            "far the scores are from the same network in ONNX Runtime behind it."
        ),
        table(("", "times as long as ours", "p50 ms", "p99 ms", "score differs by", "the same?"), rows),
    ]
    if refused:
        parts += ["These do not run here:\n", table(("", "why"), refused, words=2)]
    return "\n".join(parts)


if __name__ == "__main__":
    run_app(app)
