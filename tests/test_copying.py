"""Frames go past the caches into the ring, and only those who copy them are told to."""

from pathlib import Path

import pytest
from running import running_line

from edge.station.copying import LARGE, THRESHOLD, TUNABLES, past_the_caches


def test_the_capture_process_copies_past_the_caches_and_no_other_does() -> None:
    with running_line("--source", "demo", "--size", "320x180", "--rate", 50, "--no-records") as line:
        line.until(3)
        found = {name: Path(f"/proc/{line.child(name)}/environ").read_bytes() for name in CHILDREN}
    assert f"{TUNABLES}={THRESHOLD}={LARGE:#x}".encode() in found["edge-capture"].split(b"\0")
    assert THRESHOLD.encode() not in found["edge-inference"]


CHILDREN = ("edge-capture", "edge-inference")


@pytest.mark.parametrize(
    ("given", "becomes"),
    [
        ({}, f"{THRESHOLD}=0x200000"),
        ({TUNABLES: "glibc.malloc.check=0"}, f"glibc.malloc.check=0:{THRESHOLD}=0x200000"),
        ({TUNABLES: f"{THRESHOLD}=0x4040"}, None),
    ],
)
def test_what_somebody_has_chosen_stays(given: dict[str, str], becomes: str | None) -> None:
    assert past_the_caches(given).get(TUNABLES) == becomes
