"""A record whose frames are judged again."""

from pathlib import Path

import pytest
from support.line import running_line
from support.records import rows

PARTS = 60


@pytest.fixture(scope="session")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record of the demonstration line with the image of every part, judged with one thread."""
    folder = tmp_path_factory.mktemp("line") / "records"
    options = (
        "--source",
        "demo",
        "--size",
        "320x180",
        "--limit",
        PARTS,
        "--rate",
        "15/s",
        "--budget-ms",
        5_000,
        "--threads",
        1,
    )
    with running_line(*options, "--records", folder, "--keep-goods", 1, "--backend", "openvino") as line:
        assert line.to_the_end() == 0
    assert rows(folder, "SELECT count(*) FROM images WHERE gone IS NULL") == [(PARTS,)]
    return folder
