"""Trains a recipe on photographs and writes a run: data, network, epochs, choice, figures, in this order."""

import csv
import importlib.metadata
import logging
import platform
import shlex
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from lightning import Trainer
from lightning.pytorch.accelerators import AcceleratorRegistry
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, WeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor
from torch.utils.data import DataLoader

from edge.errors import DataError, RecipeError
from edge.evaluation.metrics import Figures, judge, part_scores, rejected_by_group
from edge.evaluation.thresholds import ChosenThreshold, choose_threshold, strategy_parameters
from edge.machine import cores, cpu_model
from edge.photographs.fingerprint import Hashes, fingerprint, read_hashes, write_hashes
from edge.pictures.contract import PictureContract
from train.data.leaks import find_leaks, settle_leaks
from train.data.photographs import Photograph, survey
from train.data.rendered import Rendered, Shuffled, in_order
from train.data.split import AS_FOLDERS, SplitChoice, divide, write_split
from train.learner import FIGURES, Learner
from train.models import Network, build_network, check_side, checked_options
from train.normalisation import normalised_by_data
from train.progress import STDERR, History, Reporter, Sketches, reading_bar
from train.recipe import Recipe
from train.reconstruction import Reconstruction
from train.report.augmentation import write_augmentation
from train.report.overlap import overlaps
from train.run import (
    AUGMENTATION_FILE,
    PHOTOGRAPHS_FILE,
    SCORES_FILE,
    SPLIT_FILE,
    WEIGHTS_FILE,
    DataRecord,
    LastEpoch,
    Run,
    RunError,
    RunRecord,
    Selection,
    SplitFigures,
    changes,
    hash_files,
    load_run,
    read_record,
    write_record,
)
from train.score import score_photographs
from train.weights import start_from

FEWEST = 4
"""Photographs of a class to learn from; fewer are a mistake, not a data set."""

Splits = dict[str, list[Photograph]]
Scores = npt.NDArray[np.float32]


