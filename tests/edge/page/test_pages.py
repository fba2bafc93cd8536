"""What the pages show: state, counts, parts, pictures, stories and trends, in each language."""

import re
import time
from pathlib import Path

import pytest
from support.page import browser, heartbeat, made_site, record, token
from support.records import spoil, verdict

from edge.page import standing as standing_module
from edge.page.charts import pareto
from edge.page.fragments import Fragments
from edge.page.live import Stations
from edge.page.record_view import RecordView, shift_start
from edge.page.standing import Level, standing
from edge.page.station_live import Counts, Newest, StationLive
from edge.page.words import Languages
from edge.verdict import Drift, Outcome, State, StateChange

VIEWS = (
    "",
    "/parts",
    "/rejects?span=all",
    "/trends?span=month",
    "/review",
    "/record",
    "/models",
    "/parts/cd34/2",
    "/part?id=part-2",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return record(tmp_path / "line1")


def test_the_first_screen_says_how_the_station_stands(folder: Path) -> None:
    site = made_site((folder,))
    station = site.stations.get("line1")
    assert station is not None
    station.hear(verdict(1, Outcome.GOOD, part="plate 7"), time.monotonic_ns())
    with browser(site) as client:
        text = client.get("/s/line1").text
    for expected in ("RUNNING", "SIMULATED", "GOOD", "plate 7", "12.5", "This shift"):
        assert expected in text


def test_every_view_is_there_in_every_language(folder: Path) -> None:
    site = made_site((folder,))
    with browser(site) as client:
        for language in Languages().codes:
            for view in VIEWS:
                answer = client.get(f"/s/line1{view}", headers={"accept-language": language})
                assert answer.status_code in (200, 303), (view, answer.text)
                if answer.status_code == 200:
                    assert f'<html lang="{language}"' in answer.text


def test_languages_have_the_same_words_with_the_same_values() -> None:
    languages = Languages()
    first = languages["en"]
    for code in languages.codes:
        words = languages[code]
        assert set(words.keys) == set(first.keys)
        for key in words.keys:
            values = [sorted(re.findall(r"{(\w+)}", one.find(key) or "")) for one in (first, words)]
            assert values[0] == values[1], key


def test_every_word_that_a_page_asks_for_is_there() -> None:
    folder = Path(standing_module.__file__).parent
    words = set(Languages()["en"].keys)
    asked = set()
    for path in (*folder.rglob("*.j2"), *folder.rglob("*.py")):
        asked |= set(re.findall(r"""\bt\(\s*"([a-z_]+\.[a-z_]+)"[,)]""", path.read_text()))
    assert len(asked) > 100
    assert asked - words == set()


def test_the_overview_has_all_stations_or_says_how_to_start_one(folder: Path) -> None:
    site = made_site((folder,))
    site.stations.heard("line2", "tcp://127.0.0.1:2")
    with browser(site) as client:
        text = client.get("/").text
        assert text.count('class="card panel') == 2
    with browser(made_site()) as client:
        assert client.get("/").headers["location"] == "/s/line1", "the only one"
    nobody = made_site()
    nobody.stations = Stations()
    with browser(nobody) as client:
        assert "edge-run --source demo" in client.get("/").text


def test_another_language_is_another_file(tmp_path: Path) -> None:
    (tmp_path / "fr.toml").write_text('[state]\nexecuting = "EN MARCHE"\n')
    words = Languages(tmp_path)["fr"]
    assert words("state.executing") == "EN MARCHE"
    assert words("outcome.good") == "GOOD", "a word that it lacks"


@pytest.mark.parametrize(
    ("state", "cause", "level", "todo"),
    [
        (State.EXECUTING, None, Level.RUN, ""),
        (State.HELD, "camera: no frame for 1500 ms", Level.FAULT, "cable"),
        (State.SUSPENDED, "controller: nothing heard from gate1", Level.HALT, "controller"),
        (State.SUSPENDED, "operator: Ana: belt", Level.HALT, "Resume"),
        (State.STOPPED, "told to stop", Level.FAULT, "Start edge-run"),
    ],
)
def test_a_state_has_its_reason_and_what_to_do(state: State, cause: str | None, level: Level, todo: str) -> None:
    station, now = StationLive("line1", "tcp://127.0.0.1:1"), time.monotonic_ns()
    station.hear(heartbeat(), now)
    station.hear(
        StateChange(station="line1", epoch="ab12", simulated=True, sent=now, state=state, cause=cause, last_seq=0), now
    )
    stands = standing(station.view(), Languages()["en"])
    assert stands.level is level
    assert cause is None or cause in stands.why
    assert todo in stands.todo


def test_silence_and_a_line_that_rejects_everything_are_called_out() -> None:
    t, station = Languages()["en"], StationLive("line1", "tcp://127.0.0.1:1")
    assert standing(station.view(), t).level is Level.FAULT
    station.hear(heartbeat(), time.monotonic_ns() - 3_000_000_000)
    assert "3 s" in standing(station.view(), t).why
    station.hear(heartbeat(), time.monotonic_ns())
    for seq in range(1, 31):
        station.hear(verdict(seq, Outcome.UNKNOWN), time.monotonic_ns())
    stands = standing(station.view(), t)
    assert "100 %" in stands.why
    assert "late" in stands.why
    assert "too slow" in stands.todo


def test_a_shift_counts_each_verdict_once() -> None:
    station = StationLive("line1", "")
    station.hear(heartbeat(last_seq=4), 1)
    for seq in range(5, 11):
        station.hear(verdict(seq), seq)
    station.rebase(Counts(7, 0, 0), "2026-01-01T06:00:00+00:00", Newest("ab12", 7))
    assert station.view().shift == Counts(10, 0, 0), "of the ten the journal has seven"
    station.hear(verdict(10), 20)
    assert station.view().shift.good == 10, "one that comes twice"
    assert station.view().missed == 0
    station.hear(verdict(13), 21)
    assert station.view().missed == 2


def test_the_gallery_has_pictures_and_filters(folder: Path) -> None:
    site = made_site((folder,))
    with browser(site) as client:
        text = client.get("/s/line1/rejects?span=all").text
        assert text.count('class="tile ') == 4
        assert "código 7" in text
        assert client.get("/s/line1/rejects?span=all&outcome=unknown&reason=late").text.count('class="tile ') == 1
        assert client.get("/s/line1/rejects?span=all&place=top-left").text.count('class="tile ') == 0
        assert client.get("/s/line1/rejects?span=all&field=lot%3D7").text.count('class="tile ') == 0
        assert client.get("/s/line1/rejects").text.count('class="tile ') == 0, "of the last day"
        for wrong in ("span=never", "outcome=fine", "place=nowhere", "before=x", "since=yesterday", "field=%00"):
            assert client.get(f"/s/line1/rejects?{wrong}").status_code == 400
        picture = client.get("/s/line1/pictures/ab12/1?w=320")
        assert picture.headers["content-type"] == "image/jpeg"
        assert picture.content.startswith(b"\xff\xd8\xff")
        assert client.get("/s/line1/pictures/cd34/1").status_code == 404


def test_a_story_has_the_part_its_neighbours_and_what_the_audit_tells(folder: Path) -> None:
    with browser(made_site((folder,))) as client:
        text = client.get("/s/line1/parts/cd34/3").text
        assert "published reject/defect" in text
        near = text.partition('class="panel near"')[2].partition("</nav>")[0]
        assert re.findall(r"parts/cd34/(\d+)\"", near) == ["1", "2", "4", "5", "6"]
        assert client.get("/s/line1/parts/cd34/99").status_code == 404
        assert client.get("/s/line1/part?id=nobody").status_code == 404


def test_a_damaged_picture_is_not_shown(folder: Path) -> None:
    (picture,) = folder.rglob("*.png")
    picture.chmod(0o600)
    picture.write_bytes(picture.read_bytes()[:-9] + b"something")
    with browser(made_site((folder,))) as client:
        assert client.get("/s/line1/pictures/ab12/1").status_code == 404


def test_a_journal_with_nonsense_costs_one_line(folder: Path) -> None:
    spoil(
        folder, "UPDATE verdicts SET json = '{\"seq\": []}' WHERE epoch = 'cd34'", "UPDATE runs SET started = 'never'"
    )
    with browser(made_site((folder,))) as client:
        for view in VIEWS:
            assert client.get(f"/s/line1{view}").status_code < 500, view
    (folder / "journal.db").write_bytes(b"SQLite format 3\0" + bytes(5000))
    site = made_site((folder,))
    with browser(site) as client:
        for view in VIEWS:
            answer = client.get(f"/s/line1{view}")
            assert answer.status_code < 500, view
        assert "is damaged. Restart the station" in client.get("/s/line1").text


def test_a_part_that_is_called_script_is_text(tmp_path: Path) -> None:
    from support.records import enter, recorder

    name = '<script>alert("1")</script>\'"><img src=x onerror=alert(1)>'
    journal = recorder(tmp_path / "line1", "ef56")
    one = verdict(1, Outcome.REJECT, "ef56", part=name)
    enter(journal, one)
    journal.close("<script>", 1)
    site = made_site((tmp_path / "line1",))
    station = site.stations.get("line1")
    assert station is not None
    station.hear(heartbeat(epoch="ef56", alarms=("<script>alarm</script>",), cause="<script>"), time.monotonic_ns())
    station.hear(one, time.monotonic_ns())
    with browser(site) as client:
        for view in ("", "/parts", "/rejects?span=all", "/parts/ef56/1", "/record", "/review"):
            text = client.get(f"/s/line1{view}").text
            assert re.findall(r"<script(?! type=\"module\" src=\"/static/page.js\")", text) == []
            assert "<img src=x" not in text


def test_a_shift_begins_at_the_last_of_its_times() -> None:
    from datetime import datetime

    shifts = (360, 840, 1320)
    for now, begins in (("07:00", "06:00"), ("13:59", "06:00"), ("23:00", "22:00")):
        local = datetime.fromisoformat(f"2026-03-10T{now}:00").astimezone()
        assert shift_start(local, shifts).astimezone().strftime("%H:%M") == begins
    night = shift_start(datetime.fromisoformat("2026-03-10T01:00:00").astimezone(), shifts).astimezone()
    assert night.strftime("%d %H:%M") == "09 22:00"


def test_a_record_counts_its_verdicts(folder: Path) -> None:
    from datetime import UTC, datetime

    counted, newest = RecordView(folder).since(datetime(2026, 1, 1, tzinfo=UTC))
    assert (counted.good, counted.reject, counted.unknown) == (5, 4, 1)
    assert newest == Newest("cd34", 9)


@pytest.mark.parametrize("seq", ["9223372036854775808", "99999999999999999999", "999999999999999999"])
def test_a_number_that_no_verdict_has_is_not_found(folder: Path, seq: str) -> None:
    with browser(made_site((folder,))) as client:
        form = {"token": token(client), "choice": "bad", "by": "Ana"}
        assert client.get(f"/s/line1/parts/cd34/{seq}").status_code == 404
        assert client.get(f"/s/line1/pictures/cd34/{seq}").status_code == 404
        assert client.post(f"/s/line1/parts/cd34/{seq}/decide", data=form).status_code in (400, 404)
        for address in ("/s/line1/part?id=%00", "/s/%00"):
            assert "\0" not in client.get(address).text


def test_a_damaged_journal_keeps_the_navigation_and_tells_what_to_do(folder: Path) -> None:
    (folder / "journal.db").write_bytes(b"SQLite format 3\0" + bytes(5000))
    with browser(made_site((folder,))) as client:
        for view in ("/rejects", "/trends", "/review", "/record", "/part?id=part-2", "/parts/cd34/2"):
            text = client.get(f"/s/line1{view}").text
            assert "Restart the station" in text, view
            assert 'href="/s/line1/trends"' in text, view
            assert "malformed" not in text, view
            assert "database" not in text, view


def test_a_part_is_found_whatever_its_capitals(folder: Path) -> None:
    with browser(made_site((folder,))) as client:
        assert client.get("/s/line1/part?id=PART-2").headers["location"] == "/s/line1/parts/cd34/2"
        answer = client.get("/s/line1/part?id=PART-99")
        assert answer.status_code == 404
        assert 'name="id"' in answer.text, "the search goes on from there"
        assert "only counts" not in answer.text


def test_a_part_that_expired_is_told_to_be_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from support.sealed import G, expire, line_of, seal, small_blocks

    small_blocks(monkeypatch)
    line_of(tmp_path / "line1", [G] * 12)
    seal(tmp_path / "line1")
    assert expire(tmp_path / "line1", 2) == 2
    with browser(made_site((tmp_path / "line1",))) as client:
        for address in ("/part?id=part-1", "/parts/ab12/1"):
            answer = client.get(f"/s/line1{address}")
            assert answer.status_code == 404
            assert "only counts are kept" in answer.text
            assert 'name="id"' in answer.text
        assert client.get("/s/line1/part?id=Part-12").status_code == 303, "in the newest rows"
        assert client.get("/s/line1/part?id=Part-9").status_code == 303, "in a block"


def test_the_banner_says_which_form_applies(folder: Path) -> None:
    site, t = made_site((folder,)), Languages()["en"]
    station = site.stations.get("line1")
    assert station is not None
    with browser(site) as client:
        text = client.get("/s/line1").text
        assert "data-held" not in text
        assert text.index('class="hold') < text.index('class="last'), "near the banner"
        assert {text.count(f'name="do" value="{one}"') for one in ("suspend", "resume")} == {1}
    for state, cause, alarms in (
        (State.SUSPENDED, "operator: Ana: belt", ()),
        (State.HELD, "camera: cable", ("suspended by Ana: belt",)),
    ):
        station.hear(heartbeat(state=state, cause=cause, alarms=alarms), time.monotonic_ns())
        made = Fragments(site).get(station, t, ["status"])["status"]
        assert "data-held" in made
    station.hear(heartbeat(state=State.SUSPENDED, cause="controller: nothing heard"), time.monotonic_ns())
    assert "data-held" not in Fragments(site).get(station, t, ["status"])["status"]


def test_what_the_page_says_in_small_print(tmp_path: Path) -> None:
    folder = record(tmp_path / "line1")
    site = made_site((folder,))
    station = site.stations.get("line1")
    assert station is not None
    station.hear(heartbeat(drift=Drift(learned=0.1)), time.monotonic_ns())
    with browser(site) as client:
        assert "10 % of the reference is known; comparing begins after two hours" in client.get("/s/line1").text
        for seq, said in ((1, "Good after all"), (5, "Good <kbd>")):
            text = client.get(f"/s/line1/parts/cd34/{seq}").text
            assert said in text
            assert ("Good after all" in text) is (seq == 1)
    assert "100 % cumulated" in str(pareto(Languages()["en"], [("late", 3), ("defect", 1)]))
