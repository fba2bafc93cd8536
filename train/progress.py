"""Progress of a training on standard error, and its record in history.csv."""

import csv
import time
from pathlib import Path
from typing import Any

import cv2
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from edge.files import written_whole
from edge.letterbox.contract import LetterboxContract
from edge.terminal.progress import Progress
from train.data.rendered import Rendered, in_order
from train.letterbox import in_levels
from train.reconstruction import Reconstruction

SKETCH_SIDE = 128
"""Approximate side of a picture on a sheet, pixels."""


class Reporter(Callback):
    """Shows the steps of each epoch, and says one line per completed epoch."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.advance = progress.begin("training")
        self.began = time.monotonic()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin an epoch."""
        self.began = time.monotonic()
        self.advance = self.progress.begin(_epoch(trainer), trainer.num_training_batches)

    def on_train_batch_end(self, *_: Any) -> None:
        """Count a batch."""
        self.advance()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the validation of an epoch."""
        self.advance = self.progress.begin(f"{_epoch(trainer)}, validation", sum(trainer.num_val_batches))

    def on_validation_batch_end(self, *_: Any) -> None:
        """Count a batch."""
        self.advance()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say one line with the epoch's metrics."""
        figures = "  ".join(f"{name} {value:.4f}" for name, value in _figures(trainer).items())
        self.progress.say(f"{_epoch(trainer)}  {figures}  {time.monotonic() - self.began:.0f} s")


class Sketches(Callback):
    """Writes, every `every` epochs, an autoencoder's inputs from a few validation photographs, its outputs below."""

    def __init__(self, folder: Path, shown: Rendered, contract: LetterboxContract, every: int) -> None:
        self.folder, self.contract, self.every = folder, contract, every
        self.batch = next(iter(in_order(shown, len(shown))))

    @torch.no_grad()
    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write FOLDER/epoch-NNN.png, and the same picture for TensorBoard."""
        epoch = trainer.current_epoch + 1
        if epoch % self.every:
            return
        image, mask = (part.to(pl_module.device) for part in (self.batch.image, self.batch.mask))
        seen = image * mask
        network = pl_module.network
        assert isinstance(network, Reconstruction), "fit draws sketches of no other network"
        drawn = network.reconstruct(seen) * mask
        sheet = torch.cat([torch.cat(list(row), dim=2) for row in (seen, drawn)], dim=1).float().cpu()
        levels = (in_levels(sheet, self.contract).expand(3, -1, -1) * 255).clamp(0, 255).byte().permute(1, 2, 0).numpy()
        larger = max(1, SKETCH_SIDE // self.contract.side)
        picture = levels.repeat(larger, axis=0).repeat(larger, axis=1)
        self.folder.mkdir(exist_ok=True)
        file = self.folder / f"epoch-{epoch:03d}.png"
        file.write_bytes(cv2.imencode(".png", picture[:, :, ::-1])[1].tobytes())
        if isinstance(trainer.logger, TensorBoardLogger):
            trainer.logger.experiment.add_image("reconstructions", picture, epoch, dataformats="HWC")


class History(Callback):
    """One row per epoch in a CSV file; a resumed training continues the same file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Rewrite the file with this epoch's row at its end, replacing any rows of an interrupted run.

        Atomic: Ctrl-C in the middle does not lose earlier rows.
        """
        rows = []
        if self.file.exists():
            with self.file.open(newline="") as lines:
                rows = [row for row in csv.DictReader(lines) if int(row["epoch"]) < trainer.current_epoch]
        row: dict[str, Any] = {"epoch": trainer.current_epoch, **_figures(trainer)}
        with written_whole(self.file) as part, part.open("w", newline="") as lines:
            writer = csv.DictWriter(lines, fieldnames=list(row), restval="", extrasaction="ignore")
            writer.writeheader()
            writer.writerows([*rows, row])


def _epoch(trainer: Trainer) -> str:
    return f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"


def _figures(trainer: Trainer) -> dict[str, float]:
    return {name: float(value) for name, value in trainer.callback_metrics.items()}
