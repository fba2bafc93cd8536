"""Says what is wrong in a file or an option that pydantic refused: one line with the key, its value and the remedy."""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from edge.text import counted, did_you_mean, dotted, printable

LONGEST_SHOWN = 60
"""Characters of a wrong value that are shown."""

_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "decimal": "a number",
    "finite": "a finite number",
    "bool": "true or false",
    "string": "text",
    "path": "a path",
    "bytes": "text",
    "list": "a list of values, such as [1, 2]",
    "tuple": "a list of values, such as [1, 2]",
    "set": "a list of values, such as [1, 2]",
    "frozen": "a list of values, such as [1, 2]",
    "iterable": "a list of values, such as [1, 2]",
    "dict": "a table of keys and values",
    "mapping": "a table of keys and values",
    "model": "a table of keys and values",
    "dataclass": "a table of keys and values",
    "date": "a date",
    "datetime": "a date and a time",
    "time": "a time",
    "url": "a URL",
    "uuid": "a UUID",
}
"""What a value must be, by the first word of pydantic's type of error."""

_WORDS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "missing": lambda _: "is missing",
    "extra_forbidden": lambda _: "is an unknown key",
    "value_error": lambda given: str(given["error"]),
    "assertion_error": lambda given: str(given["error"]),
    "greater_than": lambda given: f"must be more than {_limit(given['gt'])}",
    "greater_than_equal": lambda given: f"must be at least {_limit(given['ge'])}",
    "less_than": lambda given: f"must be less than {_limit(given['lt'])}",
    "less_than_equal": lambda given: f"must be at most {_limit(given['le'])}",
    "multiple_of": lambda given: f"must be a multiple of {given['multiple_of']}",
    "too_short": lambda given: f"must have at least {counted(given['min_length'], 'value')}",
    "too_long": lambda given: f"must have at most {counted(given['max_length'], 'value')}",
    "string_too_short": lambda given: f"must have at least {counted(given['min_length'], 'character')}",
    "string_too_long": lambda given: f"must have at most {counted(given['max_length'], 'character')}",
    "string_pattern_mismatch": lambda given: f"must match the pattern {given['pattern']}",
    "literal_error": lambda given: f"must be {given['expected']}",
    "enum": lambda given: f"must be {given['expected']}",
    "none_required": lambda _: "must be null",
    "json_invalid": lambda given: f"is not JSON: {given['error']}",
    "invalid_key": lambda _: "has a key that is not text",
    "union_tag_invalid": lambda given: f"must be one of {given['expected_tags']}",
    "url_scheme": lambda given: f"must be a URL that begins with {given['expected_schemes']}",
}
"""What is said of a value, by pydantic's type of error, from the numbers and names that come with it."""


def plain(error: ValidationError, model: type[BaseModel] | None = None, name: str = "the file") -> str:
    """One line on the first thing that is wrong, such as `train.epochs = 0: must be at least 1`.

    `model` is what was validated; by it an unknown key is answered with the nearest one and with those that there are.
    `name` is what a message calls the whole.
    """
    first = first_problem(error)
    where = dotted(first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown key {where!r}{remedy_for_key(first['loc'], model, name)}"
    if first["type"] == "missing":
        if isinstance(first["loc"][-1], int):  # a value of a list of fixed length
            return f"{dotted(first['loc'][:-1])}: has too few values"
        return f"{where} is missing"
    said = problem(first)
    if not where:
        return said
    is_whole_table = isinstance(first["input"], dict | BaseModel)
    return f"{where}: {said}" if is_whole_table else f"{where} = {shown(first['input'])}: {said}"


def first_problem(error: ValidationError) -> ErrorDetails:
    """The first problem that is not merely the consequence of another one."""
    problems = error.errors(include_url=False)
    return next((one for one in problems if one["type"] != "default_factory_not_called"), problems[0])


def problem(details: ErrorDetails) -> str:
    """What is wrong with a value, without its key, such as `must be at least 1`."""
    if (words := _WORDS.get(details["type"])) is not None:
        said = printable(words(details.get("ctx", {})))
        near = _nearest(details["input"], said) if details["type"] in ("literal_error", "enum") else None
        return f"{said}; did you mean {near!r}?" if near else said
    kind = _KINDS.get(details["type"].partition("_")[0])
    return f"must be {kind}" if kind else "cannot be used here"


def remedy_for_key(location: tuple[int | str, ...], model: type[BaseModel] | None, name: str) -> str:
    """The end of a line about an unknown key: the nearest key, and all keys of its table; empty without a model.

    `name` is what the message calls the whole.
    """
    keys = [] if model is None else list(_keys_of(model, location[:-1]))
    if not keys:
        return ""
    given, table = str(location[-1]), dotted(location[:-1])
    assert model is not None
    elsewhere = [] if table else [f"{key}.{given}" for key in keys if given in _keys_of(model, (key,))]
    if elsewhere:
        return f"; did you mean {elsewhere[0]!r}? {name} has {', '.join(keys)}"
    return f"; {known_keys(given, keys, table or name, f'{table}.' if table else '')}"


def known_keys(given: str, keys: Iterable[str], owner: str, before: str = "") -> str:
    """The keys that `owner` has, the nearest to the one that was `given` first, if one is near.

    The nearest one is named with the text `before`, its table.
    """
    listed = list(keys)
    near = did_you_mean(given.replace("-", "_"), listed).replace("'", f"'{before}", 1)
    return f"{near}{owner} has {', '.join(listed) or 'no keys'}"


def shown(value: object) -> str:
    """A value from a file, as TOML and JSON write it, shortened and fit for a terminal."""
    text = {"True": "true", "False": "false", "None": "null"}.get(repr(value), printable(repr(value)))
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def _limit(value: object) -> object:
    """A limit as a person writes it: 1 rather than 1.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _nearest(given: object, expected: str) -> str | None:
    choices = [word.strip("'") for word in expected.replace(" or ", ", ").removeprefix("must be ").split(", ")]
    near = difflib.get_close_matches(given, choices, 1) if isinstance(given, str) else []
    return near[0] if near and len(choices) > 1 else None


def _keys_of(model: type[BaseModel], location: Iterable[int | str]) -> Iterator[str]:
    """The keys of the tables at a place of a model; a key that is no field names an element of a list or a mapping."""
    kind: Any = model
    for key in location:
        fields = [one.model_fields[str(key)] for one in _models(kind) if str(key) in one.model_fields]
        kind = fields[0].annotation if fields else kind
    for one in _models(kind):
        yield from one.model_fields


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models in an annotation, as in `dict[str, Model] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)
