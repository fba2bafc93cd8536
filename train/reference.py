"""`python -m train.reference`: docs/reference/recipes.md, every key of a recipe, made from the recipe's definition."""

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from edge.evaluation.thresholds import STRATEGIES, strategy_parameters
from edge.letterbox.contract import LetterboxContract, RegionOfInterest
from train.learner import FIGURES
from train.models import network_class, network_names
from train.own_network import OwnClassifier, OwnSegmenter
from train.recipe import Recipe, Unit

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "recipes.md"

HEAD = """# Keys of a recipe

A recipe is a TOML file: the recipes of the package lie in `train/recipes/`, one of your own is given by its path.
`extends = "NAME"`, before the first table, takes everything that the file does not say from a recipe of the package.
`--set TABLE.KEY=VALUE` changes one key of either for one training. Unknown keys are refused.

`python -m train.reference` writes this page from the definition in `train/recipe.py`.
"""

UNITS = {"side": "pixels", "fill": "grey level", "mean": "0 to 1", "std": "0 to 1"} | dict.fromkeys(
    RegionOfInterest.model_fields, "pixels"
)
"""Units of the keys of [letterbox], whose definition belongs to the runtime."""

MEANINGS = {
    "mode": "keep the frame's proportions and pad, or stretch it to the square",
    "filter": "how the frame is made smaller: box is as good as antialias and faster on large frames, bilinear misses "
    "thin defects",
    "top": "first row",
    "left": "first column",
    "height": "rows",
    "width": "columns",
    "brightness": "largest change either way",
}
"""Meanings of keys of [letterbox] that the runtime's definition leaves to its docstring."""

OPTIONS = {
    "channels": "of the layers, from the first to the last",
    "version": "of EfficientNet-Lite: 0, 1 or 2",
    "familiar": "number of features in the distance from good parts; 0: the score does not use that distance",
    "learn_depthwise": "whether the depthwise kernels of the encoder are trained too",
    "frozen": "stages of the encoder, of six, that keep their weights, from the first on",
    "coarse_map": "the decoder refines a map of cells of 16×16 pixels, which learns from labels in fewer steps",
    "summary": "the score also uses a classifier of the whole picture by statistics of its features",
    "dropout": "share of the features that the classifiers do not see in a step of the training",
    "dimensions": "features of each cell: of padim drawn at random, of patchcore principal components",
    "bank": "patches of good parts that are kept",
    "turns": "how many times every photograph is learnt, each time turned further by the same angle; 1: only as it is",
    "flips": "learn from every photograph mirrored each way, too",
    "pooled": "weight of the covariance common to all cells in the covariance of each cell, as a number of pictures",
    "smoothing": "deviation of the filter over the map; 0: none",
    "by": "what of the two scores counts: their mean, or the larger one",
    "judge": "network whose features the loss compares",
    "pos_weight": "weight of a bad photograph, that of a good one is 1",
    "picture": "weight of the cross-entropy of the score",
    "hardest": "share of a picture's good cells that enter the loss: those with the highest loss",
    "pixels": "weight λ of the squared error; the loss of the judge's features weighs 1 - λ",
    "spots": "share of the pictures that the network sees with white spots and has to reconstruct without them",
    "alpha": "weight α of the cross-entropy; the Dice loss weighs 1 - α",
}
"""Meanings of the options of networks and losses."""

UNITS_OF_OPTIONS = {
    "pooled": "pictures",
    "smoothing": "cells",
    "hardest": "share",
    "spots": "share",
    "dropout": "share",
}

OWN = {"one logit": OwnClassifier, "a map": OwnSegmenter}
"""What a network of one's own gives, and what makes a network of the project of it."""

CRITERIA = (
    "`val_recall` is the recall at a score of 0.5, because the threshold is chosen after the last epoch; `val_dice` "
    "compares maps cut at 0.5 with the masks of those photographs that have one."
)

DEFAULTS = {"mean": "0 for each channel", "std": "1 for each channel"}


def page() -> str:
    """The page as Markdown."""
    tables = {name: field for name, field in Recipe.model_fields.items() if table_of(field) is not None}
    plain = {name: field for name, field in Recipe.model_fields.items() if name not in tables}
    parts = [HEAD, "## Before the first table\n", _table(plain)]
    for name, field in tables.items():
        model = table_of(field)
        assert model is not None
        about = inspect.getdoc(model) or ""
        parts += [f"## [{name}]\n", f"{_about(name, about)}\n"]
        if model.model_fields:
            parts.append(_table(model.model_fields))
        if model is LetterboxContract:
            parts += ["### [letterbox.region]\n", _table(RegionOfInterest.model_fields)]
        parts += _further(name)
    return "\n".join(parts)


