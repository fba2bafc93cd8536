"""The run folders of a plan: which are there, and the trainings that make the others."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from benchmarks.results.plan import Photographs, Training
from edge.bench.result import Result
from edge.errors import DataError, EdgeError
from edge.files import write_whole
from train.recipe import Recipe
from train.run import RunError, read_record

BENCH_FRAMES = 300
BACKEND = "openvino"
IDLE = {"title", "about", "train.pictures"}
"""Keys of a recipe that change nothing in what it makes."""

COMPUTED = {"letterbox.mean", "letterbox.std", "train.normalise"}
"""Keys that training writes itself where the recipe leaves the normalisation to the photographs."""

Say = Callable[[str], None]


class State(Enum):
    """What lies in a run folder."""

    MISSING = "not trained"
    UNFINISHED = "training has not finished"
    FINISHED = "finished"
    OTHER = "trained with other settings"


@dataclass(frozen=True)
class Found:
    """The state of a run folder, and in words what stands in the way of a row, if anything does."""

    state: State
    why: str = ""


def look(training: Training, runs: Path) -> Found:
    """What lies where a training is to be written."""
    folder = runs / training.folder
    if not (folder / "run.json").exists():
        return Found(State.MISSING, State.MISSING.value)
    try:
        record = read_record(folder)
    except RunError as error:
        return Found(State.OTHER, str(error))
    computed = COMPUTED if "normalisation" in record.provenance else set()
    differs = differences(record.recipe, training.recipe, computed)
    if differs:
        return Found(State.OTHER, f"{State.OTHER.value}: {differs[0]}{_more(differs)}")
    if not record.finished:
        return Found(State.UNFINISHED, State.UNFINISHED.value)
    return Found(State.FINISHED)


def differences(made: Recipe, planned: Recipe, computed: set[str]) -> list[str]:
    """Every key in which a recipe that was trained is not the one planned, in words, but those that it `computed`."""
    before, after = (_flat(recipe.model_dump()) for recipe in (made, planned))
    keys = [key for key in before | after if before.get(key) != after.get(key) and key not in computed | IDLE]
    return [f"{key} is {before.get(key)}, the plan says {after.get(key)}" for key in keys]


def train_all(trainings: Sequence[Training], folders: dict[str, Path], runs: Path, say: Say) -> list[str]:
    """Train what is not there yet, one after another; returns in words what failed or is of other settings.

    `folders` holds the photographs by the name that the plan gives them.
    """
    failed = []
    for number, training in enumerate(trainings, 1):
        found = look(training, runs)
        where = f"{number} of {len(trainings)}: {training.folder}"
        if found.state is State.FINISHED:
            say(f"{where}: finished before")
            continue
        if found.state is State.OTHER:
            say(f"{where}: {found.why}; left as it is")
            failed.append(f"{training.folder} ({found.why})")
            continue
        say(f"{where}: {'going on' if found.state is State.UNFINISHED else 'training'}")
        arguments = training.arguments(folders[training.entry.data], runs)
        resume = ["--resume"] if found.state is State.UNFINISHED else []
        code = _run("train.cli", [*arguments, *resume])
        if code:
            say(f"{where}: failed with exit code {code}")
            failed.append(f"{training.folder} (exit code {code})")
    return failed


def photographs_of(name: str, about: Photographs, given: dict[str, Path], say: Say) -> Path:
    """The folder of photographs, rendered first where the plan says so. Raises DataError, in one line."""
    folder = given.get(about.folder or name)
    if folder is None:
        raise DataError(f"no option says where the {name} photographs are; there are {', '.join(given)}")
    if folder.is_dir():
        return folder
    if about.rendered is None:
        raise DataError(f"the {name} photographs are not at {folder}: EDGE_DATA or --data names their folder")
    say(f"rendering {sum(about.rendered.values())} photographs to {folder}")
    counts = [word for split, count in about.rendered.items() for word in (f"--{split}", str(count))]
    if _run("edge.cli.demo", [str(folder), *counts]):
        raise DataError(f"the {name} photographs could not be rendered to {folder}")
    return folder


def measure_all(trainings: Sequence[Training], runs: Path, say: Say) -> list[str]:
    """Export the first seed of each entry and measure it; returns in words what failed."""
    firsts = [one for one in trainings if one.seed == one.entry.seeds[0] and look(one, runs).state is State.FINISHED]
    failed = []
    for number, training in enumerate(firsts, 1):
        say(f"latency, {number} of {len(firsts)}: {training.folder}")
        try:
            _measure(runs / training.folder, training.entry.int8)
        except EdgeError as error:
            say(str(error))
            failed.append(str(error))
    return failed


def read_latency(run: Path) -> Result | None:
    """What edge-bench measured of the bundle of a run; None if it has not, if the run is newer, or if an edge-bench of
    another version did: it has to be measured again.
    """
    file = latency_file(run)
    if not file.exists() or _is_older(file, run / "model.pt"):
        return None
    try:
        return Result.model_validate_json(file.read_text(encoding="utf-8"))
    except ValidationError:
        return None


def latency_file(run: Path) -> Path:
    """Where the measurement of a run's bundle lies: beside the run."""
    return run.with_name(f"{run.name}.latency.json")


def exported(run: Path, int8: bool = False) -> Path:
    """The bundle of a run, beside it; exported if it is not there. Raises DataError if it is older than the run."""
    bundle = run.with_name(f"{run.name}.edge")
    if bundle.exists() and _is_older(bundle / "manifest.json", run / "model.pt"):
        raise DataError(f"{bundle} is older than its run: remove it")
    if not bundle.exists() and _run("export.cli", [str(run), "--out", str(bundle), *(["--int8"] if int8 else [])]):
        raise DataError(f"{run} could not be exported")
    return bundle


def _measure(run: Path, int8: bool) -> None:
    bundle = exported(run, int8)
    options = ["--backend", BACKEND, "--precision", "f32", "--frames", str(BENCH_FRAMES), "--paced-s", "0", "--json"]
    command = _command("edge.cli.bench", [str(bundle), *options])
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise DataError(f"{bundle} could not be measured")
    write_whole(latency_file(run), done.stdout)


def _run(module: str, arguments: Sequence[str]) -> int:
    return subprocess.run(_command(module, arguments), check=False).returncode


def _command(module: str, arguments: Sequence[str]) -> list[str]:
    """One of the project's commands in this interpreter, whatever is on the path."""
    return [sys.executable, "-P", "-c", f"import {module} as command; command.main()", *arguments]


def _is_older(file: Path, other: Path) -> bool:
    return file.exists() and other.exists() and file.stat().st_mtime < other.stat().st_mtime


def _flat(content: dict[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in content.items():
        flat |= _flat(value, f"{before}{key}.") if isinstance(value, dict) else {f"{before}{key}": value}
    return flat


def _more(differs: list[str]) -> str:
    return f", and {len(differs) - 1} more" if len(differs) > 1 else ""
