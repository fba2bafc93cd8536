"""A run folder: the result of a training, its origin, and its metrics. The exporter reads it through `load_run`.

RUN/run.json         this file's `RunRecord`
RUN/model.pt         {"model": state_dict} of the chosen checkpoint, read with weights_only
RUN/network.py       a copy of the person's file that the network is in, if it is none of the package
RUN/history.csv      the metrics of each epoch
RUN/scores.csv       the scores of photographs, by the chosen checkpoint, and their parts: all of val and test
RUN/split.csv        the split of every photograph, an input for edge-train --split
RUN/photographs.csv  the SHA-256 of every photograph and mask, by which the exporter and the report identify them
RUN/augmentation.png letterboxed and augmented samples of a few photographs
RUN/report.html      a readable report: see train.report
RUN/reconstructions/ an autoencoder's outputs, every few epochs, if the recipe requests pictures
RUN/tensorboard/     the same metrics and pictures for `tensorboard --logdir RUN`
RUN/checkpoints/     best and last, to resume from
RUN.leaks.csv, .png  beside the folder, if different splits show the same thing: the pairs, and pictures of some
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
from edge.terminal.progress import SILENT, Stage
from edge.text import reason_of
from edge.validation import plain
from train.data.leaks import LeakFindings
from train.data.photographs import Photograph, list_photographs
from train.data.split import UNUSED, read_rows, read_split
from train.kinds import KindRecord
from train.models import Network
from train.own_network import network_of
from train.recipe import Recipe
from train.report.overlap import Overlap

SCHEMA = 1
SPLIT_FILE = "split.csv"
PHOTOGRAPHS_FILE = "photographs.csv"
SCORES_FILE = "scores.csv"
WEIGHTS_FILE = "model.pt"
NETWORK_FILE = "network.py"
AUGMENTATION_FILE = "augmentation.png"
REPORT_FILE = "report.html"
SEALED = (WEIGHTS_FILE, SCORES_FILE, SPLIT_FILE, PHOTOGRAPHS_FILE, NETWORK_FILE)
"""Files, where they exist, whose SHA-256 is in run.json, so that files of another run are detected."""


class RunError(EdgeError):
    """A run folder that is missing, unfinished, damaged or of a newer schema."""


class DataRecord(BaseModel):
    """The photographs of a run.

    Folder, fingerprint of the `survey`, numbers by split and label, one line each on their layout and split,
    near-duplicates, the survey's counts, including the reading of masks, and the reading of the picture files (the
    latter three None in a record from before they existed).
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
    """The choices made on the validation photographs. `epoch` counts from 0."""

    model_config = ConfigDict(frozen=True)

    criterion: str
    best: str
    epoch: int
    value: float
    threshold: ChosenThreshold


class SplitFigures(BaseModel):
    """The metrics of one split at the chosen threshold, and the rejection rate of each kind of defect.

    `by_part` evaluates all photographs of a part together, by their mean score; None unless a part is known to have
    several. `overlap` is the overlap of the map with the defects; None without a map or without ground truth.
    """

    model_config = ConfigDict(frozen=True)

    figures: Figures
    rejected_by_defect: dict[str, Rate]
    by_part: Figures | None = None
    overlap: Overlap | None = None


class LastEpoch(BaseModel):
    """The result of the last epoch instead of the kept one. `epoch` counts from 0.

    `value` is its value of the criterion that chose the kept one; `threshold` is its own, chosen in the same way.
    """

    model_config = ConfigDict(frozen=True)

    epoch: int
    value: float
    threshold: ChosenThreshold
    metrics: dict[str, SplitFigures]


class Compared(BaseModel):
    """A recipe that `edge-train auto` considered.

    Its AUROC on the validation photographs with the interval from `low` to `high`, the minutes that it took, and the
    median latency of its graph on a frame; None if it was not trained. `said` is why not, or what could not be told.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    auroc: float | None = None
    low: float | None = None
    high: float | None = None
    minutes: float | None = None
    latency_ms: float | None = None
    said: str | None = None


class Comparison(BaseModel):
    """How `edge-train auto` came to this run: what it considered, what it kept and why, how the parts stand."""

    model_config = ConfigDict(frozen=True)

    candidates: tuple[Compared, ...]
    chosen: str
    why: str
    alignment: str
    latency_limit_ms: float | None = None


class RunRecord(BaseModel):
    """run.json. Until `finished`, training is running or was interrupted. `last` is None if that epoch was kept.

    `comparison` is None unless `edge-train auto` chose the recipe; `kinds` is None unless the network tells kinds of
    defects apart.

    `files` has the SHA-256 of each of `SEALED` by its name; it is empty in a record from before it existed.
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
    comparison: Comparison | None = None
    kinds: KindRecord | None = None
    files: dict[str, str] = {}


