"""The plan of `make results`: which recipe is trained on which photographs with which seeds. Read from TOML."""

import shlex
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge.errors import RecipeError
from train.recipe import Recipe, load_recipe

PLAN = Path(__file__).parents[1] / "results.toml"


class PlanError(RecipeError):
    """A plan that cannot be followed."""


class Row(BaseModel):
    """A table of the plan: what it does not know, it refuses."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Photographs(Row):
    """Where trainings learn from: how the page speaks of it, further options of edge-train, parts to render if any.

    `folder` is the name of the photographs that lie in the same folder, where it is another's.
    """

    title: str
    about: str
    options: tuple[str, ...] = ()
    folder: str = ""
    rendered: dict[str, int] | None = None


class Entry(Row):
    """One row of the page: a recipe, what is set in it, its seeds, and whether its bundle has int8 artifacts too."""

    recipe: str
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    set: tuple[str, ...] = ()
    name: str = ""
    data: str = "magnetic-tile"
    int8: bool = False

    @property
    def label(self) -> str:
        """What the row is called."""
        return self.name or self.recipe

    @property
    def folder(self) -> str:
        """What its run folders are called, without the seed: the label, and the photographs where that tells more."""
        return self.label if self.data in ("magnetic-tile", self.label) else f"{self.label}-{self.data}"


class Reported(Row):
    """What the experiments reported of a network, in their words, and the recipes that follow it."""

    network: str
    said: str
    recipes: tuple[str, ...]


class Plan(Row):
    """The whole plan; `set` holds for every entry."""

    set: tuple[str, ...] = ()
    conditions: str = ""
    photographs: dict[str, Photographs]
    entry: tuple[Entry, ...]
    reported: tuple[Reported, ...] = ()

    @model_validator(mode="after")
    def _is_possible(self) -> "Plan":
        twice = [folder for folder, count in Counter(entry.folder for entry in self.entry).items() if count > 1]
        if twice:
            raise ValueError(f"two entries are called {twice[0]}: give one of them a name")
        unknown = [entry for entry in self.entry if entry.data not in self.photographs]
        if unknown:
            raise ValueError(
                f"{unknown[0].label} wants data {unknown[0].data!r}; there is {', '.join(self.photographs)}"
            )
        return self

    def only(self, names: Sequence[str]) -> "Plan":
        """The plan with the entries of these names (rows, folders or recipes) alone; all without names.

        Raises PlanError for a name that there is not.
        """
        if not names:
            return self
        known = {name for entry in self.entry for name in (entry.label, entry.folder, entry.recipe)}
        for name in names:
            if name not in known:
                raise PlanError(f"no entry {name!r} in the plan; there are {', '.join(sorted(known))}")
        chosen = tuple(entry for entry in self.entry if {entry.label, entry.folder, entry.recipe} & set(names))
        return self.model_copy(update={"entry": chosen})

    def trainings(self) -> list["Training"]:
        """Every training of the plan, in its order. Raises RecipeError if a recipe or a key is wrong."""
        return [self.training(entry, seed) for entry in self.entry for seed in entry.seeds]

    def training(self, entry: Entry, seed: int) -> "Training":
        """One training. Raises RecipeError if the recipe or a key is wrong."""
        overrides = (*self.set, *entry.set, *([f"train.seed={seed}"] if seed else []))
        return Training(
            entry, seed, overrides, load_recipe(entry.recipe, list(overrides)), self.photographs[entry.data]
        )


@dataclass(frozen=True)
class Training:
    """One call of edge-train: `overrides` are all its --set, `recipe` is what they make of it."""

    entry: Entry
    seed: int
    overrides: tuple[str, ...]
    recipe: Recipe
    photographs: Photographs

    @property
    def folder(self) -> str:
        """The name of its run folder."""
        return f"{self.entry.folder}-seed{self.seed}"

    def arguments(self, data: Path, runs: Path) -> list[str]:
        """What follows `edge-train`."""
        return [self.entry.recipe, "--data", str(data), *self._options(runs)]

    def command(self, data: str, runs: Path) -> str:
        """The line to type; `data` is a word of the shell."""
        return f"edge-train {self.entry.recipe} --data {data} {shlex.join(self._options(runs))}"

    def _options(self, runs: Path) -> list[str]:
        settings = [word for override in self.overrides for word in ("--set", override)]
        return [*self.photographs.options, *settings, "--out", str(runs / self.folder)]


def read_plan(file: Path = PLAN) -> Plan:
    """Read and check a plan. Raises PlanError, in one line."""
    try:
        return Plan.model_validate(tomllib.loads(file.read_text(encoding="utf-8-sig")))
    except OSError as error:
        raise PlanError(f"{file} cannot be read: {error.strerror or error}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PlanError(f"{file} is not TOML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{key}." for key in first["loc"]).rstrip(".")
        said = first["msg"].removeprefix("Value error, ")
        raise PlanError(f"{file}: {where}: {said}" if where else f"{file}: {said}") from None