def fit(
    name: str,
    recipe: Recipe,
    data: Path,
    out: Path,
    resume: bool = False,
    quiet: bool = False,
    choice: SplitChoice = AS_FOLDERS,
    accelerator: str = "auto",
) -> Run:
    """Train `recipe` on the photographs in `data`, split and read as `choice` says; write the run `out`, read it back.

    With `resume` an interrupted training of the same recipe and photographs goes on where it stopped, to the result
    that it would have had. Everything is chosen on the validation photographs; the test photographs are scored at the
    end, by the epoch kept and by the last one, and nothing is chosen by them. `accelerator` is Lightning's name of
    where to train: one device of that kind. Raises RecipeError, DataError or RunError before the first epoch if
    something cannot work.
    """
    began = time.monotonic()
    check_out(out, resume)
    check_accelerator(accelerator)
    torch.manual_seed(recipe.train.seed)
    network = build_network(recipe.model.name, recipe.model.options).to(memory_format=torch.channels_last)
    if recipe.letterbox.warning:
        say(f"beware: {recipe.letterbox.warning}", quiet)
    division = divide(data, choice)
    check(recipe, network, data, division.splits)
    start = start_from(network, recipe.model.weights, recipe.model.weights_key)
    if start:
        say(start, quiet)
    everything = [p for split in division.splits.values() for p in split]
    say(f"reading {len(everything)} photographs ({division.layout}; {division.said})", quiet)
    with reading_bar(len(everything), quiet) as advance:
        masks_needed = network.learns_from == "masks"
        surveyed = survey(everything, masks_needed, recipe.letterbox, division.left_out, advance)
    if resume:
        check_resumed(out, surveyed.hashes)
    for line in surveyed.record(division.splits).lines():
        say(line, quiet)
    found = find_leaks(division.splits, surveyed.thumbnails)
    division, leaks = settle_leaks(division, found, choice.leaks, out)
    say(str(leaks), quiet)
    splits = division.splits
    check(recipe, network, data, splits)
    origins = {"weights": start.removeprefix("weights: ") if start else "random initialisation"}
    if recipe.train.normalise == "data":
        recipe = normalised_by_data(recipe, taught(network, splits))
        mean, std = (" ".join(f"{value:g}" for value in row) for row in (recipe.letterbox.mean, recipe.letterbox.std))
        origins["normalisation"] = f"by the training photographs: mean {mean}, deviation {std}"
        say(f"normalisation {origins['normalisation']}", quiet)
    learner = Learner(network, recipe)
    record = new_record(
        name,
        recipe,
        DataRecord(
            folder=data.resolve(),
            fingerprint=surveyed.fingerprint,
            photographs={split: class_counts(photographs) for split, photographs in splits.items()},
            layout=division.layout,
            split=division.said,
            leaks=leaks,
            survey=surveyed.record(splits),
            picture=PictureContract(bits=choice.bits),
        ),
        network,
        origins,
    )
    open_run(out, record, resume)
    write_hashes(out / PHOTOGRAPHS_FILE, surveyed.hashes)
    write_split(out / SPLIT_FILE, division)
    write_augmentation(out / AUGMENTATION_FILE, recipe, splits["train"], network.learns_from == "good")

    good = [photograph for photograph in splits["train"] if not photograph.is_bad]
    with torch.no_grad():
        network.eval().familiarise(in_order(Rendered(good, recipe.letterbox, exact=True), recipe.train.batch))
    network.train()  # Lightning trains each module in the mode that it finds it in
    with quiet_lightning():
        checkpoint = run_epochs(learner, splits, out, resume, quiet, accelerator)
    epoch = take_checkpoint(checkpoint, network, recipe, splits["val"])
    weights = {key: value.contiguous() for key, value in network.state_dict().items()}
    torch.save({"model": weights}, out / WEIGHTS_FILE)

    say("scoring", quiet)
    threshold, metrics = judge_splits(network, recipe, splits, out / SCORES_FILE)
    selection = Selection(
        criterion=recipe.checkpoint.criterion,
        best=recipe.checkpoint.best,
        epoch=epoch,
        value=criterion_at(out, recipe.checkpoint.criterion, epoch),
        threshold=threshold,
    )
    last = judge_last_epoch(network, recipe, splits, out, epoch)
    minutes = round((time.monotonic() - began) / 60, 2)
    outcome = {"finished": True, "minutes": minutes, "selection": selection, "metrics": metrics, "last": last}
    write_record(out, record.model_copy(update=outcome | {"files": hash_files(out)}))
    return load_run(out)


