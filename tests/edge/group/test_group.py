"""A group on real sockets: edge-group in its own process with stations, a gate and a PLC, and its control socket."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.line import DEMO_BUNDLE, children, command, ran
from support.plc import plc_at, running_plc, until
from support.scripted_station import Peer, peer
from support.simulated_station import ModelledStation

from edge.channel.control_messages import Acknowledge, LoadBundle, SelectProduct, Suspend, Trigger
from edge.channel.endpoints import CONTROL, free_endpoint, neighbour_endpoint
from edge.channel.subscriber import Subscriber
from edge.gate.belt import SteadyBelt
from edge.gate.client import Controller, Endpoint
from edge.gate.decision import Decision, Why
from edge.gate.gate import Rules
from edge.group.group import Group, GroupSettings
from edge.plc.registers import WRITTEN_AT, Status
from edge.records.audit import audit
from edge.station.process.runner import EdgeRun
from edge.verdict import Outcome, Reason, State, StateChange, Verdict

VIEWS = ("top", "side")


@dataclass
class Rig:
    """A group of two scripted stations in this process, and a gate that announces its parts."""

    group: Group
    peers: dict[str, Peer]
    gate: Controller
    decisions: list[Decision] = field(default_factory=list)

    def turn(self) -> None:
        self.group.turn()
        self.gate.turn()

    def until(self, condition: Callable[[], object]) -> None:
        end = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < end, (self.group.state, self.group.cause, self.decisions)
            self.turn()

    def judge(self, part: str) -> Decision:
        self.gate.trigger(part)
        self.until(lambda: any(one.part == part for one in self.decisions))
        return next(one for one in self.decisions if one.part == part)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
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
        settings = GroupSettings("press", views, bind, 500.0, records=tmp_path / "records", insecure=True)
        group = Group(settings)
        at_end.callback(group.close, "the test is over")
        decisions: list[Decision] = []
        gate = Controller(
            [Endpoint.of(bind)], "press", "gate1", SteadyBelt(1500, 50), decisions.append, Rules(announced=True),
            allow_insecure=True,
        )  # fmt: skip
        at_end.callback(gate.close)
        rig = Rig(group, peers, gate, decisions)
        rig.until(lambda: group.state is State.READY and gate.gate.epoch and not gate.gate.wants_snapshot)
        joined = time.monotonic()
        rig.until(lambda: time.monotonic() - joined > 0.4)  # the gate knows the group's clock
        yield rig


def test_a_part_that_all_views_call_good_passes_and_its_fate_reaches_every_station(rig: Rig) -> None:
    assert rig.judge("7").why is Why.CLEAR
    rig.until(lambda: all(any(fate == "passed" for fate in one.acks().values()) for one in rig.peers.values()))
    rig.until(lambda: rig.group._server.fates["passed"] == 1)
    assert all(any(isinstance(r, Trigger) and r.part == "7" for r in one.requests) for one in rig.peers.values())


@pytest.mark.parametrize(
    ("case", "detail"),
    [
        ("reject", "side"),
        ("black", "side: black"),
        ("silent", "side: no verdict came in time"),
        ("dead", "side: its station"),
        ("frozen", "side: its station's heartbeats have stopped"),
    ],
)
def test_a_part_that_one_view_does_not_call_good_in_time_is_rejected_at_the_gate(
    rig: Rig, case: str, detail: str
) -> None:
    assert rig.judge("1").why is Why.CLEAR
    side = rig.peers["side"]
    if case == "dead":
        side.die()
    elif case == "frozen":
        side.is_held = True
    else:
        side.says = None if case == "silent" else case
    decision = rig.judge("2")
    assert not decision.passes
    assert decision.why is Why.DEFECT if case == "reject" else str(decision.detail).startswith(detail)
    rig.until(lambda: rig.peers["top"].acks().get(2) in ("rejected", "late_reject"))
    if case == "frozen":
        side.is_held = False
        rig.until(lambda: rig.group.state is State.EXECUTING)
        assert rig.judge("3").why is Why.CLEAR
        return
    if case != "dead":
        side.says = "good"
        assert rig.judge("3").why is Why.CLEAR
        return
    rig.until(lambda: rig.group.state is State.HELD)
    assert str(rig.group.cause).startswith("view side: its station's heartbeats have stopped")


def test_the_kind_of_a_reject_is_that_of_the_view_that_decides(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    side, plain = rig.peers["side"], rig.peers["side"].station.verdict
    kind = {"kind": "oil stain", "kind_number": 2, "kind_probability": 0.75}
    monkeypatch.setattr(side.station, "verdict", lambda t, **changes: plain(t, **(changes | kind)))
    side.says = "reject"
    subscriber = Subscriber(rig.group.channel.publisher.endpoint, "press")
    rig.until(lambda: rig.group.channel.publisher.subscribers() >= 2)
    rig.judge("1")
    side.says = None
    rig.judge("2")
    rig.group.close("the end")
    heard = [one.message for one in subscriber.messages(1.0)]
    subscriber.close()
    said = [(v.verdict, v.kind, v.kind_number, v.kind_probability) for v in heard if isinstance(v, Verdict)]
    assert said == [("reject", "oil stain", 2, 0.75), ("unknown", None, None, None)]


def test_a_view_that_starts_again_is_joined_and_a_second_one_of_its_name_ends_its_goods(rig: Rig) -> None:
    side = rig.peers["side"]
    side.station = ModelledStation("b2", boot=2, name="side", offset_ns=5 * 10**12)
    rig.until(lambda: rig.group.views[1].epoch == "b2")
    rig.until(lambda: rig.group.state in (State.READY, State.EXECUTING))
    joined = time.monotonic()
    rig.until(lambda: time.monotonic() - joined > 0.5)  # the former run was silent for a lease
    assert rig.judge("1").why is Why.CLEAR
    side.station = ModelledStation("a1", boot=1, name="side")
    rig.until(lambda: rig.group.state is State.HELD)
    assert "two stations seem to have this name" in str(rig.group.cause)
    assert not rig.judge("2").passes


def test_what_belongs_to_the_stations_is_refused_and_an_operator_suspends_the_group(rig: Rig) -> None:
    control = rig.gate._link._controls[0]
    refused: list[tuple[str, str]] = []
    control._refused = lambda request, why: refused.append((request, why))
    control.say(SelectProduct(product="left", by="me"))
    control.say(LoadBundle(bundle="x.edge", by="me"))
    rig.until(lambda: len(refused) == 2)
    assert {why for _, why in refused} == {"this is a group of stations; ask the station that is meant"}
    control.say(Suspend(by="me", reason="cleaning"))
    rig.until(lambda: rig.group.state is State.SUSPENDED)
    decision = rig.judge("9")
    assert (decision.passes, decision.detail) == (False, "operator: me: cleaning")


def test_a_suspension_holds_also_while_a_station_cannot_judge(rig: Rig) -> None:
    rig.group.suspension.begin("me", "cleaning")
    side = rig.peers["side"]
    side.is_held = True
    rig.until(lambda: rig.group.state is State.HELD)
    assert "suspended: operator: me: cleaning" in rig.group.heartbeat().alarms
    rig.gate.trigger("5")
    side.is_held = False
    decision = rig.judge("6")
    assert not decision.passes
    rig.until(lambda: len(rig.decisions) == 2)
    assert not any(one.passes for one in rig.decisions)


def test_the_trigger_goes_to_every_station_as_it_came_and_the_sender_hears_of_the_exposure(rig: Rig) -> None:
    exposed: list[tuple[str, int]] = []
    control = rig.gate._link._controls[0]
    control._exposed = lambda part, epoch, seq: exposed.append((part, seq))
    for one in rig.peers.values():
        one.tells_exposure = True
    control.say(Trigger(part="4", exposed=True, fields={"lot": "A"}, product="lid", product_number=3))
    rig.until(lambda: exposed)
    assert exposed == [("4", 1)]
    for one in rig.peers.values():
        (trigger,) = [request for request in one.requests if isinstance(request, Trigger)]
        assert (trigger.fields, trigger.product, trigger.product_number) == ({"lot": "A"}, "lid", 3)


def test_the_end_answers_what_is_in_flight(rig: Rig) -> None:
    rig.peers["side"].says = None
    subscriber = Subscriber(rig.group.channel.publisher.endpoint, "press")
    rig.until(lambda: rig.group.channel.publisher.subscribers() >= 2)
    rig.gate.trigger("8")
    rig.until(lambda: rig.group.books.accepted == 1)
    rig.group.close("the end")
    heard = [one.message for one in subscriber.messages(1.0)]
    subscriber.close()
    (verdict,) = [one for one in heard if isinstance(one, Verdict)]
    assert (verdict.verdict, verdict.reason, verdict.detail) == (
        Outcome.UNKNOWN, Reason.STOPPED, "the group was stopped",
    )  # fmt: skip
    assert isinstance(heard[-1], StateChange)
    assert heard[-1].state is State.STOPPED


def test_an_acknowledgement_of_another_run_or_of_a_part_that_is_not_there_is_passed_on_to_nobody(rig: Rig) -> None:
    assert rig.judge("1").passes
    for epoch, seq in ((rig.group.epoch, 99), ("0" * 16, 1)):
        rig.gate._link._controls[0].say(Acknowledge(epoch=epoch, seq=seq, fate="rejected"))
    rig.judge("2")
    rig.until(lambda: len(rig.peers["top"].acks()) == 2)
    assert rig.peers["top"].acks() == {1: "passed", 2: "passed"}


# --------------------------------------------------------------------------------------------------- real processes


@contextmanager
def running_group(folder: Path, bind: str, views: dict[str, str], *more: object) -> Iterator["subprocess.Popen[str]"]:
    given = [word for name, where in views.items() for word in ("--view", f"{name}={where}")]
    process = subprocess.Popen(
        command("group", "--station", "press", "--bind", bind, "--insecure", *given, *more),
        stdout=subprocess.PIPE, stderr=(folder / "group.log").open("w"), text=True, start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_two_stations_a_plc_and_one_of_them_killed(tmp_path: Path) -> None:
    bind, endpoints = free_endpoint(), {view: free_endpoint() for view in VIEWS}
    with ExitStack() as at_end:
        stations = {}
        for view, where in endpoints.items():
            stations[view] = EdgeRun(
                source="demo", size="320x180", trigger="external", station=view, bind=where, budget_ms=10_000,
                backend="openvino", threads=1, bundle=DEMO_BUNDLE, records=False, require="press",
                log=tmp_path / f"{view}.log",
            )  # fmt: skip
            at_end.callback(stations[view].process.wait)
            at_end.callback(stations[view].process.kill)
        options = ("--budget-ms", 20_000, "--records", tmp_path / "records", "--json")
        process = at_end.enter_context(running_group(tmp_path, bind, endpoints, *options))
        subscriber = Subscriber(bind, "press")
        at_end.callback(subscriber.close)
        told = ("--connect", bind, "--station", "press", "--numbers", "plc", "--hold-ms", 20_000)
        bridge = at_end.enter_context(running_plc(tmp_path, *told, "--insecure", "--allow-simulated"))
        plc = at_end.enter_context(plc_at(bridge.port))

        def judge(number: int) -> bool:
            plc.trigger(number)
            until(lambda: Status.TRIGGER_ACKNOWLEDGED in plc.cycle())
            plc.write(WRITTEN_AT, 0)
            until(lambda: plc.cycle() is not None and number in {n for _, n in plc.decided})
            return next(passes for (_, n), passes in plc.decided.items() if n == number)

        until(lambda: Status.TRIGGER_READY in plc.cycle())
        passed = [number for number in range(1, 9) if judge(number)]
        assert passed, "the demonstration has good parts"
        os.kill(stations["side"].process.pid, signal.SIGKILL)
        for pid in children(stations["side"].process.pid).values():
            os.kill(pid, signal.SIGKILL)
        until(lambda: Status.READY not in plc.cycle())
        verdicts = []
        for received in subscriber.messages(10.0):
            verdicts += [received.message] if isinstance(received.message, Verdict) else []
            if len(verdicts) == 8:
                break
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    report = json.loads(out)
    assert report["parts"] == 8
    good = [int(verdict.part) for verdict in verdicts if verdict.verdict is Outcome.GOOD]
    assert set(passed) <= set(good)
    assert all(verdict.simulated and verdict.view in VIEWS for verdict in verdicts if verdict.score is not None)
    found = audit(tmp_path / "records")
    assert [problem.text for problem in found.problems] == []


def test_a_group_of_one_or_with_a_doubled_name_is_one_line() -> None:
    def said(*options: object) -> str:
        done = ran("group", "--no-records", *options)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        return str(done.stderr)

    top, side = "top=tcp://127.0.0.1:5570", "side=tcp://127.0.0.1:5573"
    assert "a group has two views or more" in said("--view", top, "--insecure")
    assert "two views have the name top" in said("--view", top, "--view", top, "--insecure")
    assert "name of its view top" in said("--view", top, "--view", side, "--station", "top", "--insecure")
    assert "--view top: without keys" in said("--view", top, "--view", side)
    assert "give STATION=ENDPOINT" in said("--view", "top", "--view", side)
    assert "give STATION=ENDPOINT" in said("--view", f"{top},keys=a,keys=b", "--view", side)
    assert "'--budget-ms'" in said("--view", top, "--view", side, "--insecure", "--budget-ms", "nan")
    assert "give STATION=ENDPOINT" in said("--view", f"{top},zzz=1", "--view", side)
    assert "'5570' has no port" in said("--view", "top=5570", "--view", side, "--insecure")
