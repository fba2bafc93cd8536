"""The list of the recipes: what each learns from, what it starts from, and how long it took where it was measured."""

import textwrap
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge.errors import RecipeError
from edge.validation import plain
from train.recipe import Recipe, load_recipe, recipe_file, recipe_names

FIRST = ("inspector", "inspector-labels", "padim", "patchcore", "padim-patchcore", "demo-line")
"""Recipes of this project, listed before those of earlier experiments."""

WIDTH = 100
"""Columns of the list."""


class Measured(BaseModel):
    """How long a training took, from reading the photographs to the report.

    `minutes` is of the whole training on `photographs`, of which `epochs` were run; the others are extrapolated.
    `benchmarks.recipes` measures it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    minutes: float = Field(gt=0)
    photographs: int = Field(ge=1)
    epochs: int = Field(ge=1)
    processor: str


class Facts(BaseModel):
    """[facts] of a recipe of the package: what is known of it that does not determine its result.

    `learns_from` and `masks_optional` are those of its network. `good` and `bad` are the fewest training photographs
    that make sense.
    `weights` are included in the installation, fetched from their publisher, or random.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    learns_from: Literal["good", "labels", "masks"]
    masks_optional: bool = False
    good: int = Field(ge=1)
    bad: int = Field(ge=0)
    weights: Literal["included", "download", "random"]
    measured: Measured

    @property
    def task(self) -> Literal["one-class", "supervised"]:
        """Whether it needs bad photographs."""
        return "one-class" if self.learns_from == "good" else "supervised"


COLUMNS = {
    "recipe": "<",
    "task": "<",
    "good": ">",
    "bad": ">",
    "masks": "<",
    "pixels": ">",
    "weights": "<",
    "minutes": ">",
}
"""Columns of the list, and on which side their cells are aligned."""


@dataclass(frozen=True)
class Entry:
    """A recipe with its facts."""

    name: str
    recipe: Recipe
    facts: Facts

    @property
    def is_extrapolated(self) -> bool:
        """Whether only some of its epochs were measured."""
        return self.facts.measured.epochs < self.recipe.train.epochs

    def as_json(self) -> dict[str, Any]:
        """Everything about it, for programs."""
        return {
            "name": self.name,
            "title": self.recipe.title,
            "about": self.recipe.about.strip(),
            "task": self.facts.task,
            "side": self.recipe.letterbox.side,
            "epochs": self.recipe.train.epochs,
            **self.facts.model_dump(),
        }


def entries() -> list[Entry]:
    """The recipes of the package, those of this project first. Raises RecipeError if one lacks its facts."""
    names = [*FIRST, *(name for name in recipe_names() if name not in FIRST)]
    return [Entry(name, load_recipe(name), read_facts(name)) for name in names]


def read_facts(name: str) -> Facts:
    """The facts of a recipe of the package, or of the one that it extends. Raises RecipeError if neither has any."""
    content = tomllib.loads(recipe_file(name).read_text(encoding="utf-8"))
    if "facts" not in content and "extends" in content:
        return read_facts(content["extends"])
    try:
        return Facts.model_validate(content.get("facts", {}))
    except ValidationError as error:
        raise RecipeError(f"recipe {name}: [facts]: {plain(error, Facts, 'the table')}") from None


def lines(listed: Sequence[Entry]) -> list[str]:
    """The list as a table of at most `WIDTH` columns, with what its columns mean below it."""
    rows = [tuple(COLUMNS), *(_row(one) for one in listed)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    table = [
        "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, COLUMNS.values(), widths, strict=True))
        for row in rows
    ]
    return [*(line.rstrip() for line in table), "", *_notes(listed)]


def _row(one: Entry) -> tuple[str, ...]:
    facts, minutes = one.facts, one.facts.measured.minutes
    return (
        one.name,
        facts.task,
        str(facts.good),
        str(facts.bad or "none"),
        "no" if facts.learns_from != "masks" else "optional" if facts.masks_optional else "yes",
        str(one.recipe.letterbox.side),
        facts.weights,
        ("~" if one.is_extrapolated else "") + (f"{minutes:.1f}" if minutes < 10 else f"{minutes:.0f}"),
    )


def _notes(listed: Sequence[Entry]) -> list[str]:
    measured = {(one.facts.measured.photographs, one.facts.measured.processor) for one in listed}
    where = "; ".join(f"{count} photographs of 1280×720 on {processor}" for count, processor in sorted(measured))
    notes = (
        "good, bad, masks: the fewest photographs to learn from that make sense; yes: a mask for each bad one, "
        "optional: for all, some or none of them. Those that choose and judge (val, test) come on top.",
        "weights: included in the installation, downloaded from their publisher when first used, or random.",
        f"minutes: {where}; ~ one epoch was run and the others are extrapolated.",
        "docs/guide/training.md tells how to choose; --json prints titles, too.",
    )
    return [line for note in notes for line in textwrap.wrap(note, WIDTH, subsequent_indent="  ")]