def check(recipe: Recipe, network: Network, data: Path, splits: Splits) -> None:
    """Refuse what cannot work before anything is rendered. Raises DataError or RecipeError."""
    checked_options(network.loss, recipe.loss.options, "[loss]")
    counts = {split: class_counts(photographs) for split, photographs in splits.items()}
    needed = {"good": "good"} if network.learns_from == "good" else {"good": "good", "bad": "bad"}
    for label in needed:
        if counts["train"][label] < FEWEST:
            raise DataError(
                f"{data}: train/{label} holds {counts['train'][label]} photographs; {recipe.model.name} "
                f"learns from {' and '.join(needed)} ones and needs at least {FEWEST}"
            )
    if not counts["val"]["good"]:
        raise DataError(f"{data}: val/good holds no photographs; the threshold is chosen on those in val/")
    strategy_parameters(recipe.threshold.strategy, recipe.threshold.options)
    probe = [(0.0, False), (1.0, True)] if counts["val"]["bad"] else [(0.0, False)]
    choose_threshold(*map(list, zip(*probe, strict=True)), recipe.threshold.strategy, **recipe.threshold.options)
    if recipe.letterbox.channels != network.channels:
        raise RecipeError(
            f"letterbox.colour = {recipe.letterbox.colour!r}: {recipe.model.name} sees {network.channels} channels; "
            "for grey frames set letterbox.frame to 'grey' and leave letterbox.colour out"
        )
    check_side(network, recipe.letterbox.side)
    crop, side = recipe.train.crop, recipe.letterbox.side
    if crop and not network.takes_any_size:
        raise RecipeError(f"train.crop = {crop}: {recipe.model.name} learns from whole pictures of its side")
    if crop and crop > side:
        raise RecipeError(
            f"letterbox.side = {side} is less than train.crop = {crop}: set train.crop to at most {side} too, "
            f"or letterbox.side to at least {crop}"
        )
    if recipe.train.crop and recipe.augment.enlarge:
        raise RecipeError("train.crop and augment.enlarge: a crop cannot be enlarged back to the side; leave one out")
    if recipe.train.average and network.learns_by == "statistics":
        raise RecipeError(f"train.average: {recipe.model.name} takes no steps whose weights could be averaged")
    criterion = recipe.checkpoint.criterion
    if criterion not in FIGURES:
        raise RecipeError(f"no checkpoint criterion {criterion!r}; there are {', '.join(FIGURES)}")
    if criterion in FIGURES[2:] and not counts["val"]["bad"]:
        raise DataError(f"checkpoint criterion {criterion!r} needs photographs in {data / 'val' / 'bad'}; try val_loss")
    if criterion == "val_dice" and network.learns_from != "masks":
        raise RecipeError(f"checkpoint criterion 'val_dice': {recipe.model.name} does not learn from masks")


def taught(network: Network, splits: Splits) -> list[Photograph]:
    """The photographs that this network learns from."""
    return [p for p in splits["train"] if not (p.is_bad and network.learns_from == "good")]


def class_counts(photographs: list[Photograph]) -> dict[str, int]:
    """How many are good and how many bad."""
    bad = sum(photograph.is_bad for photograph in photographs)
    return {"good": len(photographs) - bad, "bad": bad}


def new_record(name: str, recipe: Recipe, data: DataRecord, network: Network, origins: dict[str, str]) -> RunRecord:
    """The record of a training that begins now; `origins` say what it begins with."""
    libraries = ("edge-inspect", "torch", "lightning", "kornia", "numpy", "opencv-python-headless")
    return RunRecord(
        finished=False,
        recipe_name=name,
        recipe=recipe,
        data=data,
        provenance={
            "command": shlex.join(["edge-train", *sys.argv[1:]]),
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "platform": platform.platform(),
            "processor": f"{cpu_model()}, {cores()} cores",
            **origins,
            "python": platform.python_version(),
            **{library: importlib.metadata.version(library) for library in libraries},
        },
        parameters=sum(parameter.numel() for parameter in network.parameters()),
    )


def check_out(out: Path, resume: bool) -> None:
    """Raise RunError if something lies where a new run is to be written."""
    if not resume and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RunError(f"{out} already exists; --resume goes on with it, or give --out another folder")


def check_accelerator(name: str) -> None:
    """Raise RecipeError unless Lightning finds it on this machine."""
    kinds = AcceleratorRegistry.available_accelerators()
    here = ["auto", *(kind for kind in kinds if AcceleratorRegistry[kind]["accelerator"].is_available())]
    here += ["gpu"] if {"cuda", "mps"} & set(here) else []
    if name not in here:
        raise RecipeError(f"no accelerator {name!r} on this machine; there are {', '.join(here)}")


def check_resumed(out: Path, hashes: Hashes) -> None:
    """Raise RunError unless these are the photographs that the training in `out` began with."""
    before, file = read_record(out), out / PHOTOGRAPHS_FILE
    if before.data.fingerprint != fingerprint(hashes):
        said = changes(read_hashes(file) if file.exists() else None, hashes, before.data.fingerprint)
        raise RunError(
            f"the photographs have changed since {out} began: {said}; put them back, or give --out another folder"
        )


