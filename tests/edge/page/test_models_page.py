"""Products and candidates on the page: what a station says of them, and what a person asks of it there."""

import re
import time
from pathlib import Path
from typing import Any

import pytest
import zmq
from starlette.testclient import TestClient
from support.line import DEMO_BUNDLE, Line, running_line
from support.other_bundle import other_bundle
from support.page import browser, made_site, token
from support.records import rows

from edge.bundle import load_bundle
from edge.channel.control_messages import CandidateState, ProductState
from edge.page.control import Control, Models
from edge.page.site import Site
from edge.page.station_live import StationLive

SAME = {"origin": "http://127.0.0.1", "sec-fetch-site": "same-origin"}
SMALL = ("--source", "demo", "--size", "320x180", "--rate", "15/s", "--budget-ms", 5_000)
RUNNING = load_bundle(DEMO_BUNDLE).label


def site_of(line: Line) -> tuple[Site, StationLive]:
    """A site that hears this line."""
    site = made_site()
    site.stations._stations.clear()
    station = site.stations.heard("line1", line.endpoint)
    assert station is not None
    return site, station


def hear(line: Line, station: StationLive) -> None:
    """The line's next verdict and all heartbeats before it."""
    line.until(len(line.verdicts) + 1)
    station.hear(line.heartbeats[-1], time.monotonic_ns())


def post(client: TestClient, **form: Any) -> Any:
    given = {"by": "Ana", "reason": "trial", "token": token(client, "/s/line1/models")} | form
    return client.post("/s/line1/models", data=given, headers=SAME)


def shows(client: TestClient, line: Line, station: StationLive, *texts: str) -> str:
    """The page as soon as it has these texts."""
    end = time.monotonic() + 60
    while not all(text in (page := client.get("/s/line1/models").text) for text in texts):
        assert time.monotonic() < end, page
        hear(line, station)
    return page


def hidden(page: str, do: str) -> dict[str, str]:
    """The hidden fields of the form with this button, without the token."""
    form = next(form for form in page.split("<form")[1:] if f'value="{do}"' in form.split("</form>")[0])
    fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form.split("</form>")[0]))
    return {name: value for name, value in fields.items() if name != "token"}


def test_a_candidate_is_loaded_looked_at_promoted_and_brought_back(tmp_path: Path) -> None:
    shelf = tmp_path / "candidates"
    shelf.mkdir()
    label = load_bundle(other_bundle(shelf / "second.edge")).label
    options = ("--candidates", shelf, "--promote-after", 5, "--records", tmp_path / "records")
    with running_line(*SMALL, *options) as line:
        site, station = site_of(line)
        hear(line, station)
        with browser(site) as client:
            page = client.get("/s/line1/models").text
            assert RUNNING in page
            assert "No candidate is loaded." in page
            assert post(client, do="load", bundle="nothing.edge").status_code == 303, "it is read in a thread"
            shows(client, line, station, "refused")
            unfit = post(client, do="load", bundle="../second.edge")
            assert (unfit.status_code, "validation error" in unfit.text) == (400, False)
            assert post(client, do="load", bundle="second.edge", reason=" ").status_code == 400
            assert post(client, do="open the gate").status_code == 400
            assert post(client, do="load", bundle="second.edge").status_code == 303
            page = shows(client, line, station, label, "judges in the shadow", 'name="flips" value="0"')
            asked = hidden(page, "promote")
            assert asked == {"epoch": line.verdicts[-1].epoch, "flips": "0", "label": label}
            for wrong in ({"flips": 3}, {"label": RUNNING}, {"epoch": "ffff"}):
                assert post(client, do="promote", **asked | wrong).status_code == 409, wrong
            while post(client, do="promote", **asked).status_code == 409:
                hear(line, station)
            page = shows(client, line, station, f"<dt>Before</dt><dd>{RUNNING}</dd>")
            assert hidden(page, "roll_back")["label"] == label
            assert post(client, do="roll_back", label=RUNNING).status_code == 409
            assert post(client, do="roll_back", **hidden(page, "roll_back")).status_code == 303
            end = time.monotonic() + 60
            while f"<dt>Before</dt><dd>{RUNNING}</dd>" in client.get("/s/line1/models").text:
                assert time.monotonic() < end
                hear(line, station)
        line.process.terminate()
        line.to_the_end()
    told = [text for (text,) in rows(tmp_path / "records", "SELECT text FROM events WHERE kind = 'operator'")]
    assert told[0].startswith("Ana loads nothing.edge as the candidate: trial")
    assert told[1].startswith("Ana loads second.edge as the candidate: trial")
    assert any(text.startswith("Ana promotes second") and text.endswith("trial") for text in told)
    assert any(text.startswith("Ana rolls back") for text in told)


def test_the_page_names_the_flips_and_the_product_and_escapes_what_a_station_says() -> None:
    class Said(Control):
        def models(self, station: StationLive) -> Models:
            state = {"stage": "judging", "needs": 5, "most_flips": 10, "running": "<script>r"}
            candidate = CandidateState(
                **state, bundle="<script>c", product="right", to_reject=2, to_good=3, judged=9, why="<script>w"
            )
            running = CandidateState(**state, is_promoted=True, rolled_back="<script>b")
            products = (ProductState(name="left", number=None, bundle="<script>p", is_up=False),)
            return Models("ab12", products, "left", running, candidate)

    site = made_site()
    site.control = Said(zmq.Context.instance())
    site.history.record = lambda name: object()  # type: ignore[method-assign, assignment, return-value]
    with browser(site) as client:
        page = client.get("/s/line1/models").text
    assert "<script>r" not in page.replace('<script type="module"', "")
    assert [page.count(f"&lt;script&gt;{one}") for one in "rcwbp"] == [2, 3, 1, 1, 1]
    assert hidden(page, "promote") == {"epoch": "ab12", "flips": "5", "product": "right", "label": "&lt;script&gt;c"}
    assert hidden(page, "roll_back") == {"epoch": "ab12", "product": "left", "label": "&lt;script&gt;r"}
    assert hidden(page, "load")["product"] == "left"
    site.history.record = lambda name: None  # type: ignore[method-assign, assignment]
    with browser(site) as client:
        assert 'value="promote"' not in client.get("/s/line1/models").text, "nobody can look at the flips"


def test_products_are_listed_and_selected(tmp_path: Path) -> None:
    given = [
        word
        for name, number in (("left", 1), ("right", 7))
        for word in ("--products", f"{name}={DEMO_BUNDLE},number={number}")
    ]
    with running_line(*SMALL, *given) as line:
        site, station = site_of(line)
        hear(line, station)
        with browser(site) as client:
            page = shows(client, line, station, "left", "right")
            assert page.index("<strong>current</strong>") < page.index("right")
            assert "<option>right</option>" in page
            assert "<option>left</option>" not in page
            assert post(client, do="select", product="middle").status_code == 409
            assert post(client, do="select", product="right").status_code == 303
            shows(client, line, station, "<option>left</option>")


@pytest.mark.parametrize("name", ["line1", "line2"])
def test_a_station_that_is_not_heard_or_not_known(name: str) -> None:
    site = made_site()
    station = site.stations.get("line1")
    assert station is not None
    station.endpoint = ""
    with browser(site) as client:
        answer = client.get(f"/s/{name}/models")
        assert answer.status_code == (200 if name == "line1" else 404)
        if name == "line1":
            assert "The station does not say: it is not running" in answer.text
            assert post(client, do="unload").status_code == 409
