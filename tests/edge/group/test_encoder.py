"""Parts joined by where they are on the belt: the encoder's count of each view, its offset and the tolerance."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.line import free_endpoint, ran
from support.scripted_station import Peer, peer
from support.simulated_station import MS, ModelledStation

from edge.channel.control_messages import Trigger
from edge.channel.endpoints import CONTROL, neighbour_endpoint
from edge.channel.subscriber import Subscriber
from edge.gate.station_link import Endpoint
from edge.group.encoder import COUNTS, EncoderPlaces
from edge.group.group import Group, GroupSettings
from edge.verdict import Outcome, Reason, State, Verdict

OFFSETS = {"top": 0, "side": 1_000, "back": -300}
PITCH, TOLERANCE = 400, 60


def verdict(count: object, **changes: Any) -> Verdict:
    return ModelledStation().verdict(10_000 * MS, part="A", fields={"encoder": str(count)}, **changes)


def always(name: str) -> bool:
    return True


def places() -> EncoderPlaces:
    return EncoderPlaces("encoder", OFFSETS, TOLERANCE)


@given(
    start=st.integers(0, COUNTS - 1),
    order=st.permutations([(part, view) for part in range(6) for view in OFFSETS]),
    off=st.lists(st.integers(-TOLERANCE // 2, TOLERANCE // 2), min_size=18, max_size=18),
)
def test_each_part_has_one_name_in_all_views_in_whatever_order_they_are_heard(
    start: int, order: list[tuple[int, str]], off: list[int]
) -> None:
    joined, names = places(), dict[int, set[str]]()
    for (part, view), deviation in zip(order, off, strict=True):
        count = (start + part * PITCH + OFFSETS[view] + deviation) % COUNTS
        found = joined.parts_of(view, verdict(count), always)
        assert len(found) == 1
        names.setdefault(part, set()).update(found)
    assert all(len(one) == 1 for one in names.values())
    assert len(set.union(*names.values())) == len(names)


def test_what_is_near_two_parts_is_of_neither() -> None:
    joined = places()
    assert joined.parts_of("top", verdict(1_000), always) == ["1000"]
    assert joined.parts_of("top", verdict(1_100), always) == ["1000", "1100"], "parts so near can be told apart no more"
    assert joined.parts_of("side", verdict(2_050), always) == ["1000", "1100"]
    assert joined.parts_of("side", verdict(2_000 - TOLERANCE), always) == ["1000"]
    assert joined.parts_of("side", verdict(2_000 - 2 * TOLERANCE - 1), always) == [str(1_000 - 2 * TOLERANCE - 1)]


@pytest.mark.parametrize("count", ["", "-5", "1.5", "x", COUNTS, "1٣"])
def test_a_verdict_without_a_count_is_of_no_part(count: object) -> None:
    assert places().parts_of("top", verdict(count), always) == []
    assert places().parts_of("top", ModelledStation().verdict(10_000 * MS), always) == []


def test_the_place_of_a_part_that_is_known_no_more_is_free() -> None:
    joined = places()
    assert joined.parts_of("top", verdict(5_000), always) == ["5000"]
    assert joined.parts_of("top", verdict(4_942), lambda name: False) == ["4942"]
    assert joined.parts_of("side", verdict(6_057), always) == ["4942", "5057"]


VIEWS = ("top", "side")


class Rig:
    """A group of two scripted stations, joined by the encoder, and who listens to it."""

    def __init__(self, group: Group, peers: dict[str, Peer], listener: Subscriber) -> None:
        self.group, self.peers, self._listener = group, peers, listener
        self.heard: list[Verdict] = []

    def says(self, view: str, count: int | None, what: str = "good") -> None:
        fields = None if count is None else {"encoder": str(count)}
        self.peers[view].good(says=what, part=f"{view} {count}", fields=fields)

    def turn_for(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.group.turn()

    def turn_until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < end, self.group.report()
            self.group.turn()

    def verdicts(self, count: int) -> list[Verdict]:
        end = time.monotonic() + 60
        while len(self.heard) < count:
            assert time.monotonic() < end, (self.heard, self.group.report())
            self.group.turn()
            received = self._listener.messages(0.0)
            self.heard += [one.message for one in received if isinstance(one.message, Verdict)]
        return self.heard


@pytest.fixture
def rig() -> Iterator[Rig]:
    with ExitStack() as at_end:
        endpoints = {view: free_endpoint() for view in VIEWS}
        peers = {
            view: at_end.enter_context(
                peer(where, neighbour_endpoint(where, CONTROL), ModelledStation(name=view, offset_ns=10**12 * at))
            )
            for at, (view, where) in enumerate(endpoints.items())
        }
        bind = free_endpoint()
        views = tuple((view, Endpoint.of(where)) for view, where in endpoints.items())
        joined = EncoderPlaces("encoder", {"top": 0, "side": 1_000}, TOLERANCE)
        group = Group(GroupSettings("press", views, bind, 1_500.0, insecure=True, places=joined))
        at_end.callback(group.close, "the test is over")
        listener = Subscriber(bind, "press")
        at_end.callback(listener.close)
        while group.state is not State.READY or not group.channel.publisher.subscribers():
            group.turn()
        yield Rig(group, peers, listener)


def test_views_that_see_a_part_one_after_the_other_are_joined(rig: Rig) -> None:
    rig.says("top", 5_000)
    rig.says("top", 5_400)
    rig.says("side", 6_020)
    rig.says("side", 6_390, "reject")
    first, second = rig.verdicts(2)
    assert (first.verdict, second.verdict) == (Outcome.GOOD, Outcome.REJECT)
    assert first.part in ("5000", "5020")  # the place as the view that is heard first has it
    assert second.part in ("5400", "5390")
    assert second.view == "side"


def test_a_part_that_a_view_missed_takes_no_verdict_of_its_neighbour(rig: Rig) -> None:
    rig.says("top", 5_000)
    rig.turn_for(1.0)  # it is decided before the next one is late
    rig.says("top", 5_400)
    rig.says("side", 6_400)
    both = {one.part: one for one in rig.verdicts(2)}
    assert (both["5000"].verdict, both["5000"].detail) == (Outcome.UNKNOWN, "side: no verdict came in time")
    assert both["5400"].verdict is Outcome.GOOD


def test_parts_that_lie_too_close_never_pass_and_what_has_no_count_is_acknowledged_as_a_reject(rig: Rig) -> None:
    rig.says("top", 5_000)
    rig.turn_until(lambda: len(rig.group.joining) == 1)
    rig.says("top", 5_100)
    rig.turn_until(lambda: rig.group.report()["foreign_views"] == 1)
    rig.says("side", 6_035)
    rig.says("side", None)
    (only,) = rig.verdicts(1)
    assert (only.part, only.reason) == ("5000", Reason.REPEATED)
    assert only.detail == "top: its part top 5100 may be this one or another"
    rig.turn_until(lambda: rig.group.report()["foreign_views"] == 2)
    assert rig.group.report()["good"] == 0


def test_a_group_that_is_joined_by_the_encoder_takes_no_triggers(rig: Rig) -> None:
    assert (
        rig.group._trigger(Trigger(part="7"))
        == "the parts of this group are joined by the encoder; trigger its stations"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--tolerance", 5), "give it, too"),
        (("--encoder", "count"), "--encoder needs --tolerance COUNTS"),
        (
            ("--encoder", "count", "--tolerance", 5, "--view", "back=tcp://127.0.0.1:1,offset=1.5"),
            "a whole number of counts",
        ),
    ],
)
def test_options_that_do_not_fit_together_are_refused(
    options: tuple[object, ...], message: str, tmp_path: Path
) -> None:
    views = ("--view", "top=tcp://127.0.0.1:1", "--view", "side=tcp://127.0.0.1:2", "--insecure", "--no-records")
    done = ran("group", *views, *options)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert message in line
