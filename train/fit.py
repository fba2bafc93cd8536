"""Trains a recipe on photographs and writes a run: data, network, epochs, choice, figures, in this order."""

import csv
import hashlib
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
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from lightning import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, WeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor
from torch.utils.data import DataLoader

from edge.errors import DataError, RecipeError
from edge.evaluation.metrics import Figures, judge, part_scores, rejected_by_group
from edge.evaluation.thresholds import ChosenThreshold, check_choice, choose_threshold
from edge.files import written_whole
from edge.machine import cores, cpu_model
from edge.photographs.fingerprint import Hashes, fingerprint, read_hashes, write_hashes
from edge.photographs.photograph import known_parts
from edge.pictures.contract import PictureContract
from edge.terminal.progress import SILENT, Progress, Stage, counted_by
from edge.text import counted
from train.allocator import keep_large_blocks
from train.data.leaks import find_leaks, settle_leaks
from train.data.photographs import Photograph, Survey, survey
from train.data.rendered import Rendered, Shares, Shuffled, in_order
from train.data.split import AS_FOLDERS, Division, SplitChoice, divide, write_split
from train.devices import ONE_DEVICE, Devices
from train.kinds import learn_kinds
from train.learner import FIGURES, Learner
from train.models import Network, check_side, checked_options, network_class
from train.normalisation import normalised_by_data
from train.own_network import network_of
from train.progress import History, Reporter, Sketches
from train.recipe import Recipe, load_recipe, recipe_names
from train.reconstruction import Reconstruction
from train.report.augmentation import write_augmentation
from train.report.overlap import overlaps
from train.run import (
    AUGMENTATION_FILE,
    NETWORK_FILE,
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
"""Fewest training photographs of a class; fewer are taken for a mistake."""

SCORED_OF_TRAINING = 250
"""Training photographs of each class that are scored after a training."""

Splits = dict[str, list[Photograph]]
Scores = npt.NDArray[np.float32]


def fit(
    name: str,
    recipe: Recipe,
    data: Path,
    out: Path,
    resume: bool = False,
    choice: SplitChoice = AS_FOLDERS,
    devices: Devices = ONE_DEVICE,
    progress: Progress = SILENT,
) -> Run | None:
    """Train `recipe` on the photographs in `data`, split and read according to `choice`; write the run `out`, load it.

    With `resume` an interrupted training of the same recipe and photographs continues where it stopped, with the same
    result as without the interruption. All choices are made on the validation photographs; the test photographs are
    scored at the end, with the kept epoch and the last one, and influence no choice. With several `devices` each
    process calls this function, the first one writes the run, and the others return None after the last epoch.
    `progress` shows the work of the first one. Raises RecipeError, DataError or RunError before the first epoch if
    something cannot work.
    """
    began, is_first = time.monotonic(), devices.rank == 0
    keep_large_blocks()
    if is_first:
        check_out(out, resume)
    else:
        progress = SILENT
    devices.check_machine()
    progress.begin("building the network")
    torch.manual_seed(recipe.train.seed)
    network = network_of(recipe)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch documents it, its types lack it
    if recipe.letterbox.warning:
        progress.say(f"warning: {recipe.letterbox.warning}")
    division = divide(data, choice)
    devices.check_recipe(recipe.train.batch, network.learns_by, recipe.model.name)
    check(recipe, network, data, division.splits)
    start = start_from(network, recipe.model.weights, recipe.model.weights_key)
    if start:
        progress.say(start)
    surveyed = _surveyed(division, recipe, network, progress)
    if resume:
        check_resumed(out, surveyed.hashes)
    for line in surveyed.record(division.splits).lines():
        progress.say(line)
    found = find_leaks(division.splits, surveyed.thumbnails, progress.begin)
    division, leaks = settle_leaks(division, found, choice.leaks, out)
    progress.say(str(leaks))
    splits = division.splits
    check(recipe, network, data, splits)
    recipe = for_unmarked(recipe, splits["train"], progress)
    origins = {"weights": start.removeprefix("weights: ") if start else "random initialisation"}
    if recipe.train.normalise == "data":
        recipe = normalised_by_data(recipe, taught(network, splits), progress.begin)
        mean, std = (" ".join(f"{value:g}" for value in row) for row in (recipe.letterbox.mean, recipe.letterbox.std))
        origins["normalisation"] = f"by the training photographs: mean {mean}, deviation {std}"
        progress.say(f"normalisation {origins['normalisation']}")
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
    if network.source is not None:
        record = record.model_copy(update={"files": {NETWORK_FILE: hashlib.sha256(network.source).hexdigest()}})
    if is_first:
        open_run(out, record, resume)
        write_hashes(out / PHOTOGRAPHS_FILE, surveyed.hashes)
        write_split(out / SPLIT_FILE, division)
        write_network(out, network)
        progress.begin("drawing samples of the augmented photographs")
        write_augmentation(out / AUGMENTATION_FILE, recipe, splits["train"], network)

    good = [photograph for photograph in splits["train"] if not photograph.is_bad]
    batches = in_order(Rendered(good, recipe.letterbox, exact=True), recipe.train.batch)
    with torch.no_grad():
        network.eval().familiarise(counted_by(progress.begin, "learning what good photographs look like", batches))
    network.train()  # Lightning keeps the mode that each module has
    with quiet_lightning():
        checkpoint = run_epochs(learner, splits, out, resume, devices, progress)
    if not is_first:
        return None
    epoch = take_checkpoint(checkpoint, network, recipe, splits["val"], progress.begin)
    kinds = learn_kinds(network, recipe.letterbox, splits, progress.begin)
    if kinds is not None:
        progress.say(kinds.said)
    weights = {key: value.contiguous() for key, value in network.state_dict().items()}
    torch.save({"model": weights}, out / WEIGHTS_FILE)

    outcome = _outcome(network, recipe, splits, out, epoch, progress.begin)
    write_network(out, network)
    minutes = round((time.monotonic() - began) / 60, 2)
    outcome |= {"finished": True, "minutes": minutes, "files": hash_files(out), "kinds": kinds}
    write_record(out, record.model_copy(update=outcome))
    return load_run(out, network_file=out / NETWORK_FILE if recipe.model.is_own else None)


def write_network(out: Path, network: Network) -> None:
    """Write the file of a network of one's own into the run, as it was executed, whatever became of the original."""
    if network.source is not None:
        with written_whole(out / NETWORK_FILE) as part:
            part.write_bytes(network.source)


def _surveyed(division: Division, recipe: Recipe, network: Network, progress: Progress) -> Survey:
    """What the photographs of all splits are, read once."""
    everything = [photograph for split in division.splits.values() for photograph in split]
    progress.say(f"reading {counted(len(everything), 'photograph')} from {division.layout}: {division.said}")
    advance = progress.begin("reading photographs", len(everything))
    return survey(everything, needs_masks(network), recipe.letterbox, division.left_out, advance)


def _outcome(
    network: Network, recipe: Recipe, splits: Splits, out: Path, epoch: int, stage: Stage
) -> dict[str, object]:
    """The threshold and the figures of the kept epoch, and those of the last one, as fields of the record."""
    threshold, metrics = judge_splits(network, recipe, splits, stage, out / SCORES_FILE)
    selection = Selection(
        criterion=recipe.checkpoint.criterion,
        best=recipe.checkpoint.best,
        epoch=epoch,
        value=criterion_at(out, recipe.checkpoint.criterion, epoch),
        threshold=threshold,
    )
    last = judge_last_epoch(network, recipe, splits, out, epoch, stage)
    return {"selection": selection, "metrics": metrics, "last": last}


def recipes_that_learn_from(kind: Literal["good", "labels"]) -> list[str]:
    """The shipped recipes whose network can learn from "good" photographs alone, or from good and bad ones ("labels");
    short names first."""
    networks = {name: network_class(load_recipe(name).model.name) for name in recipe_names()}
    names = [
        name
        for name, network in networks.items()
        if network.learns_from == kind or (kind == "labels" and network.masks_optional)
    ]
    return sorted(names, key=lambda name: (len(name), name))


def needs_masks(network: Network) -> bool:
    """Whether every bad photograph must have a mask."""
    return network.learns_from == "masks" and not network.masks_optional


def for_unmarked(recipe: Recipe, train: list[Photograph], progress: Progress) -> Recipe:
    """The recipe without crops if a bad photograph has no mask: whether its defect is inside a crop is unknown."""
    bad = [photograph for photograph in train if photograph.is_bad]
    unmarked = sum(photograph.mask is None for photograph in bad)
    if not unmarked or not recipe.train.crop or recipe.tiles:
        return recipe
    progress.say(
        f"{unmarked} of {counted(len(bad), 'bad photograph')} without a mask: learning from whole pictures instead of "
        f"crops of {recipe.train.crop} pixels"
    )
    return recipe.model_copy(update={"train": recipe.train.model_copy(update={"crop": None})})


def check(recipe: Recipe, network: Network, data: Path, splits: Splits) -> None:
    """Reject impossible combinations before anything is rendered. Raises DataError or RecipeError."""
    checked_options(network.tile_network.loss, recipe.loss.options, "[loss]")
    counts = {split: class_counts(photographs) for split, photographs in splits.items()}
    needed = {"good": "good"} if network.learns_from == "good" else {"good": "good", "bad": "bad"}
    for label in needed:
        if counts["train"][label] < FEWEST:
            raise DataError(
                f"{data}: train/{label} holds {counted(counts['train'][label], 'photograph')}; {recipe.model.label} "
                f"learns from {' and '.join(needed)} ones and needs at least {FEWEST}"
            )
    if needs_masks(network) and not any(p.mask for p in splits["train"] if p.is_bad):
        labels, good = recipes_that_learn_from("labels"), recipes_that_learn_from("good")
        raise DataError(
            f"{data}: no bad photograph in train/ has a mask, and {recipe.model.label} learns from masks: train "
            f"{' or '.join(labels)}, which learn from good and bad photographs, or {good[0]}, which learns from good "
            "ones; or add masks"
        )
    unmarked = sum(p.is_bad and p.mask is None for split in ("train", "val") for p in splits[split])
    if recipe.tiles and unmarked and network.learns_from != "good":
        raise DataError(
            f"{data}: {counted(unmarked, 'bad photograph')} in train/ and val/ without a mask: which tiles show the "
            "defect is unknown; add masks, train without [tiles], or train a network that learns from good photographs"
        )
    if not counts["val"]["good"]:
        raise DataError(f"{data}: val/good holds no photographs; the threshold is chosen on those in val/")
    chosen = recipe.threshold
    is_bad = [photograph.is_bad for photograph in splits["val"]]
    check_choice(is_bad, chosen.strategy, parts=known_parts(splits["val"]), **chosen.options)
    if recipe.letterbox.channels != network.channels:
        raise RecipeError(
            f"letterbox.colour = {recipe.letterbox.colour!r}: {recipe.model.label} sees "
            f"{counted(network.channels, 'channel')}; for grey frames set "
            "letterbox.frame to 'grey' and leave letterbox.colour out"
        )
    check_side(network, recipe.letterbox.side)
    check_training_sizes(network, recipe)
    if recipe.train.average and network.learns_by == "statistics":
        raise RecipeError(f"train.average: {recipe.model.label} takes no steps whose weights could be averaged")
    criterion = recipe.checkpoint.criterion
    if criterion not in FIGURES:
        raise RecipeError(f"no checkpoint criterion {criterion!r}; there are {', '.join(FIGURES)}")
    if criterion in FIGURES[2:] and not counts["val"]["bad"]:
        raise DataError(f"checkpoint criterion {criterion!r} needs photographs in {data / 'val' / 'bad'}; try val_loss")
    if criterion == "val_dice" and network.learns_from != "masks":
        raise RecipeError(f"checkpoint criterion 'val_dice': {recipe.model.label} does not learn from masks")
    if criterion == "val_dice" and not any(p.mask for p in splits["val"] if p.is_bad):
        where = data / "val" / "bad"
        raise DataError(f"checkpoint criterion 'val_dice' needs masks of photographs in {where}; try val_loss")


def check_training_sizes(network: Network, recipe: Recipe) -> None:
    """Raise RecipeError unless the network can learn from the crops or reduced pictures that [train] asks for."""
    if recipe.tiles:
        return
    crop, sides, side = recipe.train.crop, list(recipe.train.sides or ()), recipe.letterbox.side
    named = [("train.crop", crop)] if crop else [("train.sides", one) for one in sides]
    for key, size in named:
        if not network.takes_any_size:
            raise RecipeError(f"{key} = {crop or sides}: {recipe.model.label} learns from whole pictures of its side")
        if recipe.model.is_own:
            check_side(network, size)
    if crop and sides:
        raise RecipeError("train.crop and train.sides: crops have one side; leave one of the two out")
    if crop and crop > side:
        raise RecipeError(
            f"letterbox.side = {side} is less than train.crop = {crop}: set train.crop to at most {side} too, "
            f"or letterbox.side to at least {crop}"
        )
    if named and recipe.augment.enlarge:
        raise RecipeError(
            f"{named[0][0]} and augment.enlarge: what is smaller cannot be enlarged back to the side; leave one out"
        )
    if sides and (sides != sorted(set(sides)) or sides[-1] != side):
        raise RecipeError(f"train.sides = {sides}: they must rise and end with letterbox.side, {side}")
    if len(sides) > recipe.train.epochs:
        raise RecipeError(f"train.sides = {sides}: each needs an epoch, and train.epochs is {recipe.train.epochs}")


def taught(network: Network, splits: Splits) -> list[Photograph]:
    """The photographs that this network learns from."""
    return [p for p in splits["train"] if not (p.is_bad and network.learns_from == "good")]


def class_counts(photographs: list[Photograph]) -> dict[str, int]:
    """The numbers of good and of bad photographs."""
    bad = sum(photograph.is_bad for photograph in photographs)
    return {"good": len(photographs) - bad, "bad": bad}


def new_record(name: str, recipe: Recipe, data: DataRecord, network: Network, origins: dict[str, str]) -> RunRecord:
    """The record of a training that begins now; `origins` describes its initial weights."""
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
    """Raise RunError if the place of a new run is occupied."""
    if not resume and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RunError(f"{out} already exists; --resume goes on with it, or give --out another folder")


def check_resumed(out: Path, hashes: Hashes) -> None:
    """Raise RunError unless these are the photographs with which the training in `out` began."""
    before, file = read_record(out), out / PHOTOGRAPHS_FILE
    if before.data.fingerprint != fingerprint(hashes):
        said = changes(read_hashes(file) if file.exists() else None, hashes, before.data.fingerprint)
        raise RunError(
            f"the photographs have changed since {out} began: {said}; put them back, or give --out another folder"
        )


def open_run(out: Path, record: RunRecord, resume: bool) -> None:
    """Create the run folder, or check that the one to resume is of the same training. Raises RunError."""
    if not resume:
        out.mkdir(parents=True, exist_ok=True)
        write_record(out, record)
        return
    before = read_record(out)
    if before.recipe != record.recipe:
        raise RunError(f"{out} was made with other settings; give those it began with, or --out another folder")
    if before.files.get(NETWORK_FILE) != record.files.get(NETWORK_FILE):
        raise RunError(
            f"the file of the network has changed since {out} began; put back {out / NETWORK_FILE}, or give --out "
            "another folder"
        )
    if before.data.picture not in (None, record.data.picture):
        raise RunError(f"{out} began with --bits {before.data.picture.bits}; give the same, or --out another folder")


def run_epochs(learner: Learner, splits: Splits, out: Path, resume: bool, devices: Devices, progress: Progress) -> Path:
    """Train to the end, and return the checkpoint that the criterion chose."""
    recipe, network = learner.recipe, learner.network
    train = taught(network, splits)
    batch = min(recipe.train.batch, len(train) // devices.count * devices.count)
    shuffled = Shuffled(train, recipe.train.seed, recipe.train.bad_share)
    loader = DataLoader(
        Rendered(train, recipe.letterbox, exact=False).keep(progress.begin),
        batch_sampler=Shares(shuffled, batch, devices.rank, devices.count, network.learns_by == "statistics"),
    )
    judged = Rendered(splits["val"], recipe.letterbox, exact=True).keep(progress.begin)
    validation = in_order(judged, recipe.train.batch)
    monitor, mode = recipe.checkpoint.criterion, "min" if recipe.checkpoint.best == "lowest" else "max"
    folder = out / "checkpoints"
    best = ModelCheckpoint(folder, "best", monitor=monitor, mode=mode, enable_version_counter=False)
    last = ModelCheckpoint(folder, "last", enable_version_counter=False, save_on_train_epoch_end=True)
    stops = [EarlyStopping(monitor, mode=mode, patience=recipe.train.patience)] if recipe.train.patience else []
    decay = recipe.train.average
    average = [WeightAveraging(avg_fn=lambda old, new, _: moving_average(old, new, decay))] if decay else []
    reports: list[Callback] = [Reporter(progress), History(out / "history.csv")] if devices.rank == 0 else []
    if reports and recipe.train.pictures and isinstance(network, Reconstruction):
        shown = Rendered(a_few_of_each(splits["val"]), recipe.letterbox, exact=True)
        reports.insert(0, Sketches(out / "reconstructions", shown, recipe.letterbox, recipe.train.pictures))
    trainer = Trainer(
        max_epochs=recipe.train.epochs,
        accelerator=devices.accelerator,
        devices=devices.devices,
        num_nodes=devices.nodes,
        strategy=devices.lightning_strategy,
        use_distributed_sampler=False,  # batches are shared out by `Shares`; each process validates all photographs
        logger=TensorBoardLogger(out, "", "tensorboard", default_hp_metric=False),
        callbacks=[*average, best, *stops, *reports, last],
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        deterministic=not devices.is_cpu,  # see there
        precision="bf16-mixed" if recipe.train.precision == "bfloat16" else "32-true",
    )
    previous = folder / "last.ckpt"
    checkpoint = previous if resume and previous.exists() else None
    try:
        trainer.fit(learner, loader, validation, ckpt_path=checkpoint, weights_only=True)
    except SystemExit:  # raised by Lightning on Ctrl-C
        epoch = trainer.current_epoch + 1
        raise RunError(f"interrupted in epoch {epoch}; the same command with --resume goes on") from None
    return Path(best.best_model_path)


def take_checkpoint(file: Path, network: Network, recipe: Recipe, validation: list[Photograph], stage: Stage) -> int:
    """Load the weights that Lightning wrote into `network`, and calibrate it; returns their epoch, from 0."""
    content = torch.load(file, map_location="cpu", weights_only=True)
    network.cpu()
    network.load_state_dict(
        {
            key.removeprefix("network."): value
            for key, value in content["state_dict"].items()
            if key.startswith("network.")
        }
    )
    batches = in_order(Rendered(validation, recipe.letterbox, exact=True), recipe.train.batch)
    with torch.no_grad():
        network.eval().calibrate(counted_by(stage, "calibrating on validation photographs", batches))
    return int(content["epoch"])


def a_few_of_each(photographs: list[Photograph], count: int = 4) -> list[Photograph]:
    """The first good ones and the first bad ones."""
    return [p for bad in (False, True) for p in [p for p in photographs if p.is_bad is bad][:count]]


def moving_average(average: Tensor, weight: Tensor, decay: float) -> Tensor:
    """One step of an exponential moving average; integer counters take the new value."""
    return average.lerp(weight, 1 - decay) if weight.is_floating_point() else weight


def judge_last_epoch(
    network: Network, recipe: Recipe, splits: Splits, out: Path, kept: int, stage: Stage
) -> LastEpoch | None:
    """The last epoch, evaluated like the `kept` one, with a threshold of its own; None if they are the same.

    Afterwards `network` has the weights of the last epoch.
    """
    file = out / "checkpoints" / "last.ckpt"
    if torch.load(file, map_location="cpu", weights_only=True)["epoch"] == kept:
        return None
    epoch = take_checkpoint(file, network, recipe, splits["val"], stage)
    threshold, metrics = judge_splits(network, recipe, {split: splits[split] for split in ("val", "test")}, stage)
    value = criterion_at(out, recipe.checkpoint.criterion, epoch)
    return LastEpoch(epoch=epoch, value=value, threshold=threshold, metrics=metrics)


def judge_splits(
    network: Network, recipe: Recipe, splits: Splits, stage: Stage, file: Path | None = None
) -> tuple[ChosenThreshold, dict[str, SplitFigures]]:
    """Score all `splits`, choose the threshold on val, evaluate val and test with it; write the scores to `file`.

    Of each class of the training photographs at most SCORED_OF_TRAINING are scored, spread evenly over their list: they
    serve the report's comparison of the splits alone, and all of them would take longer than some trainings.
    """
    if "train" in splits:
        splits = {**splits, "train": [one for bad in (False, True) for one in _few(splits["train"], bad)]}
    scores = {
        split: score_photographs(network, recipe.letterbox, photographs, stage(f"scoring {split}", len(photographs)))
        for split, photographs in splits.items()
        if photographs
    }
    chosen, parts = recipe.threshold, known_parts(splits["val"])
    threshold = choose_threshold(scores["val"], labels(splits["val"]), chosen.strategy, parts=parts, **chosen.options)
    covered = overlaps(network, recipe.letterbox, {split: splits[split] for split in scores if split != "train"}, stage)
    stage("computing figures")
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


def _few(photographs: list[Photograph], bad: bool) -> list[Photograph]:
    """Those of one class, or SCORED_OF_TRAINING of them, spread evenly."""
    of_class = [one for one in photographs if one.is_bad is bad]
    count = min(len(of_class), SCORED_OF_TRAINING)
    return [of_class[number * len(of_class) // count] for number in range(count)]


def write_scores(file: Path, splits: Splits, scores: dict[str, Scores]) -> None:
    """scores.csv: the scores of photographs, split by split."""
    with file.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines)
        writer.writerow(["file", "split", "label", "defect", "part", "score"])
        for split, values in scores.items():
            for photo, score in zip(splits[split], values, strict=True):
                part = photo.details.get("part", "")
                writer.writerow([photo.name, split, photo.label, photo.defect or "", part, f"{score:.9g}"])


def judge_parts(scores: Scores, photographs: list[Photograph], threshold: float) -> Figures | None:
    """The metrics of whole parts, by the mean score of their photographs; None unless a part has several."""
    parts = [photograph.details.get("part", "") for photograph in photographs]
    if not all(parts) or len(set(parts)) == len(parts):
        return None
    return judge(*part_scores(scores, labels(photographs), parts), threshold)


def labels(photographs: list[Photograph]) -> list[bool]:
    """True for each bad photograph."""
    return [photograph.is_bad for photograph in photographs]


def criterion_at(out: Path, criterion: str, epoch: int) -> float:
    """The criterion's value in an epoch's row of history.csv."""
    with (out / "history.csv").open(newline="") as lines:
        return next(float(row[criterion]) for row in csv.DictReader(lines) if int(row["epoch"]) == epoch)


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Suppress Lightning's notices about devices, workers and itself, on which users cannot act."""
    log = logging.getLogger("lightning.pytorch")
    level = log.level
    log.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning.*")
        warnings.filterwarnings("ignore", module="torch.*")
        yield
    log.setLevel(level)
