"""The devices and machines of a training, and which of its processes this one is."""

import os
from dataclasses import dataclass

from edge.errors import RecipeError

WHOLE = "ddp"
"""Start of the names of strategies that keep whole weights on each device."""


@dataclass(frozen=True)
class Devices:
    """What a training runs on, in the words of Lightning's Trainer.

    `devices` is their number per node. With several, one process per device trains on a share of each batch, and every
    process evaluates all validation photographs. `strategy` "auto" is "ddp" then.
    """

    accelerator: str = "auto"
    devices: int = 1
    nodes: int = 1
    strategy: str = "auto"

    @property
    def count(self) -> int:
        """Number of processes of the training."""
        return self.devices * self.nodes

    @property
    def rank(self) -> int:
        """The number of this process among those of the training; 0 writes the run.

        A launcher (torchrun, SLURM) or Lightning has set it in the environment of all but the first.
        """
        if self.count == 1:
            return 0
        if "RANK" in os.environ:
            return int(os.environ["RANK"])
        if "LOCAL_RANK" not in os.environ and "SLURM_PROCID" in os.environ:
            return int(os.environ["SLURM_PROCID"])
        node = int(os.environ.get("NODE_RANK", os.environ.get("GROUP_RANK", "0")))
        return node * self.devices + int(os.environ.get("LOCAL_RANK", "0"))

    @property
    def is_cpu(self) -> bool:
        """Whether the training runs on the processor.

        There PyTorch's deterministic mode makes convolutional networks slower by a fifth to a half, and is not needed:
        for one number of threads oneDNN adds up in a fixed order.
        """
        import torch

        return self.accelerator == "cpu" or (self.accelerator == "auto" and not torch.accelerator.is_available())

    @property
    def lightning_strategy(self) -> str:
        """The strategy that Lightning is given."""
        return WHOLE if self.strategy == "auto" and self.count > 1 else self.strategy

    def check_machine(self) -> None:
        """Raise RecipeError if this machine has no such accelerator, or Lightning no such strategy."""
        from lightning.pytorch.accelerators import AcceleratorRegistry
        from lightning.pytorch.strategies import StrategyRegistry

        kinds = AcceleratorRegistry.available_accelerators()
        here = ["auto", *(kind for kind in kinds if AcceleratorRegistry[kind]["accelerator"].is_available())]
        here += ["gpu"] if {"cuda", "mps"} & set(here) else []
        if self.accelerator not in here:
            raise RecipeError(f"no accelerator {self.accelerator!r} on this machine; there are {', '.join(here)}")
        known = [name for name in sorted(StrategyRegistry.available_strategies()) if name.startswith(WHOLE)]
        if self.strategy not in ("auto", *known):
            raise RecipeError(
                f"no strategy {self.strategy!r} with whole weights on each device; there are auto, {', '.join(known)}"
            )

    def check_recipe(self, batch: int, learns_by: str, network: str) -> None:
        """Raise RecipeError if a network that learns so, in batches of this size, cannot be trained like this."""
        if self.count == 1:
            return
        if learns_by == "statistics":
            raise RecipeError(f"{network} takes no steps that devices could share; leave out --devices and --nodes")
        if batch % self.count:
            raise RecipeError(
                f"train.batch = {batch} cannot be divided among {self.count} devices; set it to a multiple of "
                f"{self.count}, or give another number of --devices"
            )


ONE_DEVICE = Devices()
"""The default: one device of the fastest kind."""
