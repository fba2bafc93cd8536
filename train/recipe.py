"""A recipe: everything that determines the result of a training, as data. Read from TOML, checked, never executed."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge.errors import RecipeError
from edge.letterbox.contract import LetterboxContract
from edge.text import reason_of
from edge.validation import plain

FOLDER = Path(__file__).parent / "recipes"
"""The recipes of the package, one TOML file each."""


class Section(BaseModel):
    """A table of a recipe; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NamedOptions(BaseModel):
    """A table whose further keys are options of the thing it names, which checks them when it is created."""

    model_config = ConfigDict(frozen=True, extra="allow")

    @property
    def options(self) -> dict[str, Any]:
        """The further keys."""
        return dict(self.model_extra or {})


class Model(NamedOptions):
    """[model]: the network, one of the package or of one's own, and its initial weights.

    `weights` is "random", "published" or the path of a checkpoint, `weights_key` the key of the state dict in it if
    there are several; see `train.weights.start_from`.
    """

    name: str = Field(
        description="network of the package, or FILE.py:NAME, a class or function in a file of one's own; FILE is "
        "relative to the recipe"
    )
    weights: str = Field(default="random", description='"random", "published" or the path of a checkpoint')
    weights_key: str | None = Field(default=None, description="key of the state dict in a checkpoint of several")

    @property
    def is_own(self) -> bool:
        """Whether the network is in a person's own file."""
        return is_own(self.name)

    @property
    def own(self) -> tuple[Path, str]:
        """The file of a network of one's own, and the name in it."""
        file, _, name = self.name.rpartition(":")
        return Path(file), name

    @property
    def label(self) -> str:
        """The name for messages: without the folders of a file."""
        return f"{self.own[0].name}:{self.own[1]}" if self.is_own else self.name


def is_own(name: object) -> bool:
    """Whether [model] name says FILE.py:NAME."""
    return isinstance(name, str) and name.rpartition(":")[0].endswith(".py")


class Loss(NamedOptions):
    """[loss]: options of the network's loss, the keyword-only arguments of its method `loss`."""


@dataclass(frozen=True)
class Unit:
    """The unit of a key's value, for the page of all keys."""

    name: str


Pixels = Annotated[int, Unit("pixels")]
Side = Annotated[int, Field(ge=32, multiple_of=32)]
Epochs = Annotated[int, Unit("epochs")]
Probability = Annotated[float, Field(ge=0, le=1), Unit("probability")]
Change = Annotated[float, Field(ge=0, le=1, description="largest change either way"), Unit("share")]


class Tiles(Section):
    """[tiles]: large pictures in overlapping squares, inside the graph; without this table, pictures as a whole.

    The score is the highest of the tiles, the map is put together from theirs. A network that learns by gradients
    learns from crops of the tiles' size, whatever train.crop says; one of statistics from all tiles.
    """

    side: Pixels = Field(ge=64, multiple_of=32, description="side of the squares, less than letterbox.side")
    overlap: Pixels = Field(
        default=64, ge=0, description="fewest pixels that neighbours share: at least the size of a small defect"
    )


class Augment(Section):
    """[augment]: changes of a training picture, in this order; zero means never.

    Geometry moves picture, mask and ground truth together; areas that enter from outside count as padding. Changes of
    colour are those of ColorJitter; probabilities apply to each picture separately.
    """

    enlarge: Pixels = Field(default=0, ge=0, description="added to the side before a centre crop back to it")
    flip_horizontal: Probability = Field(default=0, description="left and right are exchanged")
    flip_vertical: Probability = Field(default=0, description="top and bottom are exchanged")
    rotate_90: Probability = Field(default=0, description="one to three quarter turns")
    rotate: Annotated[float, Unit("degrees")] = Field(default=0, ge=0, le=180, description="largest angle either way")
    shift: Annotated[float, Unit("share of the side")] = Field(
        default=0, ge=0, le=0.5, description="largest shift either way"
    )
    zoom: Annotated[float, Unit("share")] = Field(
        default=0, ge=0, lt=1, description="largest change of scale either way"
    )
    brightness: Change = 0
    contrast: Change = 0
    saturation: Change = 0
    hue: Annotated[float, Unit("share of the circle")] = Field(
        default=0, ge=0, le=0.5, description="largest change either way"
    )
    blur: Probability = Field(default=0, description="a 3x3 Gaussian blur, sigma 0.1 to 2 pixels")
    noise: Annotated[float, Unit("share of full scale")] = Field(
        default=0, ge=0, le=1, description="deviation of Gaussian noise"
    )
    erase: Probability = Field(default=0, description="a random rectangle is set to black")


