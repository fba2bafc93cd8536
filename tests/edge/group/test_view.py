"""A station as its group hears it: which of its verdicts count, and what the station is told of the others."""

from typing import Any

import pytest
from support.simulated_station import MS, ModelledStation

from edge.channel.control_messages import Fate, Trigger
from edge.group.joining import LATEST_NS, JoinedPart, Joining
from edge.group.view import View
from edge.verdict import Outcome, Reason, State


class Link:
    """What the view says to its station."""

    def __init__(self) -> None:
        self.acks: list[tuple[int, Fate]] = []
        self.hears = True

    def trigger(self, trigger: Trigger) -> bool:
        return self.hears

    def acknowledge(self, epoch: str, seq: int, fate: Fate) -> None:
        self.acks.append((seq, fate))


class Rig:
    """A group of one view, joined; each step of `wait` is 10 ms."""

    def __init__(self) -> None:
        self.now = 10_000 * MS
        self.joining = Joining(["top"], 1000.0)
        self.notes: list[str] = []
        self.view = View("top", self.joining, self.notes.append)
        self.link: Any = Link()
        self.view.link = self.link
        self.station = ModelledStation(name="top")
        self.join()

    def join(self) -> None:
        self.beat()
        self.pong()
        self.view.snapshot(self.station.heartbeat(self.now))

    def beat(self, **changes: Any) -> None:
        self.view.hear(self.station.heartbeat(self.now, **changes), self.now)

    def pong(self, shift_ns: int = 0) -> None:
        self.view.pong(self.station.epoch, self.station.clock(self.now) + shift_ns, self.now, self.now)

    def wait(self, ms: int, beats: bool = True) -> None:
        for _ in range(ms // 10):
            self.now += 10 * MS
            if beats and self.now % (100 * MS) == 0:
                self.beat()

    def part(self, name: str = "7") -> JoinedPart:
        part = self.joining.begin(name, self.now)
        self.view.trigger(part, Trigger(part=name))
        return part

    def says(self, name: str = "7", says: str = "good", **changes: Any) -> None:
        self.view.hear(self.station.verdict(self.now, 0, says, part=name, **changes), self.now)

    def ends(self) -> tuple[Outcome, Reason, str | None]:
        (part,) = self.joining.decided(self.now, is_over=True)
        lost = self.view.lost(self.now)
        found = self.joining.finding(part, {} if lost is None else {"top": lost})
        return found.outcome, found.reason, found.detail


def test_a_good_in_time_counts() -> None:
    rig = Rig()
    rig.part()
    rig.says()
    assert rig.ends() == (Outcome.GOOD, Reason.CLEAR, None)
    assert rig.link.acks == []


@pytest.mark.parametrize(
    ("case", "detail"),
    [
        ("history", "its verdict was given before the group had joined this run of its station"),
        ("no clock", "the time at its station is not known"),
        ("lease", "its station's heartbeats have stopped"),
        ("old", "its verdict is too old"),
        ("restart", "its station was started again"),
        ("restart after", "its station was started again"),
        ("clock after", "a clock stood still"),
        ("suspended after", "this machine was suspended"),
        ("stopped after", "its station has stopped"),
        ("gap", "a verdict of its station was lost"),
        ("gap by heartbeat", "a verdict of its station was lost"),
        ("twin", "two stations seem to have this name: epoch a1 had ended and speaks again"),
        ("unheard", "its station did not hear the trigger"),
        ("refused", "its station refused the trigger: slower"),
        ("lease after", "its station's heartbeats have stopped"),
    ],
)
def test_what_keeps_a_good_from_counting(case: str, detail: str) -> None:
    rig = Rig()
    if case == "history":
        rig.station = ModelledStation("b2", boot=2, name="top")
        rig.beat()
        rig.pong()
    if case == "no clock":
        rig.view.suspended()
    if case == "twin":
        rig.station = ModelledStation("b2", boot=2, name="top")
        rig.beat()
        rig.wait(400)
        rig.join()
    rig.link.hears = case != "unheard"
    part = rig.part()
    if case == "refused":
        rig.view.refuse("select_product", "another request")
        rig.view.refuse("trigger", "slower")
    if case == "restart":
        rig.station = ModelledStation("b2", boot=2, name="top")
        rig.beat()
    if case == "lease":
        rig.wait(400, beats=False)
    if case == "gap":
        rig.station.seq += 2
    if case == "old":
        rig.now += LATEST_NS + 2_000 * MS
        rig.beat()
        rig.pong()
        stale = rig.station.verdict(rig.now, LATEST_NS / MS + 1_000, "black", part="7")
        rig.view.hear(stale, rig.now)
    elif case not in ("unheard", "refused", "restart"):
        rig.says()
    if case == "no clock":
        rig.pong()
        rig.beat()
    if case == "lease":
        rig.beat()  # the heartbeats are back, and the verdict came without them
    if case == "restart after":
        rig.station = ModelledStation("b2", boot=2, name="top")
        rig.join()
        assert rig.notes == ["top: run b2 of its station begins"]
    if case == "clock after":
        rig.pong(10**12)
    if case == "suspended after":
        rig.view.suspended()
        rig.pong()
    if case == "stopped after":
        rig.view.hear(rig.station.state(rig.now, State.STOPPED), rig.now)
        assert "7" not in {name for name in ("7",) if rig.joining.refusal(name, rig.now) is None}
    if case == "gap by heartbeat":
        rig.beat(last_seq=rig.station.seq + 1)
    if case == "twin":
        rig.station = ModelledStation("a1", boot=1, name="top")
        rig.beat()
    if case == "lease after":
        rig.wait(400, beats=False)
    outcome, reason, said = rig.ends()
    assert (outcome, reason) == (Outcome.UNKNOWN, Reason.LATE)
    assert said == f"top: {detail}"
    assert part.fault is None


def test_a_reject_counts_also_if_its_station_is_lost_after_it() -> None:
    rig = Rig()
    rig.part()
    rig.says(says="reject")
    rig.view.hear(rig.station.state(rig.now, State.STOPPED), rig.now)
    assert rig.ends()[0] is Outcome.REJECT


def test_the_station_is_told_what_became_of_verdicts_that_are_of_no_part() -> None:
    rig = Rig()
    rig.says("nobody")
    rig.part()
    rig.now += 2_000 * MS
    rig.beat()
    assert len(list(rig.joining.decided(rig.now))) == 1
    rig.says("7")
    rig.station.seq += 2
    rig.says("another")
    assert rig.link.acks == [
        (1, Fate.REJECTED), (2, Fate.LATE_REJECT), (3, Fate.MISSED), (4, Fate.MISSED), (5, Fate.REJECTED)
    ]  # fmt: skip


def test_the_number_of_a_part_at_its_station_is_that_of_the_answer_to_its_trigger() -> None:
    rig = Rig()
    first, second = rig.part("1"), rig.part("2")
    rig.view.number("2", rig.station.epoch, 9)
    rig.view.number("1", "another run", 3)
    assert (first.numbers, second.numbers) == ({}, {"top": (rig.station.epoch, 9)})
    rig.view.refuse("trigger", "slower")
    assert first.lost == {"top": "its station refused the trigger: slower"}
    assert second.lost == {}


def test_a_trigger_that_was_never_answered_is_not_that_of_a_later_refusal_or_number() -> None:
    rig = Rig()
    rig.part("1")
    rig.now += 2_000 * MS
    rig.beat()
    assert len(list(rig.joining.decided(rig.now))) == 1
    rig.now += LATEST_NS
    rig.beat()
    again, other = rig.part("1"), rig.part("2")
    rig.view.number("1", rig.station.epoch, 5)
    assert again.numbers == {"top": (rig.station.epoch, 5)}
    rig.view.refuse("trigger", "slower")
    assert other.lost == {"top": "its station refused the trigger: slower"}


def test_a_refusal_is_not_that_of_a_part_that_is_decided() -> None:
    rig = Rig()
    rig.part("1")
    rig.wait(500)
    other = rig.part("2")
    rig.wait(600)
    assert [part.name for part in rig.joining.decided(rig.now)] == ["1"]
    rig.view.refuse("trigger", "slower")
    assert other.lost == {"top": "its station refused the trigger: slower"}


def test_a_verdict_that_came_before_the_number_of_the_part_is_compared_with_it() -> None:
    rig = Rig()
    part = rig.part()
    rig.says()
    rig.view.number("7", rig.station.epoch, 9)
    assert part.lost == {"top": "its verdict was of another part"}


def test_a_station_that_does_not_judge_says_why() -> None:
    rig = Rig()
    assert rig.view.trouble(rig.now) is None
    rig.beat(state=State.HELD, ready=False, cause="camera: unplugged")
    assert rig.view.trouble(rig.now) == "held: camera: unplugged"
    assert rig.view.lost(rig.now) is None
    fresh = View("side", rig.joining, rig.notes.append)
    assert fresh.trouble(rig.now) == "nothing was heard from its station"
