"""`python -m benchmarks.training_speed`: what each choice of a training brings in pictures a second, in turns.

A step is what a training does: the recipe's augmentation, the loss, its gradients, and the optimiser. The pictures are
noise of the recipe's size. The variants run in turns, each for some seconds a round, in one process; each ratio is that
of a round, so that load affects both of its sides.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from statistics import median
from typing import Annotated

import torch
import typer

from benchmarks.script import say, steps
from edge.cli import new_app, run_app
from edge.machine import cores, cpu_model
from train.augment import Augmentation, reduced
from train.models import Batch, Network
from train.own_network import network_of
from train.recipe import Recipe, load_recipe

RECIPES = ("densenet121-letterbox", "unet-resnet34")
SIDE, SMALLER = 128, (96, 64)
WARM_UP = 2

app = new_app()

Step = Callable[[], None]


@dataclass(frozen=True)
class Variant:
    """A way to train: what differs from what `edge-train` does."""

    name: str
    side: int = SIDE
    memory_format: torch.memory_format = torch.channels_last
    is_deterministic: bool = False
    is_augmented: bool = True
    is_bfloat16: bool = False

    def settings(self) -> AbstractContextManager[object]:
        """The number format of the step."""
        return torch.autocast("cpu", torch.bfloat16) if self.is_bfloat16 else nullcontext()


VARIANTS = (
    Variant("as `edge-train`"),
    *(Variant(f"side {side}", side=side) for side in SMALLER),
    Variant("without augmentation", is_augmented=False),
    Variant("channels first in memory", memory_format=torch.contiguous_format),
    Variant("PyTorch's deterministic mode", is_deterministic=True),
    Variant("bfloat16", is_bfloat16=True),
)


@app.command()
def measure(
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each variant.")] = 3,
    seconds: Annotated[float, typer.Option(min=0.1, help="Time of a turn.")] = 8.0,
    batch: Annotated[int, typer.Option(min=2, help="Pictures of a step.")] = 32,
) -> None:
    """Print a table of pictures a second, and of the ratio to the training as it is."""
    print("| network | variant | pictures a second | times as fast |\n| --- | --- | --- | --- |")
    with steps(len(RECIPES) * len(VARIANTS) * rounds) as advance:
        for name in RECIPES:
            recipe = load_recipe(name, [f"letterbox.side={SIDE}", f"train.batch={batch}", "model.weights=random"])
            made = [_step(recipe, variant) for variant in VARIANTS]
            rates: list[list[float]] = [[] for _ in VARIANTS]
            for _ in range(rounds):
                for variant, step, found in zip(VARIANTS, made, rates, strict=True):
                    advance(f"{name}: {variant.name}")
                    found.append(batch * _rate(variant, step, seconds))
            for variant, found in zip(VARIANTS, rates, strict=True):
                ratio = median(one / base for one, base in zip(found, rates[0], strict=True))
                print(f"| {recipe.model.label} | {variant.name} | {median(found):.1f} | {ratio:.2f} |", flush=True)
    say(f"side {SIDE}, batch {batch}, {torch.get_num_threads()} threads; {cpu_model()}, {cores()} cores")


def _step(recipe: Recipe, variant: Variant) -> Step:
    """A step of a network of its own."""
    torch.manual_seed(0)
    network: Network = network_of(recipe).train()
    network.to(memory_format=variant.memory_format)  # type: ignore[call-overload]  # torch documents it, its types lack it
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.train.learning_rate)
    augment = Augmentation(recipe.augment, recipe.letterbox) if variant.is_augmented else None
    count, side = recipe.train.batch, recipe.letterbox.side
    truth = torch.zeros(count, 1, side, side)
    truth[::2, :, side // 3, side // 4 : side // 2] = 1
    image, mask, label = torch.randn(count, 3, side, side), torch.ones(count, 1, side, side), truth.flatten(1).amax(1)
    whole = Batch(image, mask, label, truth, torch.ones(count))

    def step() -> None:
        batch = whole if variant.side == side else reduced(whole, variant.side)
        if augment is not None:
            batch = augment(batch)
        with variant.settings():
            terms = network.loss(batch)
        torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()

    return step


def _rate(variant: Variant, step: Step, seconds: float) -> float:
    """Steps a second."""
    torch.use_deterministic_algorithms(variant.is_deterministic)
    try:
        for _ in range(WARM_UP):
            step()
        began, count = time.monotonic(), 0
        while time.monotonic() - began < seconds:
            step()
            count += 1
        return count / (time.monotonic() - began)
    finally:
        torch.use_deterministic_algorithms(False)


def main() -> None:
    """Entry point."""
    run_app(app)


if __name__ == "__main__":
    main()
