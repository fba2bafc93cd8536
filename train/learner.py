"""One network under training, as Lightning sees it: a step, a validation, an optimiser."""

from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from lightning import LightningModule
from lightning.pytorch.utilities.types import LRSchedulerConfigType, OptimizerLRScheduler
from torch import Tensor
from torch.nn import functional as F
from torch.optim import Optimizer, lr_scheduler

from edge.evaluation.metrics import auroc, average_precision
from train.augment import Augmentation, cropped, reduced
from train.models import Batch, Network, checked_options
from train.recipe import Recipe

FIGURES = ("train_loss", "val_loss", "val_auroc", "val_ap", "val_recall", "val_dice")
"""The metrics logged in every epoch, by which a checkpoint can be chosen; from val_auroc on only with bad validation
photographs.

val_recall is the fraction of bad photographs with a score of at least 0.5; val_dice is the Dice coefficient, over all
pixels of the validation photographs at once, of a map above 0.5, for networks that learn from masks. Bad photographs
without a mask do not count in it; without any mask in validation there is no val_dice.
"""


class Learner(LightningModule):
    """Trains `network` with `recipe`. Each step seeds its own random numbers, so that resuming is exact."""

    def __init__(self, network: Network, recipe: Recipe) -> None:
        super().__init__()
        self.network = network
        self.recipe = recipe
        self.augment = Augmentation(recipe.augment, recipe.letterbox)
        network.normalised_by(recipe.letterbox)
        self.loss_options = checked_options(network.tile_network.loss, recipe.loss.options, "[loss]")
        self.seen: list[tuple[Tensor, Tensor, Tensor]] = []
        self.pixels: list[tuple[Tensor, Tensor]] = []

    def training_step(self, batch: Batch, index: int) -> Tensor | None:
        """The sum of the network's loss terms on an augmented batch, or None if the network only gathers statistics."""
        seed = (self.recipe.train.seed * 1_000_003 + self.current_epoch) * 1_000_003 + index
        torch.manual_seed(seed + (self.global_rank << 48))
        if self.recipe.crop and self.network.learns_by == "gradients":
            batch = cropped(batch, self.recipe.crop)
        side = self.recipe.train.side_in(self.current_epoch)
        if side and side < batch.image.shape[-1]:
            batch = reduced(batch, side)
        if self.network.learns_by == "statistics":
            self.network.gather(self.augment(batch))
            return None
        terms = self.network.loss(self.augment(batch), **self.loss_options)
        total = torch.stack(list(terms.values())).sum()
        for name, value in ({"train_loss": total} | {f"train_{name}": term for name, term in terms.items()}).items():
            self.log(name, value.detach(), on_step=False, on_epoch=True, batch_size=len(batch.label), sync_dist=True)
        return total

    def on_validation_epoch_start(self) -> None:
        """Conclude a network of statistics from what it gathered; give every process the first one's running means."""
        if self.network.learns_by == "statistics":
            self.network.conclude()
        if self.trainer.world_size > 1:
            for buffer in self.network.buffers():
                torch.distributed.broadcast(buffer, 0)

    def validation_step(self, batch: Batch, index: int) -> None:
        """Scores of all photographs, in float32 as on the line; the loss of those it learns from, as in training."""
        with torch.autocast(self.device.type, enabled=False):
            scores, maps = self.network(batch.image, batch.mask)
        self.seen.append((scores, batch.label, batch.located))
        if maps is not None and self.network.learns_from == "masks":
            found = (maps > 0.5) & (batch.located > 0)[:, None, None]
            truth = F.adaptive_max_pool2d(batch.truth, maps.shape[-2:]).squeeze(1) > 0
            self.pixels.append(((found & truth).sum(), found.sum() + truth.sum()))
        if self.network.learns_from == "good":
            batch = Batch(*(part[batch.label == 0] for part in batch))
        if len(batch.label):
            loss = torch.stack(list(self.network.loss(batch, **self.loss_options).values())).sum()
            self.log("val_loss", loss, batch_size=len(batch.label))

    def on_validation_epoch_end(self) -> None:
        """Ranking metrics over all validation photographs."""
        seen, label, located = (torch.cat(parts).cpu() for parts in zip(*self.seen, strict=True))
        scores, bad = seen.double().numpy(), label.bool().numpy()
        self.seen.clear()
        if bad.any():
            self.log("val_recall", float((scores[bad] >= 0.5).mean()))
        if self.pixels and (label * located).any():
            overlap, total = (torch.stack(counts).sum() for counts in zip(*self.pixels, strict=True))
            self.log("val_dice", 2 * overlap / total.clamp(min=1))
        self.pixels.clear()
        for name, figure in (("val_auroc", auroc(scores, bad)), ("val_ap", average_precision(scores, bad))):
            if figure is not None:
                self.log(name, figure)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The recipe's optimiser and schedule; none for a network of statistics."""
        if self.network.learns_by == "statistics":
            return None
        chosen = self.recipe.train
        kinds: dict[str, Callable[..., Optimizer]] = {
            "adam": torch.optim.Adam,
            "adamw": torch.optim.AdamW,
            "sgd": torch.optim.SGD,
        }
        extra = {"momentum": 0.9} if chosen.optimizer == "sgd" else {}
        optimizer = kinds[chosen.optimizer](
            self._weights(), lr=chosen.learning_rate, weight_decay=chosen.weight_decay, **extra
        )
        schedule = self._schedule(optimizer)
        if schedule is None:
            return {"optimizer": optimizer}
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def _weights(self) -> Iterable[Tensor] | list[dict[str, Any]]:
        """The weights, those of the pretrained part apart if they have a learning rate of their own."""
        chosen, pretrained = self.recipe.train, self.network.pretrained()
        if chosen.pretrained_rate == 1 or pretrained is None:
            return self.network.parameters()
        begun = list(pretrained[0].parameters())
        known = {id(weight) for weight in begun}
        new = [weight for weight in self.network.parameters() if id(weight) not in known]
        slower: dict[str, Any] = {"params": begun, "lr": chosen.pretrained_rate * chosen.learning_rate}
        return [{"params": new}, slower]

    def _schedule(self, optimizer: Optimizer) -> LRSchedulerConfigType | None:
        chosen, steps = self.recipe.train, int(self.trainer.estimated_stepping_batches)
        if chosen.schedule == "one-cycle":
            highest = [group["lr"] for group in optimizer.param_groups]
            return {"scheduler": lr_scheduler.OneCycleLR(optimizer, highest, total_steps=steps), "interval": "step"}
        if chosen.schedule == "cosine":
            return {"scheduler": lr_scheduler.CosineAnnealingLR(optimizer, steps), "interval": "step"}
        if chosen.schedule == "plateau":
            checkpoint = self.recipe.checkpoint
            mode: Literal["min", "max"] = "min" if checkpoint.best == "lowest" else "max"
            return {"scheduler": lr_scheduler.ReduceLROnPlateau(optimizer, mode), "monitor": checkpoint.criterion}
        return None
