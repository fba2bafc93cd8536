"""A machine that is suspended with parts in flight: nothing of before passes, at the gate and at a PLC."""

import time
from contextlib import closing

import pytest
from support.line import free_endpoint
from support.output_wire import Wire, decision, running, until
from support.scripted_station import peer
from support.simulated_station import MS, ModelledStation

from edge.gate.belt import SteadyBelt
from edge.gate.client import Controller, Endpoint
from edge.gate.decision import Decision, Why
from edge.gate.gate import Gate, Rules
from edge.gate.outputs.settings import OutputSettings
from edge.gate.suspension import SuspendWatch
from edge.plc.bridge import Bridge, StationAt
from edge.plc.codes import Code
from edge.plc.handshake import Handshake, HandshakeRules

START, SLEPT_NS = 5_000_000 * MS, 10_000 * MS


class Clocks:
    """The monotonic clock, the boot clock, and how long a thread is interrupted between two readings."""

    def __init__(self) -> None:
        self.now, self.slept, self.interrupted = START, 3 * SLEPT_NS, 0

    def monotonic_ns(self) -> int:
        self.now += 100 + self.interrupted
        return self.now

    def boot_ns(self) -> int:
        self.now += 100 + self.interrupted
        return self.now + self.slept


def test_a_suspension_is_reported_once_and_an_interrupted_thread_is_none() -> None:
    clocks = Clocks()
    watch = SuspendWatch(clocks.monotonic_ns, clocks.boot_ns)
    assert not watch.was_suspended()
    clocks.interrupted = 500 * MS
    assert [watch.was_suspended() for _ in range(3)] == [False] * 3
    clocks.interrupted = 0
    assert not watch.was_suspended()
    clocks.slept += MS
    assert [watch.was_suspended() for _ in range(2)] == [True, False]
    clocks.slept += MS
    assert watch.was_suspended()


def test_the_clocks_of_this_machine_report_no_suspension_while_it_runs() -> None:
    watch = SuspendWatch()
    ends = time.monotonic() + 0.2
    while time.monotonic() < ends:
        assert not watch.was_suspended()


