"""A run folder: what a training made, what from, and how good it is. The exporter reads it through `load_run`.

RUN/run.json         this file's `RunRecord`
RUN/model.pt         {"model": state_dict} of the chosen checkpoint, read with weights_only
RUN/history.csv      the figures of each epoch
RUN/scores.csv       the score of every photograph, by the chosen checkpoint, and the part that it shows
RUN/split.csv        the split of every photograph: edge-train --split takes it
RUN/photographs.csv  the SHA-256 of every photograph and mask: by them the exporter and the report know them again
RUN/augmentation.png what letterbox and augmentation make of a few photographs
RUN/report.html      all of it for a person to read: see train.report
RUN/reconstructions/ what an autoencoder drew after every so many epochs, where the recipe asks for pictures
RUN/tensorboard/     the same figures and pictures for `tensorboard --logdir RUN`
RUN/checkpoints/     best and last, to resume from
RUN.leaks.csv, .png  beside the folder, where different splits show the same thing: the pairs, and pictures of some
"""

import csv
import json
import pickle
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from edge.bundle import sha256
from edge.errors import DataError, EdgeError
from edge.evaluation.metrics import Figures, Rate
from edge.evaluation.thresholds import ChosenThreshold
from edge.files import write_whole
from edge.letterbox.contract import LetterboxContract
from edge.photographs.fingerprint import UNKNOWN, Hashes, differences, fingerprint, hash_photographs, read_hashes
from edge.photographs.listing import read_listing
from edge.photographs.masks import EARLIER
from edge.photographs.survey import SurveyRecord
from edge.pictures.contract import PictureContract
from train.data.leaks import LeakFindings
from train.data.photographs import Photograph, list_photographs
from train.data.split import UNUSED, read_rows, read_split
from train.models import Network, build_network
from train.recipe import Recipe
from train.report.overlap import Overlap

SCHEMA = 1
SPLIT_FILE = "split.csv"
PHOTOGRAPHS_FILE = "photographs.csv"
SCORES_FILE = "scores.csv"
WEIGHTS_FILE = "model.pt"
AUGMENTATION_FILE = "augmentation.png"
REPORT_FILE = "report.html"
SEALED = (WEIGHTS_FILE, SCORES_FILE, SPLIT_FILE, PHOTOGRAPHS_FILE)
"""Files whose SHA-256 run.json has: those of another run in their place are noticed."""


class RunError(EdgeError):
    """A run folder that is missing, unfinished, damaged or of a newer schema."""


class DataRecord(BaseModel):
    """The photographs a run was made from.

    Folder, `survey` fingerprint, how many by split and label, their layout and how they were split, each in one line,
    what was found of near-duplicates, what the survey counted, which includes how masks are read, and how the files
    were read as pictures (each None in a record from before that was looked for).
    """

    model_config = ConfigDict(frozen=True)

    folder: Path
    fingerprint: str
    photographs: dict[str, dict[str, int]]
    layout: str = ""
    split: str = ""
    leaks: LeakFindings | None = None
    survey: SurveyRecord | None = None
    picture: PictureContract | None = None


class Selection(BaseModel):
    """What was chosen, on the validation photographs alone. `epoch` counts from 0."""

    model_config = ConfigDict(frozen=True)

    criterion: str
    best: str
    epoch: int
    value: float
    threshold: ChosenThreshold


class SplitFigures(BaseModel):
    """What the judge says of one split at the chosen threshold, and what is rejected of each kind of defect.

    `by_part` judges all photographs of a part together, by the mean of their scores; None where no part is known to
    have several. `overlap` says how well the map covers the defects; None without a map or without ground truth.
    """

    model_config = ConfigDict(frozen=True)

    figures: Figures
    rejected_by_defect: dict[str, Rate]
    by_part: Figures | None = None
    overlap: Overlap | None = None


class LastEpoch(BaseModel):
    """What the last epoch would have given instead of the one kept. `epoch` counts from 0.

    `value` is that of the criterion by which the other was kept; `threshold` is its own, chosen the same way.
    """

    model_config = ConfigDict(frozen=True)

    epoch: int
    value: float
    threshold: ChosenThreshold
    metrics: dict[str, SplitFigures]


class RunRecord(BaseModel):
    """run.json. Until `finished`, training goes on or was interrupted. `last` is None if that epoch was kept.

    `files` holds the SHA-256 of each of `SEALED` by its name; it is empty in a record from before they were recorded.
    """

    model_config = ConfigDict(frozen=True)

    schema_version: int = SCHEMA
    finished: bool
    recipe_name: str
    recipe: Recipe
    data: DataRecord
    provenance: dict[str, str]
    parameters: int
    minutes: float | None = None
    selection: Selection | None = None
    metrics: dict[str, SplitFigures] = {}
    last: LastEpoch | None = None
    files: dict[str, str] = {}


