"""What a person sees of a training, on standard error, and what stays of it in history.csv."""

import csv
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from edge.files import written_whole
from edge.letterbox.contract import LetterboxContract
from edge.terminal.console import Console
from train.data.rendered import Rendered, in_order
from train.letterbox import in_levels

SKETCH_SIDE = 128
"""Pixels that a picture takes on a sheet, about."""

STDERR = Console(stderr=True, markup=False)
"""Names of folders and regular expressions have square brackets, which are no markup."""


@contextmanager
def reading_bar(total: int, quiet: bool) -> Iterator[Callable[[], None]]:
    """A bar on a terminal while photographs are read; gives what to call after each."""
    with Progress(console=STDERR, transient=True, disable=quiet or not sys.stderr.isatty()) as bar:
        task = bar.add_task("reading", total=total)
        yield lambda: bar.advance(task)


class Reporter(Callback):
    """A bar for the epoch on a terminal, and one line for each epoch that is over."""

    def __init__(self, quiet: bool) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self.bar = Progress(*columns, console=STDERR, transient=True, disable=quiet or not sys.stderr.isatty())
        self.quiet = quiet
        self.task = self.bar.add_task("training")
        self.began = time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the bar."""
        self.bar.start()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Empty the bar."""
        self.began = time.monotonic()
        name = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
        self.bar.reset(self.task, total=trainer.num_training_batches, description=name)

    def on_train_batch_end(self, *_: Any) -> None:
        """One step further."""
        self.bar.advance(self.task)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """One line with the epoch's figures."""
        if not self.quiet:
            figures = "  ".join(f"{name} {value:.4f}" for name, value in _figures(trainer).items())
            seconds = time.monotonic() - self.began
            epoch = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
            STDERR.print(f"{epoch}  {figures}  {seconds:.0f} s", highlight=False, soft_wrap=True)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the bar away."""
        self.bar.stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Take the bar away when training was interrupted."""
        self.bar.stop()


class Sketches(Callback):
    """Every so many epochs, what an autoencoder sees of a few validation photographs and, below, what it draws."""

    def __init__(self, folder: Path, shown: Rendered, contract: LetterboxContract, every: int) -> None:
        self.folder, self.contract, self.every = folder, contract, every
        self.batch = next(iter(in_order(shown, len(shown))))

    @torch.no_grad()
    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes FOLDER/epoch-NNN.png, and the same picture for TensorBoard."""
        epoch = trainer.current_epoch + 1
        if epoch % self.every:
            return
        image, mask = (part.to(pl_module.device) for part in (self.batch.image, self.batch.mask))
        seen = image * mask
        drawn = pl_module.network.reconstruct(seen) * mask
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
    """One row an epoch in a CSV file; a resumed training goes on in the same file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Rewrite the file with this epoch's row at its end, in place of any row an interrupted run left there.

        Whole or not at all: Ctrl-C in the middle must not cost the rows before.
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


def _figures(trainer: Trainer) -> dict[str, float]:
    return {name: float(value) for name, value in trainer.callback_metrics.items()}
