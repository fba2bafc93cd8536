"""The run folders of a plan: their states, and the trainings that make the missing ones."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from benchmarks.results.beside import file_beside, is_older, read_beside
from benchmarks.results.plan import Photographs, Training
from edge.bench.result import Result
from edge.errors import DataError, EdgeError
from edge.files import write_whole
from train.recipe import Recipe
from train.run import WEIGHTS_FILE, RunError, read_record

BENCH_FRAMES = 300
BACKEND = "openvino"
LATENCY = "latency"
IDLE = {"title", "about", "train.pictures"}
"""Keys of a recipe that do not change its training."""

COMPUTED = {"letterbox.mean", "letterbox.std", "train.normalise"}
"""Keys that training sets if the recipe leaves the normalisation to the photographs."""

Say = Callable[[str], None]


class State(Enum):
    """The state of a run folder."""

    MISSING = "not trained"
    UNFINISHED = "training has not finished"
    FINISHED = "finished"
    OTHER = "trained with other settings"


@dataclass(frozen=True)
class Found:
    """The state of a run folder, and the reason why it gives no row, if any."""

    state: State
    why: str = ""


def look(training: Training, runs: Path) -> Found:
    """The state of the run folder of a training."""
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


def is_measurable(training: Training, runs: Path) -> bool:
    """Whether the run is finished and its weights are here."""
    return look(training, runs).state is State.FINISHED and (runs / training.folder / WEIGHTS_FILE).exists()


def differences(made: Recipe, planned: Recipe, computed: set[str]) -> list[str]:
    """Every key that differs between the trained and the planned recipe, in words, except the `computed` keys."""
    before, after = (_flat(recipe.model_dump()) for recipe in (made, planned))
    keys = [key for key in before | after if before.get(key) != after.get(key) and key not in computed | IDLE]
    return [f"{key} is {before.get(key)}, the plan says {after.get(key)}" for key in keys]


def train_all(trainings: Sequence[Training], folders: dict[str, Path], runs: Path, say: Say) -> list[str]:
    """Make the missing trainings, one after another; returns those that failed or have other settings, in words.

    `folders` maps the plan's name of a set of photographs to its folder.
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
    """The folder of photographs; a missing one is rendered if a program renders them. Raises DataError."""
    lies_in = about.folder or name
    folder = given.get(lies_in) or (rendered_folder(lies_in) if about.line else None)
    if folder is None:
        raise DataError(f"no option says where the {name} photographs are; there are {', '.join(given)}")
    if folder.is_dir():
        return folder
    if not about.is_rendered:
        raise DataError(f"the {name} photographs are not at {folder}: EDGE_DATA or --data names their folder")
    say(f"rendering the photographs {name} to {folder}")
    counts = [word for split, count in (about.rendered or {}).items() for word in (f"--{split}", str(count))]
    line = ["--line", about.line] if about.line else []
    if _run("edge.cli.demo", [str(folder), *line, *counts]):
        raise DataError(f"the {name} photographs could not be rendered to {folder}")
    return folder


def rendered_folder(name: str) -> Path:
    """Where the photographs of a rendered line lie unless an option says otherwise."""
    return Path("build") / name


def measure_all(trainings: Sequence[Training], runs: Path, say: Say) -> list[str]:
    """Export the first seed of each entry and measure its latency; returns the failures in words."""
    firsts = [one for one in trainings if one.seed == one.entry.seeds[0] and is_measurable(one, runs)]
    failed = []
    for number, training in enumerate(firsts, 1):
        say(f"latency, {number} of {len(firsts)}: {training.folder}")
        try:
            _measure(training, runs)
        except EdgeError as error:
            say(str(error))
            failed.append(str(error))
    return failed


def read_latency(run: Path) -> Result | None:
    """The result of edge-bench for the bundle of a run.

    None if the bundle has to be measured: no result, a newer run, or a result of another version of edge-bench.
    """
    return read_beside(run, LATENCY, Result)


def latency_file(run: Path) -> Path:
    """The file with the measurement of a run's bundle, beside the run."""
    return file_beside(run, LATENCY)


def exported(run: Path, int8: bool = False, simulated: bool = False) -> Path:
    """The bundle beside a run, exported if missing, and then marked as a demonstration if `simulated`.

    Raises DataError if the bundle is older than the run.
    """
    bundle = run.with_name(f"{run.name}.edge")
    if bundle.exists() and is_older(bundle / "manifest.json", run / "model.pt"):
        raise DataError(f"{bundle} is older than its run: remove it")
    options = [*(["--int8"] if int8 else []), *(["--simulated"] if simulated else [])]
    if not bundle.exists() and _run("export.cli", [str(run), "--out", str(bundle), *options]):
        raise DataError(f"{run} could not be exported")
    return bundle


def _measure(training: Training, runs: Path) -> None:
    run, about = runs / training.folder, training.photographs
    bundle = exported(run, training.entry.int8, about.line is not None)
    options = ["--backend", BACKEND, "--precision", "f32", "--frames", str(BENCH_FRAMES), "--paced-s", "0", "--json"]
    size = ["--size", about.frame] if about.frame else []
    command = _command("edge.cli.bench", [str(bundle), *options, *size])
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise DataError(f"{bundle} could not be measured")
    write_whole(latency_file(run), done.stdout)


def _run(module: str, arguments: Sequence[str]) -> int:
    return subprocess.run(_command(module, arguments), check=False).returncode


def _command(module: str, arguments: Sequence[str]) -> list[str]:
    """The command line of a project's command in this interpreter, independent of PATH."""
    return [sys.executable, "-P", "-c", f"import {module} as command; command.main()", *arguments]


def _flat(content: dict[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in content.items():
        flat |= _flat(value, f"{before}{key}.") if isinstance(value, dict) else {f"{before}{key}": value}
    return flat


def _more(differs: list[str]) -> str:
    return f", and {len(differs) - 1} more" if len(differs) > 1 else ""