def open_run(out: Path, record: RunRecord, resume: bool) -> None:
    """Make the run folder, or see that the one to resume is of the same training. Raises RunError."""
    if not resume:
        out.mkdir(parents=True, exist_ok=True)
        write_record(out, record)
        return
    before = read_record(out)
    if before.recipe != record.recipe:
        raise RunError(f"{out} was made with other settings; give those it began with, or --out another folder")
    if before.data.picture not in (None, record.data.picture):
        raise RunError(f"{out} began with --bits {before.data.picture.bits}; give the same, or --out another folder")


def run_epochs(learner: Learner, splits: Splits, out: Path, resume: bool, quiet: bool, accelerator: str) -> Path:
    """Train to the end, and return the checkpoint that the criterion chose."""
    recipe, network = learner.recipe, learner.network
    train = taught(network, splits)
    batch = min(recipe.train.batch, len(train))
    loader = DataLoader(
        Rendered(train, recipe.letterbox, exact=False).keep(),
        batch_size=batch,
        sampler=Shuffled(train, recipe.train.seed, recipe.train.bad_share),
        drop_last=True,
    )
    validation = in_order(Rendered(splits["val"], recipe.letterbox, exact=True).keep(), recipe.train.batch)
    monitor, mode = recipe.checkpoint.criterion, "min" if recipe.checkpoint.best == "lowest" else "max"
    folder = out / "checkpoints"
    best = ModelCheckpoint(folder, "best", monitor=monitor, mode=mode, enable_version_counter=False)
    last = ModelCheckpoint(folder, "last", enable_version_counter=False, save_on_train_epoch_end=True)
    stops = [EarlyStopping(monitor, mode=mode, patience=recipe.train.patience)] if recipe.train.patience else []
    decay = recipe.train.average
    average = [WeightAveraging(avg_fn=lambda old, new, _: moving_average(old, new, decay))] if decay else []
    sketches = []
    if recipe.train.pictures and isinstance(network, Reconstruction):
        shown = Rendered(a_few_of_each(splits["val"]), recipe.letterbox, exact=True)
        sketches = [Sketches(out / "reconstructions", shown, recipe.letterbox, recipe.train.pictures)]
    trainer = Trainer(
        max_epochs=recipe.train.epochs,
        accelerator=accelerator,
        devices=1,  # with several, each would judge its share of the validation photographs alone
        logger=TensorBoardLogger(out, "", "tensorboard", default_hp_metric=False),
        callbacks=[*average, best, *stops, *sketches, Reporter(quiet), History(out / "history.csv"), last],
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        deterministic=True,
        precision="bf16-mixed" if recipe.train.precision == "bfloat16" else "32-true",
    )
    previous = folder / "last.ckpt"
    checkpoint = previous if resume and previous.exists() else None
    try:
        trainer.fit(learner, loader, validation, ckpt_path=checkpoint, weights_only=True)
    except SystemExit:  # how Lightning answers Ctrl-C
        epoch = trainer.current_epoch + 1
        raise RunError(f"interrupted in epoch {epoch}; the same command with --resume goes on") from None
    return Path(best.best_model_path)


def take_checkpoint(file: Path, network: Network, recipe: Recipe, validation: list[Photograph]) -> int:
    """Give `network` the weights that Lightning wrote, calibrated; returns the epoch they are of, from 0."""
    content = torch.load(file, map_location="cpu", weights_only=True)
    network.cpu()
    network.load_state_dict(
        {
            key.removeprefix("network."): value
            for key, value in content["state_dict"].items()
            if key.startswith("network.")
        }
    )
    with torch.no_grad():
        network.eval().calibrate(in_order(Rendered(validation, recipe.letterbox, exact=True), recipe.train.batch))
    return int(content["epoch"])


def a_few_of_each(photographs: list[Photograph], count: int = 4) -> list[Photograph]:
    """The first good ones and the first bad ones."""
    return [p for bad in (False, True) for p in [p for p in photographs if p.is_bad is bad][:count]]


