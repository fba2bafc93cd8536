"""The last part: its own picture, its time, and grey when it is no longer the last; counts beyond the short list."""

import time
from pathlib import Path
from typing import Any

import pytest
from support.page import browser, heartbeat, made_site, record
from support.records import verdict

from edge.channel.preview import About, Preview
from edge.page import station_live
from edge.page.site import Site
from edge.page.station_live import MOST_PREVIEWS, Counts, Newest, StationLive
from edge.verdict import Outcome


def preview(seq: int, epoch: str = "ab12") -> Preview:
    about = About(station="line1", epoch=epoch, seq=seq, width=640, height=360, heat=None)
    return Preview(about, b"\xff\xd8\xff" + str(seq).encode())


def heard(site: Site, *messages: Any, ago_s: float = 0.0) -> StationLive:
    station = site.stations.get("line1")
    assert station is not None
    for message in messages:
        station.hear(message, time.monotonic_ns() - int(ago_s * 1e9))
    return station


def test_a_picture_is_that_of_the_part_that_is_asked_for() -> None:
    site = made_site()
    heard(site, *[preview(seq) for seq in range(1, MOST_PREVIEWS + 2)])
    with browser(site) as client:
        assert client.get("/s/line1/preview.jpg?n=ab12-3").content.endswith(b"3")
        assert client.get(f"/s/line1/preview.jpg?n=ab12-{MOST_PREVIEWS + 1}").content.endswith(b"9")
        for gone in ("?n=ab12-1", "?n=ab12-99", "?n=cd34-3", "?n=ab12-x", "?n=", ""):
            assert client.get(f"/s/line1/preview.jpg{gone}").status_code == 404, gone


def test_a_preview_ends_with_its_run() -> None:
    station = heard(made_site(), preview(3))
    assert station.view().preview is not None
    station.hear(heartbeat(epoch="cd34"), time.monotonic_ns())
    assert station.view().preview is None


def test_a_preview_without_its_verdict_shows_no_other_part() -> None:
    site = made_site()
    heard(site, verdict(1, part="plate 1"), preview(2))
    with browser(site) as client:
        text = client.get("/s/line1").text
    assert "preview.jpg?n=ab12-2" in text
    assert "Picture: part" not in text


@pytest.mark.parametrize(("ago_s", "is_old"), [(0.0, False), (30.0, True)])
def test_a_part_of_long_ago_is_grey_and_says_so(ago_s: float, is_old: bool) -> None:
    site = made_site()
    heard(site, verdict(1), ago_s=ago_s)
    heard(site, heartbeat())
    with browser(site) as client:
        text = client.get("/s/line1").text
    assert ("verdict good old" in text) is is_old
    assert ("30 s ago" in text) is is_old


def test_a_part_of_the_record_has_its_date(tmp_path: Path) -> None:
    with browser(made_site((record(tmp_path / "line1"),))) as client:
        text = client.get("/s/line1").text
    assert ", from the record" in text
    assert "unknown old" in text


def test_a_silent_station_has_unknown_alarms() -> None:
    site = made_site()
    heard(site, heartbeat(), ago_s=7.5)
    with browser(site) as client:
        assert "last heard 7 s ago" in client.get("/s/line1").text
    heard(site, heartbeat())
    with browser(site) as client:
        assert "last heard" not in client.get("/s/line1").text


def test_a_shift_without_a_record_counts_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(station_live, "MOST_SHORT", 10)
    station = StationLive("line1", "")
    for seq in range(1, 26):
        station.hear(verdict(seq, Outcome.REJECT if seq == 1 else Outcome.GOOD), seq)
    assert station.view().shift == Counts(24, 1, 0)
    station.rebase(Counts(19, 1, 0), None, Newest("ab12", 20))
    assert station.view().shift == Counts(24, 1, 0), "those that are in the journal, too, count once"
