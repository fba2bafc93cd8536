"""The remark and the alarm about pictures unlike the training photographs: their beginning and their end."""

import logging

import pytest

from edge.bundle import InputStatistics, Measured, Unmeasured, load_bundle
from edge.bundle.shipped import DEMO, shipped_bundle
from edge.cli.run import _news
from edge.station.input_watch import ALARM_AFTER, RECENT, REMARK_AFTER, InputWatch


class Watched:
    """A watch with pictures beyond the limit (distance 50) or within it (distance 1), and its log lines."""

    def __init__(self) -> None:
        found = load_bundle(shipped_bundle(DEMO)).manifest.input_statistics
        assert found is not None
        self.statistics: InputStatistics = found
        self.noted: list[tuple[int, str]] = []
        self.watch = InputWatch(found, lambda level, line: self.noted.append((level, line)))

    def see(self, *unlike: bool, feature: str = "brightness") -> None:
        for one in unlike:
            self.watch.add(Measured(50.0 if one else 1.0, feature))

    @property
    def remarks(self) -> list[str]:
        return [line for level, line in self.noted if level == logging.INFO]


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_nothing_is_said_of_a_line_with_one_unlike_picture_in_ten(watched: Watched) -> None:
    watched.see(*[n % 10 == 0 for n in range(1000)])
    assert (watched.noted, watched.watch.alarms) == ([], ())
    assert (watched.watch.compared, watched.watch.unlike) == (1000, 100)
    assert watched.watch.recent_share == 0.1


def test_the_remark_comes_once_after_twenty_pictures_with_its_figures(watched: Watched) -> None:
    watched.see(*[True] * (REMARK_AFTER - 1))
    assert watched.noted == []
    watched.see(True)
    assert watched.remarks == [
        "20 of the last 20 pictures are unlike the photographs that the bundle was trained on, most in brightness "
        f"(median distance 50.0, limit {watched.statistics.limit:.1f}); "
        "check that bundle, camera and light are those of this line"
    ]
    watched.see(*[True] * 100)
    assert len(watched.remarks) == 1
    assert watched.watch.alarms == ()


@pytest.mark.parametrize(("unlike", "remarks"), [(REMARK_AFTER // 2, 0), (REMARK_AFTER // 2 + 1, 1)])
def test_the_remark_needs_more_than_half_of_the_twenty(watched: Watched, unlike: int, remarks: int) -> None:
    watched.see(*[False] * (REMARK_AFTER - unlike), *[True] * unlike)
    assert len(watched.remarks) == remarks


def test_the_alarm_comes_when_it_lasts(watched: Watched) -> None:
    watched.see(*[True] * (ALARM_AFTER - 1))
    assert watched.watch.alarms == ()
    watched.see(True)
    (alarm,) = watched.watch.alarms
    assert alarm.startswith(f"{RECENT} of the last {RECENT} pictures are unlike")
    assert [level for level, _ in watched.noted] == [logging.INFO, logging.DEBUG], "the alarm is shown by others"


def test_a_third_of_the_pictures_is_an_alarm_without_a_remark(watched: Watched) -> None:
    watched.see(*[n % 3 == 0 for n in range(ALARM_AFTER)])
    assert len(watched.watch.alarms) == 1
    assert watched.remarks == []


def test_a_fault_that_is_over_raises_no_alarm(watched: Watched) -> None:
    watched.see(*[n % 5 < 2 for n in range(ALARM_AFTER - RECENT)], *[False] * (2 * RECENT))
    assert watched.watch.alarms == ()
    assert watched.noted == []


def test_an_alarm_ends_when_pictures_are_not_compared_any_more(watched: Watched) -> None:
    watched.see(*[True] * ALARM_AFTER)
    watched.watch.add(Unmeasured("no memory"))
    assert watched.watch.alarms == ()
    assert watched.watch.recent_share is None
    assert watched.noted[-1] == (
        logging.WARNING, "pictures are not compared with the training photographs: no memory"
    )  # fmt: skip


def test_the_alarm_that_goes_on_is_no_news(watched: Watched) -> None:
    watched.see(*[True] * ALARM_AFTER)
    before = watched.watch.alarms
    watched.see(*[True, False] * 30, feature="edges")
    assert watched.watch.alarms != before, "its figures are those of now"
    assert _news(watched.watch.alarms, before) == []


def test_remark_and_alarm_end_when_the_pictures_are_like_the_photographs_again(watched: Watched) -> None:
    watched.see(*[True] * ALARM_AFTER)
    watched.see(*[False] * (RECENT - 5))
    assert watched.watch.alarms
    watched.see(False)
    assert watched.watch.alarms == ()
    assert watched.remarks[1:] == [
        "pictures are like the training photographs again: 4 of the last 50 unlike",
    ]
    watched.see(*[False] * 300)
    assert len(watched.remarks) == 2


def test_a_remark_without_an_alarm_ends_too_and_may_come_again(watched: Watched) -> None:
    for number in (1, 2):
        watched.see(*[True] * REMARK_AFTER, *[False] * RECENT)
        assert len(watched.remarks) == 2 * number
        assert watched.watch.alarms == ()


def test_a_line_that_changes_late_is_noticed_as_soon(watched: Watched) -> None:
    watched.see(*[False] * 1000, *[True] * (REMARK_AFTER // 2 + 1))
    assert len(watched.remarks) == 1