@dataclass(frozen=True)
class Run:
    """A finished training: its network in evaluation mode with the chosen weights, and where it comes from.

    `data` is the folder of the photographs: the recorded one, or the one that they have moved to.
    """

    path: Path
    record: RunRecord
    network: Network
    data: Path

    @property
    def recipe(self) -> Recipe:
        """The effective recipe, overrides included."""
        return self.record.recipe

    @property
    def contract(self) -> LetterboxContract:
        """The letterbox contract that the network was trained with."""
        return self.recipe.letterbox

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the photographs, sha256 in hexadecimal."""
        return self.record.data.fingerprint

    def photographs(self, split: str) -> list[Photograph]:
        """The photographs of "train", "val" or "test", read as in the training.

        Raises DataError if they are not all there any more.
        """
        file, surveyed = self.path / SPLIT_FILE, self.record.data.survey
        masks = EARLIER if surveyed is None else surveyed.masks
        bits = None if self.record.data.picture is None else self.record.data.picture.bits
        if file.exists():
            return read_split(self.data, file, masks, bits).splits[split]
        return list_photographs(self.data, split, masks, bits)


@dataclass(frozen=True)
class Scored:
    """One row of scores.csv: a photograph and its score. `defect` and `part` are None where they are unknown."""

    name: str
    split: str
    is_bad: bool
    defect: str | None
    part: str | None
    score: float


def read_scores(path: Path) -> list[Scored]:
    """Every photograph of the finished run in `path`, in the order of scores.csv. Raises RunError."""
    file = path / SCORES_FILE
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            return [
                Scored(
                    name=row["file"],
                    split=row["split"],
                    is_bad=row["label"] == "bad",
                    defect=row["defect"] or None,
                    part=row.get("part") or None,  # runs from before that column have none
                    score=float(row["score"]),
                )
                for row in csv.DictReader(lines)
            ]
    except OSError as error:
        raise RunError(f"{file} cannot be read: {error.strerror or error}") from None
    except (KeyError, ValueError) as error:
        raise RunError(f"{file} is not the table of a run's scores: {error}") from None


def load_run(path: Path, data: Path | None = None) -> Run:
    """Read a finished run, whose photographs have moved to `data` if that is given.

    The photographs are not looked at: `check_photographs` does that. Raises RunError, in one line, if the run cannot
    be used as it is or one of its files is not the one that the training wrote.
    """
    record = read_record(path)
    if not record.finished:
        raise RunError(f"the training in {path} has not finished; go on with it: edge-train … --out {path} --resume")
    _check_files(path, record.files)
    network = build_network(record.recipe.model.name, record.recipe.model.options)
    try:
        weights = torch.load(path / WEIGHTS_FILE, map_location="cpu", weights_only=True)
        network.load_state_dict(weights["model"])
    except (OSError, RuntimeError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).strip().splitlines()[0]
        raise RunError(f"{path / WEIGHTS_FILE} does not hold this run's weights: {reason}") from None
    return Run(path, record, network.eval(), data or record.data.folder)


def hash_files(path: Path) -> dict[str, str]:
    """The SHA-256 of each of `SEALED` in the run folder `path`."""
    return {name: sha256(path / name) for name in SEALED}


def _check_files(path: Path, files: dict[str, str]) -> None:
    for name, expected in files.items():
        try:
            found = sha256(path / name)
        except OSError as error:
            reason = error.strerror or error
            raise RunError(f"{path / name} cannot be read: {reason}; copy the whole run again") from None
        if found != expected:
            raise RunError(
                f"{path / name} is not the file that this training wrote: it was changed, or belongs to another run; "
                "put back the one of this run, or train again"
            )


def check_photographs(run: Run) -> None:
    """Raise RunError, in one line, unless the photographs in `run.data` are the ones that the run was made from.

    The line names the first few that have changed, are missing or were added, and what to do.
    """
    moved = "if the photographs have moved, --data FOLDER says where they are now"
    if not run.data.is_dir():
        raise RunError(f"{run.path} was made from photographs in {run.data}, and there is no such folder; {moved}")
    try:
        listed = read_listing(run.data).photographs
    except DataError as error:
        raise RunError(f"{run.path} was made from photographs in {run.data}: {error}; {moved}") from None
    hashes_file = run.path / PHOTOGRAPHS_FILE
    recorded = read_hashes(hashes_file) if hashes_file.exists() else None
    split = _recorded_split(run.path)
    unused = {name for name, where in split.items() if where == UNUSED} - set(recorded or {})
    now = hash_photographs(listed)
    used = {name: hashed for name, hashed in now.items() if name not in unused}
    # A run without photographs.csv does not say whether those that it leaves out were looked at.
    if run.fingerprint in (fingerprint(used), fingerprint(now) if recorded is None else None):
        return
    by_name = differences({name: used.get(name, UNKNOWN) for name in split.keys() - unused}, used)
    said = (recorded is None and by_name) or changes(recorded, used, run.fingerprint)
    raise RunError(
        f"the photographs in {run.data} are not the ones that {run.path} was made from: {said}; "
        f"put them back, or train again ({moved})"
    )


def _recorded_split(path: Path) -> dict[str, str]:
    """The split of each photograph that RUN/split.csv names; empty in a run from before there was one."""
    file = path / SPLIT_FILE
    return {name: row["split"] for name, row in read_rows(file).items()} if file.exists() else {}


def changes(recorded: Hashes | None, now: Hashes, expected: str) -> str:
    """How photographs that do not have the fingerprint `expected` differ from the `recorded` ones, if any were."""
    if recorded is None:
        return "their fingerprint differs; this run is from before each photograph's hash was recorded"
    if fingerprint(recorded) != expected:
        return f"the fingerprint differs, and {PHOTOGRAPHS_FILE} is not of this run"
    return differences(recorded, now)


def read_record(path: Path) -> RunRecord:
    """Read and check run.json. Raises RunError."""
    file = path / "run.json"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError:
        raise RunError(f"{path} is not a run: it has no run.json") from None
    except ValueError as error:
        raise RunError(f"{file} is not JSON: {error}") from None
    version = content.get("schema_version") if isinstance(content, dict) else None
    if isinstance(version, int) and version > SCHEMA:
        raise RunError(f"{file} has schema {version}, this program knows up to {SCHEMA}: install a newer one")
    try:
        return RunRecord.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise RunError(f"{file}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def write_record(path: Path, record: RunRecord) -> None:
    """Write run.json, whole or not at all."""
    write_whole(path / "run.json", record.model_dump_json(indent=2) + "\n")
