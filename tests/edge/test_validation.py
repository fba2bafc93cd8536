"""Errors of pydantic are reported in the project's words: the key, its value, the required form, the nearest name."""

from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails
from pydantic_core.core_schema import ErrorType
from support.line import ROOT

from edge.validation import plain, problem

PYDANTIC = ("Input", "input", "valid ", "Value error", "Extra", "Field required", "List should", "String should")
"""Words of pydantic's own messages."""


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    side: int = Field(default=32, ge=16, le=2048)
    crop: int = Field(default=32, multiple_of=16)
    weights: tuple[float, float, float] = (1, 1, 1)


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    title: str
    share: float = Field(default=0.5, gt=0, lt=1)
    is_fast: bool = False
    schedule: Literal["constant", "one-cycle"] = "constant"
    names: list[Annotated[str, Field(pattern="^[a-z]+$", min_length=2, max_length=5)]] = Field(
        default=["ab"], min_length=1, max_length=3
    )
    inner: Inner = Inner()
    by_name: dict[str, Inner] = {}
    maybe: Inner | None = None

    @field_validator("title")
    @classmethod
    def _is_a_title(cls, title: str) -> str:
        if title == "none":
            raise ValueError("'none' is no title")
        return title


CASES: list[tuple[dict[str, Any], str]] = [
    ({"title": None}, "title = null: must be text"),
    ({"title": "none"}, "title = 'none': 'none' is no title"),
    ({"share": "half"}, "share = 'half': must be a number"),
    ({"share": 0}, "share = 0: must be more than 0"),
    ({"share": 1}, "share = 1: must be less than 1"),
    ({"is_fast": "perhaps"}, "is_fast = 'perhaps': must be true or false"),
    ({"schedule": "one-cycel"}, "schedule = 'one-cycel': must be 'constant' or 'one-cycle'; did you mean 'one-cycle'?"),
    ({"schedule": 3}, "schedule = 3: must be 'constant' or 'one-cycle'"),
    ({"names": []}, "names = []: must have at least 1 value"),
    ({"names": ["ab"] * 4}, "names = ['ab', 'ab', 'ab', 'ab']: must have at most 3 values"),
    ({"names": "ab"}, "names = 'ab': must be a list of values, such as [1, 2]"),
    ({"names": ["ab", "c"]}, "names.1 = 'c': must have at least 2 characters"),
    ({"names": ["abcdef"]}, "names.0 = 'abcdef': must have at most 5 characters"),
    ({"names": ["AB"]}, "names.0 = 'AB': must match the pattern ^[a-z]+$"),
    ({"inner": 3}, "inner = 3: must be a table of keys and values"),
    ({"inner": {"side": 8}}, "inner.side = 8: must be at least 16"),
    ({"inner": {"side": 4096}}, "inner.side = 4096: must be at most 2048"),
    ({"inner": {"crop": 40}}, "inner.crop = 40: must be a multiple of 16"),
    ({"inner": {"weights": 1}}, "inner.weights = 1: must be a list of values, such as [1, 2]"),
    ({"inner": {"weights": [1, 2]}}, "inner.weights: has too few values"),
    ({"inner": {"weights": [1, 2, 3, 4]}}, "inner.weights = [1, 2, 3, 4]: must have at most 3 values"),
    ({"inner": {"sides": 32}}, "unknown key 'inner.sides'; did you mean 'inner.side'? inner has side, crop, weights"),
    (
        {"maybe": {"wieghts": 32}},
        "unknown key 'maybe.wieghts'; did you mean 'maybe.weights'? maybe has side, crop, weights",
    ),
    ({"crop": 32}, "unknown key 'crop'; did you mean 'inner.crop'? the file has title, share, is_fast"),
    ({"by_name": {"a": {"x": 1}}}, "unknown key 'by_name.a.x'; by_name.a has side, crop, weights"),
    ({"by_name": {"a\x1b": 1}}, r"by_name.a\x1b = 1: must be a table of keys and values"),
    ({"titel": "b"}, "unknown key 'titel'; did you mean 'title'? the file has title, share, is_fast"),
    ({"inner": {"side": 32.5}}, "inner.side = 32.5: must be a whole number"),
    ({"title": ["\x1b" * 90]}, r"title = ['\x1b"),
]


@pytest.mark.parametrize(("changes", "says"), CASES, ids=[next(iter(c)) + str(n) for n, (c, _) in enumerate(CASES)])
def test_a_wrong_value_is_named_with_what_it_must_be(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Outer.model_validate({"title": "a"} | changes)
    said = plain(refused.value, Outer)
    assert said.startswith(says)
    assert said.isprintable()
    assert not [word for word in PYDANTIC if word in said]


def test_a_key_that_is_missing_is_named() -> None:
    with pytest.raises(ValidationError) as refused:
        Outer.model_validate({})
    assert plain(refused.value, Outer) == "title is missing"


def test_what_is_no_json_is_said_to_be_none() -> None:
    with pytest.raises(ValidationError) as refused:
        Outer.model_validate_json('{"title": ')
    assert plain(refused.value, Outer).startswith("is not JSON: EOF while parsing a value")


@pytest.mark.parametrize("kind", get_args(ErrorType))
def test_no_type_of_error_speaks_in_the_words_of_pydantic(kind: ErrorType) -> None:
    given: Any = defaultdict(lambda: 3, error="what a rule of ours says")
    said = problem(ErrorDetails(type=kind, loc=("key",), msg="Input should be a valid tuple", input="a", ctx=given))
    assert said
    assert not [word for word in PYDANTIC if word in said]


ELSEWHERE = (Path("edge/station/config"),)
"""Folders with a translation of their own."""


def test_every_module_that_tells_of_a_refused_value_uses_this_translation() -> None:
    files = [file.relative_to(ROOT) for name in ("edge", "export", "train") for file in (ROOT / name).rglob("*.py")]
    own = [file for file in files if not any(file.is_relative_to(folder) for folder in ELSEWHERE)]
    assert not [str(file) for file in own if '["msg"]' in (ROOT / file).read_text()]
