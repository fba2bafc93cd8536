"""The rules that every verdict obeys."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from support.verdicts import verdict

from edge.schema import schemas
from edge.verdict import Ledger, Outcome, Reason, Timing, parse, topic

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"score": None}, "needs a score"),
        ({"score": math.nan}, "finite number"),
        ({"score": math.inf, "verdict": "reject", "reason": "defect"}, "finite number"),
        ({"threshold": None}, "threshold"),
        ({"threshold": math.nan}, "finite number"),
        ({"threshold": math.inf}, "finite number"),
        ({"budget_ms": math.inf}, "finite number"),
        ({"age_ms": 1.0}, "not the time from capture"),
        ({"station": "a/b"}, "pattern"),
        ({"score": 0.5}, "do not make a good"),
        ({"verdict": "reject", "reason": "defect"}, "do not make a reject"),
        ({"age_ms": 50.1, "timing": Timing(captured=0, published=50_100_000)}, "budget"),
        ({"reason": "late"}, "no reason for good"),
        ({"verdict": "unknown", "reason": "late"}, "no score"),
        ({"verdict": "unknown", "reason": "clear", "score": None}, "no reason for unknown"),
        ({"seq": 0}, "greater than or equal to 1"),
    ],
)
def test_a_verdict_that_breaks_a_rule_cannot_be_made(changes: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValidationError, match=rule):
        verdict(**changes)


@given(
    st.sampled_from(Outcome),
    st.sampled_from(Reason),
    st.none() | st.floats(),
    st.none() | st.floats(),
    st.floats(0, 100),
    st.floats(),
)
def test_every_good_that_can_be_made_is_below_the_threshold_in_time_and_finite(
    outcome: Outcome, reason: Reason, score: float | None, threshold: float | None, age_ms: float, budget_ms: float
) -> None:
    timing = Timing(captured=0, published=round(age_ms * 1e6))
    try:
        made = verdict(verdict=outcome, reason=reason, score=score, threshold=threshold, age_ms=age_ms,
                       budget_ms=budget_ms, timing=timing)  # fmt: skip
    except ValidationError:
        return
    assert math.isfinite(made.budget_ms)
    if made.verdict is Outcome.GOOD:
        assert made.score is not None
        assert made.threshold is not None
        assert math.isfinite(made.threshold)
        assert -math.inf < made.score < made.threshold
        assert made.age_ms <= made.budget_ms
    assert (made.score is None) == (made.verdict is Outcome.UNKNOWN)


DEFECT = {"box": {"x": 1, "y": 2, "width": 3, "height": 4}, "area": 9, "peak": 0.75}


@pytest.mark.parametrize("defects", [None, (), (DEFECT,)])
def test_a_verdict_survives_the_wire(defects: Any) -> None:
    sent = verdict(verdict="reject", reason="defect", score=0.75, defects=defects, marginal=True)
    assert parse(topic("line1", "verdict"), sent.model_dump_json().encode()) == sent


def test_a_verdict_from_before_it_said_where_is_still_one() -> None:
    fields = verdict().model_dump(mode="json", exclude={"defects", "marginal"})
    assert parse(topic("line1", "verdict"), json.dumps(fields).encode()) == verdict()


@pytest.mark.parametrize(
    "defects",
    [
        [DEFECT] * 17,
        [DEFECT | {"peak": math.inf}],
        [DEFECT | {"area": 0}],
        [DEFECT | {"box": {"x": -1, "y": 0, "width": 1, "height": 1}}],
    ],
)
def test_a_verdict_names_at_most_sixteen_places_and_each_of_them_exists(defects: Any) -> None:
    with pytest.raises(ValidationError, match="defects"):
        verdict(defects=defects)


KIND = {"kind": "crack", "kind_number": 2, "kind_probability": 0.75}
REJECT = {"verdict": "reject", "reason": "defect", "score": 0.75}


def test_the_kind_of_a_defect_survives_the_wire_and_a_verdict_without_one_is_as_before() -> None:
    sent = verdict(**REJECT, **KIND)
    assert parse(topic("line1", "verdict"), sent.model_dump_json().encode()) == sent
    assert "kind" not in verdict(**REJECT).model_dump_json()


@pytest.mark.parametrize(
    "changes",
    [
        KIND,  # of a good part
        KIND | {"verdict": "unknown", "reason": "late", "score": None},
        REJECT | {"kind": "crack"},
        REJECT | KIND | {"kind_probability": None},
        REJECT | KIND | {"kind_number": None},
    ],
)
def test_only_a_reject_has_a_kind_and_all_of_it(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="belongs to a reject"):
        verdict(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": ""},
        {"kind": "x" * 41},
        {"kind": "oil  stain"},
        {"kind": "oil\nstain"},
        {"kind": "\x1b[2J"},
        {"kind_number": 0},
        {"kind_number": 33},
        {"kind_probability": 1.1},
        {"kind_probability": math.nan},
    ],
)
def test_a_kind_is_words_with_a_number_and_a_probability(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(changes))):
        verdict(**(REJECT | KIND | changes))


@pytest.mark.parametrize("name", [b"evp1/line1/verdict", b"evp2/line1/verdict/", b"", b"\xff/a/b/", b"evp1/l/other/"])
def test_a_topic_of_another_protocol_is_refused(name: bytes) -> None:
    with pytest.raises(ValueError, match="not a topic"):
        parse(name, verdict().model_dump_json().encode())


def test_a_ledger_that_does_not_balance_cannot_be_made() -> None:
    Ledger(accepted=3, good=1, reject=1, in_flight=1)
    with pytest.raises(ValidationError, match="balance"):
        Ledger(accepted=3, good=1, reject=1)


def test_the_schemas_in_docs_are_those_of_the_code() -> None:
    for name, schema in schemas().items():
        assert json.loads((ROOT / "docs" / "schemas" / name).read_text()) == schema, "run make docs"
