"""The thread that reads the journals: one that disappears or may not be read is a problem that the page shows."""

import shutil
from pathlib import Path

import pytest
from support.page import browser, made_site, record

from edge.page import history as module
from edge.page.record_view import RecordView


def test_a_journal_that_disappears_is_a_problem_until_it_is_back(tmp_path: Path) -> None:
    folder = record(tmp_path / "line1")
    site = made_site((tmp_path,))
    assert site.history.problem("line1") is None
    shutil.move(folder, tmp_path / "elsewhere.old")
    (tmp_path / "elsewhere.old" / "journal.db").rename(tmp_path / "kept")
    site.history.read()
    with browser(site) as client:
        assert "has no journal any more" in client.get("/s/line1").text
    folder.mkdir()
    (tmp_path / "kept").rename(folder / "journal.db")
    site.history.read()
    assert site.history.problem("line1") is None


def test_a_folder_that_may_not_be_read_does_not_end_the_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = made_site((record(tmp_path / "line1"),))

    def forbidden(self: RecordView) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(RecordView, "last_run", forbidden)
    site.history.read()
    assert "Permission denied" in str(site.history.problem("line1"))


def test_no_error_ends_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    site, tries = made_site(), list[int]()

    def fails() -> None:
        tries.append(1)
        if len(tries) == 3:
            site.history.close()
        raise RuntimeError("something else")

    monkeypatch.setattr(module, "EVERY_S", 0.01)
    monkeypatch.setattr(site.history, "read", fails)
    site.history.run()
    assert len(tries) == 3


def test_the_first_screen_opens_no_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = made_site((record(tmp_path / "line1"),))

    def opened(self: RecordView, *arguments: object) -> None:
        raise AssertionError("the journal is read on the event loop")

    monkeypatch.setattr(RecordView, "listed", opened)
    with browser(site) as client:
        assert "Picture: last stored reject" in client.get("/s/line1").text