@dataclass(frozen=True)
class Run:
    """A finished training: its network in evaluation mode with the chosen weights, and its origin.

    `data` is the folder of the photographs: the recorded one, or a new one if they have moved.
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

        Raises DataError if one is missing.
        """
        file, surveyed = self.path / SPLIT_FILE, self.record.data.survey
        masks = EARLIER if surveyed is None else surveyed.masks
        bits = None if self.record.data.picture is None else self.record.data.picture.bits
        if file.exists():
            return read_split(self.data, file, masks, bits).splits[split]
        return list_photographs(self.data, split, masks, bits)


@dataclass(frozen=True)
class Scored:
    """One row of scores.csv: a photograph and its score. `defect` and `part` are None if unknown."""

    name: str
    split: str
    is_bad: bool
    defect: str | None
    part: str | None
    score: float


def read_scores(path: Path) -> list[Scored]:
    """The scored photographs of the finished run in `path`, in the order of scores.csv. Raises RunError."""
    file = path / SCORES_FILE
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            return [
                Scored(
                    name=row["file"],
                    split=row["split"],
                    is_bad=row["label"] == "bad",
                    defect=row["defect"] or None,
                    part=row.get("part") or None,  # older runs do not have this column
                    score=float(row["score"]),
                )
                for row in csv.DictReader(lines)
            ]
    except OSError as error:
        raise RunError(f"{file} cannot be read: {error.strerror or error}") from None
    except (KeyError, ValueError) as error:
        raise RunError(f"{file} is not the table of a run's scores: {error}") from None


def load_run(path: Path, data: Path | None = None, network_file: Path | None = None) -> Run:
    """Read a finished run; `data` is the folder of its photographs if they have moved.

    A run of a person's own network is loaded with the `network_file` that it was trained with: its code is executed,
    which nobody may cause by sending a run. The photographs are not checked: `check_photographs` does that. Raises
    RunError with a one-line message if the run is not usable or one of its files was not written by the training.
    """
    record = read_record(path)
    if not record.finished:
        raise RunError(
            f"the training in {path} has not finished; go on with it, with the options that it began with: edge-train "
            f"{record.recipe_name} --data {record.data.folder} --out {path} --resume"
        )
    _check_files(path, record.files)
    network = _network(path, record, network_file)
    try:
        weights = torch.load(path / WEIGHTS_FILE, map_location="cpu", weights_only=True)
        network.load_state_dict(weights["model"])
    except (OSError, RuntimeError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
        raise RunError(f"{path / WEIGHTS_FILE} does not hold this run's weights: {reason_of(error)}") from None
    return Run(path, record, network.eval(), data or record.data.folder)


def _network(path: Path, record: RunRecord, file: Path | None) -> Network:
    """The untrained network of the run."""
    model = record.recipe.model
    if file is not None and not model.is_own:
        raise RunError(f"{path} was trained with {model.name}, a network of the package: leave --network out")
    if file is None and model.is_own:
        raise RunError(
            f"{path} was trained with {model.label}, whose code would run here; if you trust it, name it: "
            f"--network {path / NETWORK_FILE}"
        )
    return network_of(record.recipe, file, record.files.get(NETWORK_FILE))


def hash_files(path: Path) -> dict[str, str]:
    """The SHA-256 of each of `SEALED` that is in the run folder `path`."""
    return {name: sha256(path / name) for name in SEALED if (path / name).exists()}


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


def check_photographs(run: Run, stage: Stage = SILENT.begin) -> None:
    """Raise RunError with a one-line message unless the photographs in `run.data` are those of the run.

    The message names the first few that have changed, are missing or were added, and the remedy.
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
    now = hash_photographs(listed, stage)
    used = {name: hashed for name, hashed in now.items() if name not in unused}
    # A run without photographs.csv does not record whether unused photographs were surveyed.
    if run.fingerprint in (fingerprint(used), fingerprint(now) if recorded is None else None):
        return
    by_name = differences({name: used.get(name, UNKNOWN) for name in split.keys() - unused}, used)
    said = (recorded is None and by_name) or changes(recorded, used, run.fingerprint)
    raise RunError(
        f"the photographs in {run.data} are not the ones that {run.path} was made from: {said}; "
        f"put them back, or train again ({moved})"
    )


def _recorded_split(path: Path) -> dict[str, str]:
    """The split of each photograph in RUN/split.csv; empty in a run from before that file existed."""
    file = path / SPLIT_FILE
    return {name: row["split"] for name, row in read_rows(file).items()} if file.exists() else {}


def changes(recorded: Hashes | None, now: Hashes, expected: str) -> str:
    """How photographs without the fingerprint `expected` differ from the `recorded` ones, if any, as text."""
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
        raise RunError(f"{file}: {plain(error, RunRecord)}; it is not as edge-train wrote it") from None


def write_record(path: Path, record: RunRecord) -> None:
    """Write run.json, whole or not at all."""
    write_whole(path / "run.json", record.model_dump_json(indent=2) + "\n")