def _about(name: str, doc: str) -> str:
    """What a table is for, in a sentence."""
    if name == "letterbox":
        return "How a frame becomes the network's input; `edge.letterbox.contract` defines it exactly."
    first = " ".join(doc.split("\n\n")[0].split()).removeprefix(f"[{name}]: ")
    return first[0].upper() + first[1:]


def _further(name: str) -> Iterator[str]:
    """Keys that depend on what a table names."""
    if name == "model":
        yield "Further keys are options of the network, the arguments of its class or function:\n"
        yield _options({one: network_class(one).__init__ for one in network_names()})
    elif name == "loss":
        functions: dict[str, Any] = {one: network_class(one).loss for one in network_names()}
        yield _options(functions | {f"FILE.py:NAME, {what}": kind.loss for what, kind in OWN.items()})
    elif name == "checkpoint":
        yield f"`criterion` is one of {', '.join(f'`{one}`' for one in FIGURES)}. {CRITERIA}\n"
    elif name == "threshold":
        rows = [
            (f"`{one}`", _given(strategy_parameters(one, {})), strategy.about) for one, strategy in STRATEGIES.items()
        ]
        yield "Further keys are parameters of the strategy:\n"
        yield _rows(("strategy", "parameters and defaults", "chooses"), rows)


def _options(functions: dict[str, Any]) -> str:
    """A table of the keyword-only arguments of functions, by the name of their network."""
    rows = []
    for name, function in functions.items():
        parameters = inspect.signature(function, eval_str=True).parameters.values()
        for one in (one for one in parameters if one.kind is one.KEYWORD_ONLY):
            words = get_args(one.annotation) if get_origin(one.annotation) is Literal else ()
            values = ", ".join(f"`{word}`" for word in words)
            default, unit = f"`{_toml(one.default)}`", UNITS_OF_OPTIONS.get(one.name, "")
            kind = _type(one.annotation)
            rows.append((f"`{name}`", f"`{one.name}`", kind, unit, default, values, OPTIONS[one.name]))
    return _rows(("network", "key", "type", "unit", "default", "values", "meaning"), rows)


def _table(fields: dict[str, FieldInfo]) -> str:
    rows = [
        (
            f"`{name}`",
            _type(field.annotation),
            _unit(name, field),
            _default(name, field),
            _choices(field),
            _meaning(name, field),
        )
        for name, field in fields.items()
        if table_of(field) is None or name == "region"
    ]
    return _rows(("key", "type", "unit", "default", "values", "meaning"), rows)


def _rows(head: tuple[str, ...], rows: list[Any]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines) + "\n"


def table_of(field: FieldInfo) -> type[BaseModel] | None:
    """The table that a key is, which may be left out."""
    kinds = get_args(field.annotation) or (field.annotation,)
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _type(annotation: Any) -> str:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(args[0])
    if origin is Literal:
        return "text" if isinstance(args[0], str) else "number"
    if origin is tuple:
        return f"list of {_type(args[0])}s"
    if args:  # with None, if the key may be left out
        return _type(next(one for one in args if one is not type(None)))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "table"
    return {int: "whole number", float: "number", str: "text", bool: "true or false"}[annotation]


def _unit(name: str, field: FieldInfo) -> str:
    there = [*field.metadata, *(one for kind in get_args(field.annotation) for one in get_args(kind))]
    return next((one.name for one in there if isinstance(one, Unit)), UNITS.get(name, ""))


def _default(name: str, field: FieldInfo) -> str:
    if name in DEFAULTS:
        return DEFAULTS[name]
    if field.is_required():
        return "required"
    return "unset" if field.default is None else f"`{_toml(field.default)}`"


def _choices(field: FieldInfo) -> str:
    """What values are allowed: those of a list, or a range."""
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{one}`" for one in get_args(field.annotation))
    words = {"ge": "≥ {}", "gt": "> {}", "le": "≤ {}", "lt": "< {}", "multiple_of": "multiples of {}"}
    found = {name: value for one in field.metadata for name in words if (value := getattr(one, name, None)) is not None}
    return ", ".join(text.format(f"{found[name]:g}") for name, text in words.items() if name in found)


def _meaning(name: str, field: FieldInfo) -> str:
    return field.description or MEANINGS[name]


def _given(parameters: dict[str, float]) -> str:
    return ", ".join(f"`{name} = {value:g}`" for name, value in parameters.items())


def _toml(value: object) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE, file=sys.stderr)
