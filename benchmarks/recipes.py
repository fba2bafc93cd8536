"""`python -m benchmarks.recipes [NAME…]`: measures how long each recipe trains here, and writes it into the recipe.

Each recipe trains on the same rendered photographs with `edge-train`. Where all epochs would take longer than WHOLE_S,
one epoch runs, and the others are taken to last as long. Of several attempts the fastest counts: other work on the
machine only adds. Published weights that are not installed are replaced by random ones, which take the same time.
A recipe without [facts] has those of the recipe that it extends.
"""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from edge.cli import new_app, run_app
from edge.machine import cores, cpu_model
from train.recipe import load_recipe, recipe_file, recipe_names
from train.recipe_list import Measured, read_facts

FOLDER = Path("build/recipes")
SPLITS = {"train": 200, "val": 50, "test": 50}
WHOLE_S = 120.0

app = new_app()


@app.command()
def measure(
    names: Annotated[
        list[str] | None, typer.Argument(help="Recipes to measure; all that have [facts] if none is given.")
    ] = None,
    attempts: Annotated[int, typer.Option(min=1, help="Trainings of each recipe, of which the fastest counts.")] = 2,
) -> None:
    """Measure recipes and write the result into their files."""
    data = FOLDER / "photographs"
    if not data.exists():
        counts = [word for split, count in SPLITS.items() for word in (f"--{split}", str(count))]
        _run(["edge-demo", str(data), *counts])
    for name in names or [one for one in recipe_names() if "[facts]" in recipe_file(one).read_text(encoding="utf-8")]:
        found = min((_attempt(name, data) for _ in range(attempts)), key=lambda one: one.minutes)
        _write(name, found)
        print(f"{name}: {found.minutes} minutes, {found.epochs} of {load_recipe(name).train.epochs} epochs run")


def _attempt(name: str, data: Path) -> Measured:
    """One training: of one epoch, or of all if they are short."""
    epochs = load_recipe(name).train.epochs
    took_s, epoch_s = _trained(name, data, 1)
    run = 1
    if epochs > 1 and epoch_s * epochs <= WHOLE_S:
        took_s, _ = _trained(name, data, epochs)
        run = epochs
    minutes = (took_s + (epochs - run) * epoch_s) / 60
    processor = f"{cpu_model()}, {cores()} cores"
    return Measured(minutes=round(minutes, 1), photographs=sum(SPLITS.values()), epochs=run, processor=processor)


def _trained(name: str, data: Path, epochs: int) -> tuple[float, float]:
    """Seconds from the start of edge-train to the report, and those of an epoch."""
    out = FOLDER / "run"
    shutil.rmtree(out, ignore_errors=True)
    weights = ["--weights", "random"] if read_facts(name).weights == "download" else []
    began = time.monotonic()
    said = _run(
        ["edge-train", name, "--data", str(data), "--out", str(out), "--set", f"train.epochs={epochs}", *weights]
    )
    took_s = time.monotonic() - began
    seconds = [float(found[1]) for found in re.finditer(r"^epoch \d+/\d+ .* (\d+) s$", said, re.MULTILINE)]
    return took_s, sum(seconds) / len(seconds)


def _run(command: list[str]) -> str:
    """What a command of this project says on standard error."""
    script = Path(sys.executable).with_name(command[0])
    done = subprocess.run([script, *command[1:]], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr}")
    return done.stderr


def _write(name: str, found: Measured) -> None:
    """Replace [facts.measured] at the end of the recipe's file."""
    file = recipe_file(name)
    before, _, _ = file.read_text(encoding="utf-8").partition("[facts.measured]")
    lines = [f'{key} = "{value}"' if isinstance(value, str) else f"{key} = {value}" for key, value in found]
    file.write_text(f"{before}[facts.measured]\n" + "\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Entry point."""
    run_app(app, extra="train")


if __name__ == "__main__":
    main()
