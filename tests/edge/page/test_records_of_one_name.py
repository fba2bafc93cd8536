"""Several records of one station's name, records of another run, journals that began anew: the page says so."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

from support.page import browser, made_site, record, token
from support.records import enter, recorder, settle, verdict

from edge.page.record_view import RecordView
from edge.page.station_live import Counts, Doubt
from edge.verdict import Outcome


def test_of_a_record_and_its_copy_the_original_is_shown_and_judged(tmp_path: Path) -> None:
    folder = record(tmp_path / "qm")
    copy = tmp_path / "backup"
    shutil.copytree(folder, copy)
    site = made_site((tmp_path,))
    shown = site.history.record("line1")
    assert shown is not None
    assert shown.folder == folder
    assert site.history.others("line1") == (copy,)
    with browser(site) as client:
        text = client.get("/s/line1").text
        assert f"This page shows {folder}" in text
        assert f"Move away: {copy}" in text
        form = {"token": token(client), "choice": "bad", "by": "Ana"}
        assert client.post("/s/line1/parts/cd34/1/decide", data=form).status_code == 303
    assert (folder / "reviews.db").exists()
    assert not (copy / "reviews.db").exists()


def test_the_record_that_a_station_writes_comes_before_a_newer_one(tmp_path: Path) -> None:
    folder = record(tmp_path / "zz")
    shutil.copytree(folder, tmp_path / "aa")
    recorder(tmp_path / "aa", "ef56").close("told to stop", 0)
    site = made_site((tmp_path,))
    shown = site.history.record("line1")
    assert shown is not None
    assert shown.folder == tmp_path / "aa", "the newest"
    written = recorder(folder, begins=False)
    site.history.read()
    shown = site.history.record("line1")
    written.close("told to stop", 0)
    assert shown is not None
    assert shown.folder == folder


def test_counts_of_another_run_are_unknown(tmp_path: Path) -> None:
    folder = tmp_path / "line1"
    other = recorder(folder, "ef56")
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    enter(other, *(verdict(seq, Outcome.GOOD, "ef56").model_copy(update={"time": now}) for seq in range(1, 8)))
    other.close("told to stop", 7)
    site = made_site((folder,))
    station = site.stations.get("line1")
    assert station is not None
    assert station.view().doubt is Doubt.OTHER
    assert station.view().verdicts == (), "nothing of the other station is shown"
    with browser(site) as client:
        text = client.get("/s/line1").text
    assert "does not have the run of line1" in text
    assert "<b>7</b>" not in text
    recorder(folder, "ab12").close("told to stop", 0)
    site.history.read()
    assert (station.view().doubt, station.view().shift) == (None, Counts(7, 0, 0))


def test_a_journal_that_began_anew_is_told_beside_the_counts(tmp_path: Path) -> None:
    folder = record(tmp_path / "line1")
    (folder / "journal.db").write_bytes(b"SQLite format 3\0" + bytes(5000))
    started = recorder(folder, "ab12")
    settle(started)
    site = made_site((folder,))
    started.close("told to stop", 0)
    station = site.stations.get("line1")
    assert station is not None
    anew = RecordView(folder).begun_anew(site.history.shift())
    assert station.view().anew == anew is not None
    with browser(site) as client:
        assert "the journal began anew" in client.get("/s/line1").text


def test_counts_of_a_damaged_journal_are_unknown_and_the_remedy_is_told(tmp_path: Path) -> None:
    for name, content in (("a", b"SQLite format 3\0" + bytes(5000)), ("b", b"")):
        folder = record(tmp_path / name / "line1")
        (folder / "journal.db").write_bytes(content)
        site = made_site((folder,))
        station = site.stations.get("line1")
        assert station is not None
        assert station.view().doubt is Doubt.UNREAD
        with browser(site) as client:
            text = client.get("/s/line1").text
            assert "Restart the station" in text
            assert "holds no journal" not in text
