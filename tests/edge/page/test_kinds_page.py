"""The page names the kind of a reject, filters by it and counts it."""

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.page import browser, heartbeat, made_site
from support.records import enter, recorder, settle, verdict

from edge.page.charts import pareto
from edge.page.words import Languages
from edge.verdict import Outcome, Verdict

KINDS = ("crack", "<b>oil</b>")


def with_kind(seq: int, kind: str | None) -> Verdict:
    """A reject of now with a kind, or a good part."""
    one = verdict(seq, Outcome.GOOD if kind is None else Outcome.REJECT, "cd34")
    changes: dict[str, object] = {"time": datetime.now(UTC).isoformat(timespec="milliseconds")}
    if kind in KINDS:
        changes |= {"kind": kind, "kind_number": 1 + KINDS.index(kind), "kind_probability": 0.75}
    return Verdict.model_validate(one.model_dump() | changes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A record of one good part and six rejects: three cracks, two spots of oil, one without a kind."""
    said = [None, "crack", "crack", "<b>oil</b>", "unnamed", "crack", "<b>oil</b>"]
    journal = recorder(tmp_path / "line1", "cd34")
    enter(journal, *(with_kind(seq, kind) for seq, kind in enumerate(said, 1)))
    settle(journal)
    journal.close("told to stop", len(said))
    return tmp_path / "line1"


def test_the_gallery_shows_kinds_and_filters_by_them(folder: Path) -> None:
    with browser(made_site((folder,))) as client:
        everything = client.get("/s/line1/rejects?span=all").text
        assert everything.count(" · crack") == 3
        assert everything.count(" · &lt;b&gt;oil&lt;/b&gt;") == 2
        assert "<option>crack</option>" in everything
        assert "<b>oil" not in everything
        cracks = client.get("/s/line1/rejects?span=all&kind=crack").text
        assert (cracks.count('class="tile panel reject"'), cracks.count(" · crack")) == (3, 3)
        assert 'name="kind" maxlength="40" list="kinds" value="crack"' in cracks
        none = client.get("/s/line1/rejects?span=all&kind=scratch").text
        assert "No part matches" in none
        assert 'value="scratch"' in none, "what was asked stays"
        assert client.get("/s/line1/rejects?span=all&kind=%1b").status_code == 400


def test_without_kinds_there_is_no_filter_by_them(tmp_path: Path) -> None:
    journal = recorder(tmp_path / "line1", "cd34")
    enter(journal, with_kind(1, None), with_kind(2, "unnamed"))
    settle(journal)
    journal.close("told to stop", 2)
    with browser(made_site((tmp_path / "line1",))) as client:
        assert 'name="kind"' not in client.get("/s/line1/rejects?span=all").text


@pytest.mark.parametrize(("code", "named"), [("en", "Kind of defect"), ("de", "Fehlerart")])
def test_the_story_of_a_part_has_its_kind_in_the_language_of_the_page(folder: Path, code: str, named: str) -> None:
    with browser(made_site((folder,))) as client:
        client.cookies.set("language", code)
        page = client.get("/s/line1/parts/cd34/2", headers={"Accept-Language": code}).text
        assert f"<dt>{named}</dt><dd>crack, 75 %</dd>" in page
        assert "kind crack, probability 0.75" in page
        assert f"<dt>{named}</dt>" not in client.get("/s/line1/parts/cd34/5", headers={"Accept-Language": code}).text


def test_the_chart_of_reasons_has_a_row_for_each_kind(folder: Path) -> None:
    t = Languages()["en"]
    with browser(made_site((folder,))) as client:
        page = client.get("/s/line1/trends?span=day").text
    expected = pareto(t, [("defect: crack", 3), ("defect: <b>oil</b>", 2), ("defect", 1)])
    assert str(expected) in page


def test_the_stream_and_the_last_part_name_the_kind(folder: Path) -> None:
    site = made_site((folder,))
    station = site.stations.get("line1")
    assert station is not None
    station.hear(heartbeat(epoch="cd34"), time.monotonic_ns())
    station.hear(with_kind(8, "crack"), time.monotonic_ns())
    with browser(site) as client:
        assert '<span class="field">crack</span>' in client.get("/s/line1/parts").text
        assert " · crack" in client.get("/s/line1").text