class Train(Section):
    """[train]: how the network learns."""

    optimizer: Literal["adam", "adamw", "sgd"] = Field(
        default="adamw", description="of torch.optim; sgd has momentum 0.9"
    )
    learning_rate: float = Field(gt=0, description="step size; the highest one of the schedule one-cycle")
    pretrained_rate: Annotated[float, Unit("share")] = Field(
        default=1, gt=0, le=1, description="learning rate of the pretrained part of the network, of learning_rate"
    )
    weight_decay: float = Field(default=0, ge=0, description="of the optimizer")
    batch: Annotated[int, Unit("photographs")] = Field(default=16, ge=1, description="photographs in a step")
    epochs: Epochs = Field(
        ge=1, description="number of epochs; one draws as many photographs as there are to learn from"
    )
    schedule: Literal["constant", "one-cycle", "cosine", "plateau"] = Field(
        default="constant",
        description="of the learning rate: one-cycle rises and falls, cosine falls, plateau falls when "
        "checkpoint.criterion no longer gets better",
    )
    patience: Epochs | None = Field(
        default=None,
        ge=1,
        description="epochs without a better checkpoint.criterion after which training ends; unset: no limit",
    )
    bad_share: Annotated[float, Unit("share")] | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="share of bad photographs among those drawn; unset: that of the training photographs",
    )
    crop: Pixels | None = Field(
        default=None,
        ge=32,
        multiple_of=32,
        description="side of the squares, cut out of the pictures, to learn from; unset: whole pictures",
    )
    sides: Annotated[tuple[Side, ...], Unit("pixels")] | None = Field(
        default=None,
        min_length=2,
        description="sides of the pictures to learn from, each for an equal part of the epochs, rising to "
        "letterbox.side: small pictures first take less time; unset: letterbox.side in every epoch",
    )
    seed: int = Field(default=0, ge=0, description="of all random numbers")
    average: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="decay per step of an exponential moving average of the weights, which is validated and kept in "
        "place of the weights; unset: no average",
    )
    normalise: Literal["letterbox", "data"] = Field(
        default="letterbox",
        description="whether the network's input is normalised by mean and std of [letterbox], or by those of the "
        "training photographs, which then replace them",
    )
    pictures: Epochs | None = Field(
        default=None,
        ge=1,
        description="epochs between two pictures of an autoencoder's reconstructions; unset: no pictures",
    )
    precision: Literal["float32", "bfloat16"] = Field(
        default="float32",
        description="number format of the multiplications in training; bfloat16 is faster if the processor supports it",
    )

    def side_in(self, epoch: int) -> int | None:
        """The side of the pictures in an epoch, counted from 0; None if it is that of the letterbox."""
        return self.sides[min(epoch * len(self.sides) // self.epochs, len(self.sides) - 1)] if self.sides else None


class Checkpoint(Section):
    """[checkpoint]: which epoch is kept, by a metric on the validation photographs (a column of history.csv)."""

    criterion: str = Field(default="val_loss", description="the metric")
    best: Literal["lowest", "highest"] = Field(default="lowest", description="which value of it is the best")


class ThresholdChoice(NamedOptions):
    """[threshold]: how the threshold is chosen, by a strategy of `edge.evaluation.thresholds.STRATEGIES`."""

    strategy: str = Field(description="one of those below; it chooses on the validation photographs")

    @classmethod
    def parse(cls, text: str) -> "ThresholdChoice":
        """`--threshold`: STRATEGY, or STRATEGY=VALUE,… with the values in the order of its parameters.

        Raises RecipeError if it is no strategy with such values.
        """
        from edge.evaluation.thresholds import known_strategies, strategy_parameters

        strategy, _, values = text.partition("=")
        if strategy[:1].isdigit():
            raise RecipeError(
                f"--threshold {text}: a training chooses it by a strategy; {known_strategies(strategy)}; "
                "edge-export also takes a number"
            )
        names = list(strategy_parameters(strategy, {}))
        try:
            given = [float(value) for value in values.split(",")] if values else []
            options = dict(zip(names[: len(given)], given, strict=True))
        except ValueError:
            takes = "=" + ",".join(names).upper() if names else " and no value"
            raise RecipeError(f"--threshold {text}: give {strategy}{takes}") from None
        strategy_parameters(strategy, options)
        return cls(strategy=strategy, **options)


class Recipe(Section):
    """A whole recipe; see the files in train/recipes."""

    title: str = Field(description="one line that names the network in reports and bundles")
    about: str = Field(default="", description="what it is for")
    letterbox: LetterboxContract
    model: Model
    tiles: Tiles | None = None
    loss: Loss = Loss()
    augment: Augment = Augment()
    train: Train
    checkpoint: Checkpoint = Checkpoint()
    threshold: ThresholdChoice

    @model_validator(mode="after")
    def _tiles_fit(self) -> "Recipe":
        if (tiles := self.tiles) is None:
            return self
        side = self.letterbox.side
        if side % 32 or side <= tiles.side:
            raise ValueError(
                f"tiles.side = {tiles.side}: letterbox.side must be larger, and a multiple of 32; it is {side}"
            )
        if tiles.overlap > tiles.side // 2:
            raise ValueError(f"tiles.overlap = {tiles.overlap}: at most half of tiles.side, {tiles.side // 2}")
        if self.train.sides or self.augment.enlarge:
            raise ValueError(
                "train.sides, augment.enlarge: a network with [tiles] learns from crops of their side; leave them out"
            )
        return self

    @property
    def crop(self) -> int | None:
        """The side of the crops to learn from by gradients; None if it learns from whole pictures."""
        return self.train.crop if self.tiles is None else self.tiles.side

    @model_validator(mode="after")
    def _is_normalised_once(self) -> "Recipe":
        without = LetterboxContract(side=self.letterbox.side, colour=self.letterbox.colour)
        given = (self.letterbox.mean, self.letterbox.std) != (without.mean, without.std)
        if self.train.normalise == "data" and given:
            raise ValueError(
                "train.normalise = 'data' computes letterbox.mean and letterbox.std; leave those out, "
                "or set train.normalise to 'letterbox'"
            )
        return self


def load_recipe(name: str, overrides: list[str] | None = None) -> Recipe:
    """The recipe `name` (a file of train/recipes without its suffix, or a path to a TOML file).

    A file with `extends = "NAME"` contains only the differences from that recipe of the package. Each override is
    "table.key=value", the value in TOML syntax; a bare word is a string. Raises RecipeError with a one-line message if
    the recipe does not exist, is not TOML, or has a wrong key or value.
    """
    content = _content(recipe_file(name))
    for override in overrides or []:
        _override(content, override)
    _own_network_beside(Path(), content)
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise RecipeError(f"recipe {name}: {plain(error, Recipe, 'a recipe')}") from None


def recipe_file(name: str) -> Path:
    """Path of a recipe. Raises RecipeError if there is none."""
    if name in recipe_names():
        return FOLDER / f"{name}.toml"
    if Path(name).is_file():
        return Path(name)
    raise RecipeError(f"no recipe {name!r}; there are {', '.join(recipe_names())}, or give the path of a .toml file")


def called(recipe: str) -> str:
    """The name of a recipe as recorded in a run: its name, which may contain dots, or that of the .toml file."""
    return recipe_file(recipe).stem


def recipe_names() -> list[str]:
    """The recipes of the package, sorted."""
    return sorted(file.stem for file in FOLDER.glob("*.toml"))


def _content(path: Path) -> dict[str, Any]:
    """The content of a file, merged over the recipe that it `extends`."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise RecipeError(f"recipe {path} cannot be read: {reason_of(error)}") from None
    _own_network_beside(path.parent, content)
    content.pop("facts", None)  # of the network and of a measurement, not of the training; see train.recipe_list
    base = content.pop("extends", None)
    if base is None:
        return content
    if base not in recipe_names() or recipe_file(base) == path:
        raise RecipeError(f"recipe {path} extends {base!r}; it can extend {', '.join(recipe_names())}")
    return _laid_over(_content(recipe_file(base)), content)


def _own_network_beside(folder: Path, content: dict[str, Any]) -> None:
    """Make the path of a network of one's own absolute: it is relative to `folder`."""
    model = content.get("model")
    if isinstance(model, dict) and is_own(model.get("name")):
        model["name"] = str(folder.resolve() / model["name"])


def _laid_over(base: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
    """`base` with the keys of `content` added or replaced, table by table."""
    merged = base | content
    for key in base.keys() & content.keys():
        if isinstance(base[key], dict) and isinstance(content[key], dict):
            merged[key] = _laid_over(base[key], content[key])
    return merged


def _override(content: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    *tables, last = key.strip().split(".")
    if not equals or not last:
        raise RecipeError(f"--set {override!r} is not of the form table.key=value, such as train.epochs=3")
    for table in tables:
        content = content.setdefault(table, {})
        if not isinstance(content, dict):
            raise RecipeError(f"--set {override!r}: {table!r} is not a table of the recipe")
    content[last] = toml_value(value)


def toml_value(text: str) -> Any:
    """`text` as a TOML value; a bare word is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()