def moving_average(average: Tensor, weight: Tensor, decay: float) -> Tensor:
    """One step of an exponential average that leaves what does not change as it is, and counts as counts."""
    return average.lerp(weight, 1 - decay) if weight.is_floating_point() else weight


def judge_last_epoch(network: Network, recipe: Recipe, splits: Splits, out: Path, kept: int) -> LastEpoch | None:
    """The last epoch judged as the one `kept` was, by a threshold of its own; None if they are the same.

    `network` has the weights of the last epoch afterwards.
    """
    file = out / "checkpoints" / "last.ckpt"
    if torch.load(file, map_location="cpu", weights_only=True)["epoch"] == kept:
        return None
    epoch = take_checkpoint(file, network, recipe, splits["val"])
    threshold, metrics = judge_splits(network, recipe, {split: splits[split] for split in ("val", "test")})
    value = criterion_at(out, recipe.checkpoint.criterion, epoch)
    return LastEpoch(epoch=epoch, value=value, threshold=threshold, metrics=metrics)


def judge_splits(
    network: Network, recipe: Recipe, splits: Splits, file: Path | None = None
) -> tuple[ChosenThreshold, dict[str, SplitFigures]]:
    """Score all of `splits`, choose the threshold on val, judge val and test by it; `file` gets the scores."""
    scores = {
        split: score_photographs(network, recipe.letterbox, photographs)
        for split, photographs in splits.items()
        if photographs
    }
    threshold = choose_threshold(
        scores["val"], labels(splits["val"]), recipe.threshold.strategy, **recipe.threshold.options
    )
    covered = overlaps(network, recipe.letterbox, {split: splits[split] for split in scores if split != "train"})
    metrics = {
        split: SplitFigures(
            figures=judge(scores[split], labels(splits[split]), threshold.value),
            rejected_by_defect=rejected_by_group(
                scores[split], [p.defect or p.label for p in splits[split]], threshold.value
            ),
            by_part=judge_parts(scores[split], splits[split], threshold.value),
            overlap=covered.get(split),
        )
        for split in scores
        if split != "train"
    }
    if file is not None:
        write_scores(file, splits, scores)
    return threshold, metrics


def write_scores(file: Path, splits: Splits, scores: dict[str, Scores]) -> None:
    """scores.csv: the score of every photograph, split by split."""
    with file.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines)
        writer.writerow(["file", "split", "label", "defect", "part", "score"])
        for split, values in scores.items():
            for photo, score in zip(splits[split], values, strict=True):
                part = photo.details.get("part", "")
                writer.writerow([photo.name, split, photo.label, photo.defect or "", part, f"{score:.9g}"])


def judge_parts(scores: Scores, photographs: list[Photograph], threshold: float) -> Figures | None:
    """What the judge says of whole parts, by the mean score of their photographs; None unless some have several."""
    parts = [photograph.details.get("part", "") for photograph in photographs]
    if not all(parts) or len(set(parts)) == len(parts):
        return None
    return judge(*part_scores(scores, labels(photographs), parts), threshold)


def labels(photographs: list[Photograph]) -> list[bool]:
    """True for each bad one."""
    return [photograph.is_bad for photograph in photographs]


def criterion_at(out: Path, criterion: str, epoch: int) -> float:
    """The criterion's value in the row of an epoch of history.csv."""
    with (out / "history.csv").open(newline="") as lines:
        return next(float(row[criterion]) for row in csv.DictReader(lines) if int(row["epoch"]) == epoch)


def say(message: str, quiet: bool) -> None:
    """One line on standard error."""
    if not quiet:
        STDERR.print(message, highlight=False, soft_wrap=True)


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Lightning's notices about devices, workers and itself say nothing that a person here could act on."""
    log = logging.getLogger("lightning.pytorch")
    level = log.level
    log.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning.*")
        warnings.filterwarnings("ignore", module="torch.*")
        yield
    log.setLevel(level)