class SuspendedLine:
    """A gate with a good in flight whose machine is suspended; `is_far`: the station runs on another machine."""

    def __init__(self, is_far: bool) -> None:
        self.decisions: list[Decision] = []
        self.gate = Gate(SteadyBelt(1000, 50), self.decisions.append, lambda *_: None)
        self.station, self.now, self.is_far = ModelledStation(), START, is_far
        for _ in range(5):
            self.go(100)
        self.before = self.station.verdict(self.now)
        self.gate.hear(self.before, self.now)
        self.go(300)

    def beat(self) -> None:
        self.gate.hear(self.station.heartbeat(self.now, last_seq=0), self.now)
        self.gate.pong(self.station.epoch, self.station.clock(self.now), self.now - MS, self.now)
        if self.gate.wants_snapshot:
            self.gate.snapshot(self.station.heartbeat(self.now, last_seq=0))

    def go(self, ms: int) -> None:
        for _ in range(ms // 10):
            self.now += 10 * MS
            if self.now % (100 * MS) == 0:
                self.beat()
            self.gate.step(self.now)

    def sleep(self) -> None:
        """The local clock stands still; that of a station on another machine does not. One verdict is on its way."""
        self.late = self.station.verdict(self.now)
        self.station.offset_ns += SLEPT_NS if self.is_far else 0


@pytest.mark.parametrize("is_far", [False, True])
def test_a_good_of_before_a_suspension_passes_nothing_after_it(is_far: bool) -> None:
    line = SuspendedLine(is_far)
    line.sleep()
    line.gate.suspended(line.now)
    line.gate.hear(line.late, line.now)  # published before, read after
    line.go(2000)
    assert [decision.passes for decision in line.decisions] == [False, False]
    assert [decision.why for decision in line.decisions] == [Why.GATE_LATE, Why.NO_CLOCK]
    line.gate.hear(line.station.verdict(line.now), line.now)
    line.go(1200)
    assert [decision.passes for decision in line.decisions] == [False, False, True]


@pytest.mark.parametrize("is_far", [False, True])
def test_a_verdict_of_before_passes_nothing_after_the_first_answer_either(is_far: bool) -> None:
    line = SuspendedLine(is_far)
    line.sleep()
    line.gate.suspended(line.now)
    line.now += 10 * MS
    line.beat()
    line.gate.hear(line.late, line.now)
    line.go(1200)
    assert not any(decision.passes for decision in line.decisions)


def test_a_station_elsewhere_shows_that_the_local_clock_stood_still() -> None:
    """As when a virtual machine is paused: its own clocks do not show that."""
    line = SuspendedLine(is_far=True)
    line.sleep()
    line.go(2000)
    assert [(decision.passes, decision.why) for decision in line.decisions] == [(False, Why.NO_CLOCK)]


def test_a_shown_pass_bit_falls_after_a_suspension() -> None:
    for is_known in (True, False):
        station, now = ModelledStation(), START
        shake = Handshake(HandshakeRules(), lambda _: None, lambda _: True, lambda *_: None)
        shake.hear(station.heartbeat(now), now)
        shake.pong(station.epoch, station.clock(now), now, now)
        shake.snapshot(station.heartbeat(now))
        shake.hear(station.verdict(now), now)
        assert shake.readable(now).passes
        station.offset_ns += SLEPT_NS
        if is_known:
            shake.suspended(now)
        else:
            shake.pong(station.epoch, station.clock(now), now, now + MS)
        image = shake.readable(now + MS)
        assert (image.passes, image.fails, image.code) == (False, True, Code.NO_CLOCK)


@pytest.fixture
def suspended(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The nanoseconds, appended by a test, that this machine shall have been suspended."""
    slept = [0]
    monkeypatch.setattr("time.clock_gettime_ns", lambda _: time.monotonic_ns() + sum(slept))
    return slept


def test_the_gate_looks_for_suspensions(suspended: list[int]) -> None:
    endpoint, decisions = Endpoint(free_endpoint(), free_endpoint()), list[Decision]()
    controller = Controller(
        [endpoint], "line1", "gate1", SteadyBelt(60_000, 50), decisions.append, Rules(), allow_insecure=True
    )
    with closing(controller), peer(endpoint.verdicts, endpoint.control) as station:
        ends = time.monotonic() + 60
        while controller.gate.wait_ns(time.monotonic_ns()) is None and time.monotonic() < ends:
            station.good()
            controller.turn()
        suspended.append(SLEPT_NS)
        controller.turn()
    assert Why.GATE_LATE in {decision.why for decision in decisions}


def test_the_loop_of_edge_plc_looks_for_suspensions(suspended: list[int]) -> None:
    endpoint = Endpoint(free_endpoint(), free_endpoint())
    rules = HandshakeRules(hold_ms=60_000)
    bridge = Bridge([StationAt("line1", endpoint)], "plc1", rules, allow_insecure=True)
    with closing(bridge), peer(endpoint.verdicts, endpoint.control) as station:
        ends = time.monotonic() + 60
        while not bridge.board.image(0).valid and time.monotonic() < ends:
            if bridge.board.image(0).ready:
                station.good()
            bridge.turn()
        assert bridge.board.image(0).passes
        suspended.append(SLEPT_NS)
        bridge.turn()
        image = bridge.board.image(0)
        assert (image.passes, image.code) == (False, Code.NO_CLOCK)


def test_an_output_is_switched_off_for_a_part_of_before_a_suspension(suspended: list[int]) -> None:
    settings = OutputSettings(pulse_ms=60_000, alive_ms=50, timeout_ms=10_000)
    with running(wire := Wire(), settings) as driver:
        driver.decide(decision(True, time.monotonic_ns(), "A"))
        until(lambda: (driver.check(), wire.now["pass"])[1])
        suspended.append(SLEPT_NS)
        told = [driver.check()]
        until(lambda: not wire.now["pass"])
        told += [driver.check() for _ in range(3)]
    assert "the machine was suspended; whether these passed is not known: A" in told
    assert wire.pulses("pass") == 1
