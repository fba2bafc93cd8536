"""A small file that always has the latest, whatever the disk does meanwhile."""

import threading
from pathlib import Path

import pytest
from pydantic import BaseModel
from support.records import until

from edge.records import latest_file
from edge.records.latest_file import LatestFile


class Said(BaseModel):
    what: int


def content(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


def test_the_file_has_the_latest_and_goes_when_there_is_none(tmp_path: Path) -> None:
    path = tmp_path / "said.json"
    file = LatestFile(path)
    for number in range(50):
        file.keep(Said(what=number))
    until(lambda: content(path) == '{"what":49}')
    file.keep(None)
    until(lambda: content(path) is None)
    assert file.trouble is None
    file.keep(Said(what=1))
    file.close(patience_s=60)
    assert content(path) == '{"what":1}'


@pytest.mark.parametrize(
    "fault", [OSError(28, "No space left on device"), OSError("short write"), ValueError("strange")]
)
def test_a_write_that_fails_is_trouble_and_is_tried_until_it_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    is_full, real = True, latest_file.write_durably

    def write(files: dict[Path, bytes]) -> None:
        if is_full:
            raise fault
        real(files)

    monkeypatch.setattr(latest_file, "write_durably", write)
    monkeypatch.setattr(latest_file, "AGAIN_S", 0.01)
    path = tmp_path / "said.json"
    file = LatestFile(path)
    file.keep(Said(what=1))
    until(lambda: file.trouble is not None)
    assert file.trouble in str(fault)
    is_full = False
    until(lambda: content(path) == '{"what":1}' and file.trouble is None)
    file.close(patience_s=60)


def test_a_disk_that_does_not_answer_is_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers, real = threading.Event(), latest_file.write_durably

    def write(files: dict[Path, bytes]) -> None:
        answers.wait()
        real(files)

    monkeypatch.setattr(latest_file, "write_durably", write)
    monkeypatch.setattr(latest_file, "SLOW_S", 0.05)
    path = tmp_path / "said.json"
    file = LatestFile(path)
    file.keep(Said(what=1))
    until(lambda: file.trouble == "the disk does not answer")
    answers.set()
    until(lambda: content(path) == '{"what":1}' and file.trouble is None)
    file.close(patience_s=60)
