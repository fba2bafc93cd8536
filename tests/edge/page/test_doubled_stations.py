"""Two stations of one name: the page shows one, says so, and suspends neither."""

import time

import pytest
import zmq
from support.line import running_line
from support.page import browser, heartbeat, made_site

from edge.channel.control_messages import Refused, Resume, Suspend, Suspension
from edge.page.control import Control
from edge.page.live import Stations
from edge.page.station_live import SILENT_S, StationLive

FIRST, OTHER = "tcp://127.0.0.1:1", "tcp://127.0.0.1:9"


def test_another_station_of_the_same_name_is_not_mixed_in() -> None:
    site = made_site()
    station = site.stations.get("line1")
    assert station is not None
    assert site.stations.heard("line1", OTHER) is None, "its messages are not those of the first"
    assert station.endpoint == FIRST
    assert station.view().rival == OTHER
    with browser(site) as client:
        assert f"Two stations are called line1: {FIRST}, which is shown, and {OTHER}" in client.get("/s/line1").text
    told = site.control.hold(station, True, "Ana", "belt")
    assert (told.is_done, told.why) == (False, f"two stations are called line1: {FIRST} and {OTHER}")


def test_a_station_that_moved_keeps_its_name() -> None:
    stations = Stations()
    station = stations.heard("line1", FIRST)
    assert station is not None
    station.hear(heartbeat(), time.monotonic_ns() - int((SILENT_S + 1) * 1e9))
    assert stations.heard("line1", OTHER) is station
    assert (station.endpoint, station.view().rival) == (OTHER, None)


def test_a_suspension_for_another_station_or_another_run_is_refused() -> None:
    with running_line("--source", "demo", "--size", "320x180", "--rate", "10/s") as line, line.asking() as ask:
        line.until(1)
        epoch = line.verdicts[-1].epoch
        for kind in (Suspend, Resume):
            for station, run in (("line2", epoch), ("line1", "ffff"), ("line2", None)):
                refused = ask(kind(by="Ana", reason="x", station=station, epoch=run))
                assert isinstance(refused, Refused)
                assert f"this is station line1, epoch {epoch}" in refused.why
        assert ask(Suspend(by="Ana", reason="x", station="line1", epoch=epoch)) == Suspension(is_suspended=True)


@pytest.mark.parametrize(("epoch", "is_done"), [(None, True), ("ffff", False)])
def test_the_page_names_station_and_run(epoch: str | None, is_done: bool) -> None:
    with running_line("--source", "demo", "--size", "320x180", "--rate", "10/s") as line:
        line.until(1)
        station = StationLive("line1", line.endpoint)
        station.hear(heartbeat(epoch=epoch or line.verdicts[-1].epoch), time.monotonic_ns())
        assert Control(zmq.Context.instance()).hold(station, True, "Ana", "belt").is_done is is_done
