"""A recipe: everything that decides what a training makes, as data. Read from TOML, checked, never executed."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge.errors import RecipeError
from edge.letterbox.contract import LetterboxContract

FOLDER = Path(__file__).parent / "recipes"
"""The recipes that come with the package, one TOML file each."""


class Section(BaseModel):
    """A table of a recipe: what it does not know, it refuses."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NamedOptions(BaseModel):
    """A table whose further keys are options of the thing it names; that thing checks them when it is made."""

    model_config = ConfigDict(frozen=True, extra="allow")

    @property
    def options(self) -> dict[str, Any]:
        """The further keys."""
        return dict(self.model_extra or {})


class Model(NamedOptions):
    """[model]: a module of train/models, what it starts from, and the keyword arguments of its network.

    `weights` is "random", "published" or the path of a checkpoint, `weights_key` that of the state dict in it where
    there are several; see `train.weights.start_from`.
    """

    name: str
    weights: str = "random"
    weights_key: str | None = None


class Loss(NamedOptions):
    """[loss]: the keyword arguments of the network's `loss`."""


Probability = Annotated[float, Field(ge=0, le=1, description="probability")]
Change = Annotated[float, Field(ge=0, le=1, description="largest change either way, share")]


class Augment(Section):
    """[augment]: what may happen to a training picture, in this order; zero means never.

    Geometry moves picture, mask and ground truth together, and what it moves in from outside counts as padding.
    Shares of colour are those of ColorJitter; probabilities are for each picture on its own.
    """

    enlarge: int = Field(default=0, ge=0, description="pixels added to the side before a centre crop back to it")
    flip_horizontal: Probability = 0
    flip_vertical: Probability = 0
    rotate_90: Probability = Field(default=0, description="probability of one to three quarter turns")
    rotate: float = Field(default=0, ge=0, le=180, description="largest angle either way, degrees")
    shift: float = Field(default=0, ge=0, le=0.5, description="largest shift either way, share of the side")
    zoom: float = Field(default=0, ge=0, lt=1, description="largest change of scale either way, share")
    brightness: Change = 0
    contrast: Change = 0
    saturation: Change = 0
    hue: float = Field(default=0, ge=0, le=0.5, description="largest change either way, share of the circle")
    blur: Probability = Field(default=0, description="probability of a 3x3 Gaussian blur, sigma 0.1 to 2")
    noise: float = Field(default=0, ge=0, le=1, description="deviation of Gaussian noise, share of full scale")
    erase: Probability = Field(default=0, description="probability of a random rectangle set to black")


class Train(Section):
    """[train]: optimisation."""

    optimizer: Literal["adam", "adamw", "sgd"] = "adamw"
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(default=0, ge=0)
    batch: int = Field(default=16, ge=1)
    epochs: int = Field(ge=1)
    schedule: Literal["constant", "one-cycle", "cosine", "plateau"] = "constant"
    patience: int | None = Field(default=None, ge=1, description="epochs without a better criterion, then stop")
    bad_share: float | None = Field(
        default=None, gt=0, lt=1, description="share of bad photographs among those drawn; None: as they are"
    )
    crop: int | None = Field(
        default=None, ge=32, multiple_of=32, description="train on squares of this side cut out of the pictures, pixels"
    )
    seed: int = Field(default=0, ge=0)
    average: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="judge and keep a moving average of the weights, exponential, this decay a step; None: as they are",
    )
    normalise: Literal["letterbox", "data"] = Field(
        default="letterbox",
        description="by mean and std of [letterbox], or by those of the training photographs, put there when it begins",
    )
    pictures: int | None = Field(
        default=None, ge=1, description="epochs from one picture of an autoencoder's reconstructions to the next"
    )
    precision: Literal["float32", "bfloat16"] = Field(
        default="float32", description="of the products while learning; bfloat16 is faster where the processor has it"
    )


class Checkpoint(Section):
    """[checkpoint]: which epoch is kept, by a figure on the validation photographs (a column of history.csv)."""

    criterion: str = "val_loss"
    best: Literal["lowest", "highest"] = "lowest"


class ThresholdChoice(NamedOptions):
    """[threshold]: a strategy of `edge.evaluation.metrics.STRATEGIES` and its parameters."""

    strategy: str


class Recipe(Section):
    """A whole recipe; see the files of train/recipes."""

    title: str
    about: str
    letterbox: LetterboxContract
    model: Model
    loss: Loss = Loss()
    augment: Augment = Augment()
    train: Train
    checkpoint: Checkpoint = Checkpoint()
    threshold: ThresholdChoice

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
    """The recipe called `name` (a file of train/recipes without its suffix, or a path to a TOML file).

    A file that says `extends = "NAME"` holds only what differs from that recipe of the package. Each override is
    "table.key=value", the value written as in TOML; a bare word is a string. Raises RecipeError, in one line, if there
    is no such recipe, it is not TOML, or a key or value is wrong.
    """
    content = _content(recipe_file(name))
    for override in overrides or []:
        _override(content, override)
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise RecipeError(f"recipe {name}: {_first_error(error)}") from None


def recipe_file(name: str) -> Path:
    """Where a recipe is. Raises RecipeError if there is none."""
    if name in recipe_names():
        return FOLDER / f"{name}.toml"
    if Path(name).is_file():
        return Path(name)
    raise RecipeError(f"no recipe {name!r}; there are {', '.join(recipe_names())}, or give the path of a .toml file")


def called(recipe: str) -> str:
    """What a run remembers its recipe by: the name, which may have dots in it, or that of the .toml file."""
    return recipe_file(recipe).stem


def recipe_names() -> list[str]:
    """The recipes that come with the package, sorted."""
    return sorted(file.stem for file in FOLDER.glob("*.toml"))


def _content(path: Path) -> dict[str, Any]:
    """What a file says, on top of what the recipe says that it `extends`."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise RecipeError(f"recipe {path} cannot be read: {error}") from None
    base = content.pop("extends", None)
    if base is None:
        return content
    if base not in recipe_names() or recipe_file(base) == path:
        raise RecipeError(f"recipe {path} extends {base!r}; it can extend {', '.join(recipe_names())}")
    return _laid_over(_content(recipe_file(base)), content)


def _laid_over(base: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
    """`base` with the keys of `content` added or put in their place, table by table."""
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
    """What `text` says as a value of TOML; a bare word is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


def _first_error(error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        return f"unknown key {key!r}; {_known_keys(first['loc'])}"
    if first["type"] == "missing":
        return f"{key} is missing"
    if first["type"] == "value_error":  # of a whole table: the message names its keys
        return first["msg"].removeprefix("Value error, ")
    return f"{key} = {first['input']!r}: {first['msg']}"


def _known_keys(location: tuple[int | str, ...]) -> str:
    table: type[BaseModel] = Recipe
    for name in location[:-1]:
        kinds = [table.model_fields[str(name)].annotation, *get_args(table.model_fields[str(name)].annotation)]
        table = next(kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel))
    return f"{'.'.join(map(str, location[:-1])) or 'a recipe'} has {', '.join(table.model_fields)}"
