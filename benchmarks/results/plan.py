"""The plan of `make results`: which recipe is trained on which photographs with which seeds. Read from TOML."""

import shlex
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge.demo.line_names import LineName
from edge.errors import RecipeError
from edge.validation import plain
from train.recipe import Recipe, load_recipe

PLAN = Path(__file__).parents[1] / "results.toml"


class PlanError(RecipeError):
    """A plan that cannot be followed."""


class Row(BaseModel):
    """Base of the tables of the plan: unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Photographs(Row):
    """A set of photographs: its texts on the page, further options of edge-train, numbers of parts to render.

    `folder` names another set if these photographs are in the folder of that set. `line` is the demo line that renders
    them, in its default numbers unless `rendered` says others; the page then has the tables of a rendered line. `frame`
    is the size of the frames on which latency is measured, as `edge-bench --size` takes it.
    """

    title: str
    about: str
    options: tuple[str, ...] = ()
    folder: str = ""
    rendered: dict[str, int] | None = None
    line: LineName | None = None
    frame: str | None = None

    @property
    def is_rendered(self) -> bool:
        """Whether a program renders them, so that they can be made if they are missing."""
        return self.line is not None or self.rendered is not None


class Theirs(Row):
    """Figures that the authors of a network reported, 0 to 1, of what they did in `said`; None where they said nothing.

    `is_last` marks those of the last epoch instead of the kept one. `dice` and `iou` are over all pictures, and a good
    one without a predicted pixel counts 1.
    """

    said: str
    is_last: bool = False
    precision: float | None = Field(default=None, ge=0, le=1)
    recall: float | None = Field(default=None, ge=0, le=1)
    specificity: float | None = Field(default=None, ge=0, le=1)
    dice: float | None = Field(default=None, ge=0, le=1)
    iou: float | None = Field(default=None, ge=0, le=1)


class Entry(Row):
    """One row of the page: a recipe, its overrides, its seeds, and whether its bundle also has int8 artifacts.

    `reported` are the figures of its authors; the one whose figures stand beside those of the row is the first.
    `pictures` says which bad test photographs are drawn for the page: those that it misses, or some of all of them.
    `in_turns` compares its bundle with the experiments' own program on the test photographs.
    """

    recipe: str
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    set: tuple[str, ...] = ()
    name: str = ""
    data: str = "magnetic-tile"
    int8: bool = False
    reported: tuple[Theirs, ...] = ()
    pictures: Literal["misses", "bad"] | None = None
    in_turns: bool = False

    @property
    def label(self) -> str:
        """The name of the row."""
        return self.name or self.recipe

    @property
    def folder(self) -> str:
        """The name of its run folders without the seed: the label, and `data` if not the default or the label."""
        return self.label if self.data in ("magnetic-tile", self.label) else f"{self.label}-{self.data}"


class Reported(Row):
    """The reported result of a network, quoted, and the recipes that follow the network."""

    network: str
    said: str
    recipes: tuple[str, ...]


class Plan(Row):
    """The whole plan; `set` applies to every entry.

    `title` is that of the page and `about` its second paragraph. `page` is its file, in this checkout unless a command
    names another. `command` makes all of it, `program` with --only NAME one row.
    """

    title: str = "Results"
    page: Path = Path("docs/reports/results.md")
    command: str = "make results"
    program: str = "python -m benchmarks.results"
    about: str = ""
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
        """The plan with only the entries of these names (rows, folders or recipes); the whole plan without names.

        Raises PlanError for an unknown name.
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
    """One call of edge-train: `overrides` are its --set options, `recipe` is the recipe with them applied."""

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
        """The arguments of `edge-train`."""
        return [self.entry.recipe, "--data", str(data), *self._options(runs)]

    def command(self, data: str, runs: Path) -> str:
        """The command line; `data` is a word of the shell, already quoted."""
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
        raise PlanError(f"{file}: {plain(error, Plan)}") from None
