"""Several stations of one configuration in one process with one loaded model: each behaves as if it were alone."""

import json
import os
import random
import signal
import socket
import subprocess
import time
import urllib.request
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.line import DEMO_BUNDLE, Line, command, free_endpoint, ran, station_config

from edge.channel.endpoints import further
from edge.channel.subscriber import Subscriber
from edge.errors import ConfigError
from edge.station.cell import Cell
from edge.station.config.conversion import to_config
from edge.station.config.layout import check_apart, layout, layout_as_toml
from edge.station.inference.process import STUCK_MS, Model
from edge.station.inference.seat import Scoring
from edge.station.metrics import Metrics, Vitals
from edge.station.process.messages import Captured, Infer, Inferred, Loaded, Opened
from edge.station.supervisor import Station
from edge.station.systemd import Service, SharedService
from edge.verdict import Reason, State

MS = 1_000_000
SMALL = (
    'source = "replay"\nsize = "320x180"\nbackend = "onnxruntime"\nthreads = 1\nrecords = false\nbudget_ms = 20000\n'
)


def written(folder: Path, text: str) -> Path:
    file = folder / "line.toml"
    file.write_text(text)
    return file


# ------------------------------------------------------------------------------------------------- the configuration


def test_each_further_station_has_three_ports_further_on_and_its_records_apart(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        'source = "demo"\nrecords = "x/kept"\nrate = "5/s"\n'
        '[[stations]]\nstation = "a"\n[[stations]]\nstation = "b"\nrate = "7/s"\n[[stations]]\nstation = "c"\n'
        'bind = "tcp://127.0.0.1:7000"\nrecords = false\n',
    )
    stations = [effective.settings for effective in layout(file, {"budget_ms": 50.0}).stations]
    assert [s.station for s in stations] == ["a", "b", "c"]
    assert [s.bind[-4:] for s in stations] == ["5570", "5573", "7000"]
    assert [s.rate for s in stations] == [5, 7, 5]
    assert [s.records for s in stations] == [tmp_path / "x/kept" / "a", tmp_path / "x/kept" / "b", False]
    assert {s.budget_ms for s in stations} == {50}, "a flag is for all of them"


def test_a_file_without_tables_is_the_one_station_that_it_always_was(tmp_path: Path) -> None:
    file = written(tmp_path, 'source = "demo"\nstation = "x"\nrecords = "x/kept"\nbind = "tcp://127.0.0.1:7000"\n')
    found = layout(file, {})
    assert not found.has_tables
    s = found.stations[0].settings
    assert (s.station, s.records, s.bind) == ("x", tmp_path / "x/kept", "tcp://127.0.0.1:7000")


@pytest.mark.parametrize("flags", [{}, {"rate": 9.0, "bind": "tcp://127.0.0.1:9000"}])
def test_what_is_printed_of_several_stations_is_a_file_that_says_the_same(
    tmp_path: Path, flags: dict[str, Any]
) -> None:
    file = written(
        tmp_path,
        'source = "demo"\nbundle = "magnetic-tile"\nrate = "5/s"\n[[stations]]\nstation = "a"\nrate = "7/s"\n'
        '[[stations]]\nstation = "b"\nregion = "1,2,40x30"\n',
    )
    one = layout(file, flags)
    printed = tmp_path / "printed.toml"
    printed.write_text(layout_as_toml(one))
    assert [s.settings for s in layout(printed, {}).stations] == [s.settings for s in one.stations]


def test_the_name_of_a_station_takes_it_alone_with_what_only_one_can_be_told(tmp_path: Path) -> None:
    text = 'source = "demo"\n[[stations]]\nstation = "a"\n[[stations]]\nstation = "b"\n'
    flags = {"station": "b", "source": "replay", "bind": "tcp://127.0.0.1:7000"}
    (only,) = layout(written(tmp_path, text), flags).stations
    assert (only.settings.station, only.settings.source) == ("b", "replay")
    assert only.settings.bind == "tcp://127.0.0.1:7000"


TWO = '[[stations]]\nstation = "a"\n[[stations]]\nstation = "b"\n'


@pytest.mark.parametrize(
    ("text", "flags", "said"),
    [
        ("[[stations]]\nlimit = 5\n", {}, "number 1 has no name; add station = NAME"),
        ('[[stations]]\nstation = "a"\nbugdet_ms = 5\n', {}, "station a: no such key: bugdet_ms; did you mean"),
        ('[[stations]]\nstation = "a"\nbudget_ms = 0\n', {}, "station a: budget_ms = 0"),
        ('stations = "a"\n', {}, "[[stations]]"),
        (f'station = "x"\n{TWO}', {}, "say it in each of them"),
        (TWO, {"source": "demo"}, "--source cannot be meant for all 2 stations"),
        (TWO, {"station": "c"}, "has no such station; it has a, b"),
        ('[[stations]]\nstation = "a"\n[[stations]]\nstation = "a"\n', {}, "both have the name a"),
        (f'{TWO}bind = "tcp://127.0.0.1:5571"\n', {}, "both have tcp://127.0.0.1:557"),
        (f'control = "tcp://127.0.0.1:7000"\n{TWO}', {}, "both have tcp://127.0.0.1:7000"),
        (f'source = "camera0"\n{TWO}', {}, "both have the camera camera0"),
        (f'source = "genicam:1"\n{TWO}', {}, "both have the camera genicam:1"),
    ],
)  # fmt: skip
def test_stations_in_each_others_way_are_one_line_that_says_so(
    tmp_path: Path, text: str, flags: dict[str, Any], said: str
) -> None:
    above, tables = (text, "") if "source" in text else ('source = "demo"\n', text)
    file = written(tmp_path, above + tables)
    with pytest.raises(ConfigError) as caught:
        check_apart([to_config(s.settings, DEMO_BUNDLE, simulated=False) for s in layout(file, flags).stations])
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_stations_that_cannot_be_are_exit_code_2_before_anything_starts(tmp_path: Path) -> None:
    file = written(tmp_path, f'{SMALL}[[stations]]\nstation = "a"\n[[stations]]\nstation = "a"\n')
    done = ran("run", "--config", file)
    assert done.returncode == 2
    assert "both have the name a" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


# ------------------------------------------------------------------------------------------------- without children


class Stub:
    """Replaces the inference child: the test sends its messages."""

    def __init__(self) -> None:
        self.said: deque[Any] = deque()
        self.orders: deque[Infer] = deque()
        self.connection, self.is_running, self.restarts, self.lived_s = None, True, 0, 0.0
        self.was_buried = 0

    def send(self, message: object) -> None:
        if isinstance(message, Infer):
            self.orders.append(message)

    def receive(self) -> Any:
        return self.said.popleft() if self.said else None

    def kill(self) -> None:
        self.was_buried += 1

    def answer(self) -> int:
        """Answer the oldest frame; returns the frame's seat."""
        order = self.orders.popleft()
        self.said.append(Inferred(order.seq, 0.0, None, 0, 0, seat=order.seat))
        return order.seat


@pytest.fixture(params=[1, 2])
def cell(request: pytest.FixtureRequest) -> Iterator[tuple[Cell, Stub]]:
    """Three stations with one model, with one stream or two, without processes. The tests supply the frames."""
    first = free_endpoint(3)
    configs = [
        station_config(station=f"s{i}", bind=further(first, i), budget_ms=60_000, streams=request.param)
        for i in range(3)
    ]
    made, child = Cell(configs, lambda station: None), Stub()
    (model,) = made._models.values()
    model.child = child  # type: ignore[assignment]
    model.test = lambda: None  # type: ignore[method-assign]
    for station in made.stations:
        frames: Any = SimpleNamespace(
            opened=Opened("test", None, None, False, False, False, "every"), child=child,
            is_up=True, is_resuming=False, has_ended=False, exposes_when_told=False, cause=None, blind=None,
            age_ms=None, dropped=0, alarms=(), receive=lambda most=None: (), supervise=tuple, begin=lambda: None,
            hold=lambda slot: None, release=lambda slot: None, memory=str,
        )  # fmt: skip
        station.intake = station.in_flight._intake = station.acceptance._intake = frames
        station.scoring.load(Loaded("openvino", 0.0))
    yield made, child
    for station in made.stations:
        station.discard()


def show(cell: Cell, station: int) -> None:
    """Add a frame for this station's next part."""
    pending = cell.stations[station].acceptance.pending
    if not pending:
        pending.append(Captured(0, 0, "p", 90, 90, None, time.monotonic_ns(), None, None, 0))


def test_stations_that_are_always_busy_come_in_turn_however_the_model_answers(cell: tuple[Cell, Stub]) -> None:
    line, child = cell
    dice, served = random.Random(0), Counter[int]()
    for _ in range(600):
        for station in range(3):
            show(line, station)
        for _ in range(dice.randint(0, len(child.orders))):
            served[child.answer()] += 1
        line._turn()
        line._turn()  # what was answered is published, and the next part accepted
    assert served.total() > 300
    assert max(served.values()) - min(served[i] for i in range(3)) <= 3
    assert [s.books.accepted - s.books.published for s in line.stations] == [len(s.in_flight) for s in line.stations]


def test_a_short_turn_judges_and_publishes_and_leaves_the_rest_to_the_next_full_one(
    cell: tuple[Cell, Stub], monkeypatch: pytest.MonkeyPatch
) -> None:
    line, child = cell
    tended: list[str] = []
    monkeypatch.setattr(Station, "receive", lambda station: tended.append("received"))
    for station in line.stations:
        station.status.beat = lambda: tended.append("beat")  # type: ignore[method-assign]
    show(line, 1)
    line._ready = set()
    line._turn(is_short=True)
    child.answer()
    line._turn(is_short=True)
    assert line.stations[1].books.published == 0, "no descriptor of the model was readable"
    with socket.socket() as readable:
        child.connection = readable  # type: ignore[assignment]
        line._ready = {readable.fileno()}
        line._turn(is_short=True)
    assert line.stations[1].books.published == 1
    assert not tended
    line._turn()
    assert sorted(tended) == [*["beat"] * 3, *["received"] * 3]


def test_turns_are_short_only_between_full_ones_and_if_nothing_but_parts_came(cell: tuple[Cell, Stub]) -> None:
    line, _ = cell
    line._tended, line._tend_due = [7], time.monotonic() + 60
    line._ready = {5}
    assert line._may_be_short
    line._ready = {5, 7}
    assert not line._may_be_short, "a request has come"
    line._ready = None
    assert not line._may_be_short, "anything may have come"
    line._ready, line._tend_due = {5}, time.monotonic() - 1
    assert not line._may_be_short, "a heartbeat may be due"


def test_a_station_that_has_nothing_holds_the_others_up_never(cell: tuple[Cell, Stub]) -> None:
    line, child = cell
    for _ in range(50):
        show(line, 1)
        line._turn()
        assert [order.seat for order in child.orders] == [1]
        child.answer()
        line._turn()
    assert [s.books.published for s in line.stations] == [0, 50, 0]


def test_a_child_that_dies_costs_the_part_that_it_was_at_and_no_other(cell: tuple[Cell, Stub]) -> None:
    line, child = cell
    for station in range(3):
        show(line, station)
    line._turn()
    (model,) = line._models.values()
    begun = {order.seat for order in list(child.orders)[: model.streams]}
    assert len(child.orders) > len(begun), "a frame waits in the child's pipe"
    model._was_loaded = True
    model._lose("the inference process died")
    line._turn()
    for number, station in enumerate(line.stations):
        assert station.books.reasons == ({Reason.BACKEND: 1} if number in begun else {})
        assert station.status.state is State.HELD


def test_one_that_may_wait_long_holds_a_hung_model_no_longer_than_the_budget_of_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = SimpleNamespace(now_ms=1000)
    clock.monotonic_ns = lambda: clock.now_ms * MS
    for module in ("inference.process", "inference.seat"):
        monkeypatch.setattr(f"edge.station.{module}.time", clock)
    patient, hasty = (station_config(budget_ms=budget) for budget in (60_000.0, 100.0))
    model, child = Model(patient, ""), Stub()
    model.child = child  # type: ignore[assignment]
    first, second = Scoring(patient, model), Scoring(hasty, model)
    for seat in (first, second):
        seat.load(Loaded("openvino", 0.0))
    model._was_loaded = True
    first.submit(1, "slot", 9, 9, 61_000 * MS)
    clock.now_ms += 100 + STUCK_MS
    assert not list(first.supervise())
    clock.now_ms += 1
    assert [(r.seq, r.fault) for r in first.supervise()] == [(1, "the inference process hung and was killed")]
    assert not second.is_up


def test_the_service_has_started_with_the_first_station_and_lives_while_all_make_progress(tmp_path: Path) -> None:
    said: list[tuple[bool, bool, str]] = []
    service = Service({})
    service.beat = lambda *beat: said.append(beat)  # type: ignore[method-assign,assignment]
    shared = SharedService(service)
    a, b = shared.of("a"), shared.of("b")
    a.beat(True, True, "executing")
    b.beat(False, True, "preoperational why")
    a.beat(True, False, "held")
    shared.leave("a")
    b.beat(False, True, "ready")
    assert [beat[:2] for beat in said] == [(True, True), (True, True), (True, False), (False, True)]
    assert said[1][2] == "a: executing; b: preoperational why"


def test_the_stations_of_a_page_are_told_apart_by_a_label_and_each_metric_is_there_once() -> None:
    first = Metrics("0", "a", "demo:1")
    second = Metrics("0", "b", "demo:1", page=first)
    first.beat(Vitals(State.EXECUTING, is_ready=True, dropped=5))
    second.beat(Vitals(State.HELD, is_ready=False, dropped=7))
    with urllib.request.urlopen(f"http://{second.endpoint}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    assert {'edge_frames_dropped_total{station="a"} 5.0', 'edge_frames_dropped_total{station="b"} 7.0'} < set(lines)
    types = Counter(line.split()[2] for line in lines if line.startswith("# TYPE"))
    assert set(types.values()) == {1}
    first.close()
    with urllib.request.urlopen(f"http://{second.endpoint}/metrics", timeout=10) as answer:
        assert b'station="b"' in answer.read()
    second.close()


# ------------------------------------------------------------------------------------------------- in their processes


@dataclass
class Running:
    """`edge-run` with several stations, and a subscriber for each."""

    process: "subprocess.Popen[str]"
    lines: list[Line]

    def children(self, name: str) -> list[int]:
        """Process ids of the children of this name, in the order they were started."""
        found = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in found if Path(f"/proc/{pid}/comm").read_text().strip() == name]

    def more(self, *lines: int, verdicts: int = 20) -> None:
        """Receive `verdicts` more verdicts from each of these stations."""
        for line in lines:
            self.lines[line].until(verdicts=len(self.lines[line].verdicts) + verdicts)

    def to_the_end(self) -> dict[str, Any]:
        """Receive until all stations have announced their end. Returns their results by name."""
        for line in self.lines:
            if State.STOPPED not in {beat.state for beat in line.heartbeats}:
                line.until_state(State.STOPPED)
        out, err = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, err
        stations: dict[str, Any] = {one["station"]: one for one in json.loads(out)["stations"]}
        return stations


@contextmanager
def running(folder: Path, *tables: str) -> Iterator[Running]:
    """`edge-run` with a station for each of these tables, the first one called s0."""
    first = free_endpoint(len(tables))
    text = f'{SMALL}bundle = "{DEMO_BUNDLE}"\nbind = "{first}"\nwait_subscribers = 1\n'
    text += "".join(f'[[stations]]\nstation = "s{i}"\n{table}\n' for i, table in enumerate(tables))
    with ExitStack() as last:
        subscribers = [Subscriber(further(first, i), f"s{i}") for i in range(len(tables))]
        for subscriber in subscribers:
            last.callback(subscriber.close)
        process = subprocess.Popen(
            command("run", "--config", written(folder, text), "--json"),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        last.callback(process.communicate)
        last.callback(process.kill)
        yield Running(process, [Line(process, s, further(first, i)) for i, s in enumerate(subscribers)])


def check_sound(lines: list[Line], stations: dict[str, Any]) -> None:
    """Check that each part has its verdict, that the sequence has no gap, and that every received ledger balances."""
    for number, line in enumerate(lines):
        assert [v.seq for v in line.verdicts] == list(range(1, len(line.verdicts) + 1))
        assert len({v.epoch for v in line.verdicts}) <= 1
        said = stations[f"s{number}"]
        assert said["accepted"] == len(line.verdicts) == said["good"] + said["reject"] + said["unknown"]
        assert {v.station for v in line.verdicts} <= {f"s{number}"}


def test_two_stations_of_different_cameras_share_one_model_and_each_keeps_its_books(tmp_path: Path) -> None:
    with running(tmp_path, "limit = 240", 'limit = 230\nsize = "400x300"\nseed = 5') as run:
        run.more(0, 1, verdicts=5)
        assert len(run.children("edge-inference")) == 1
        assert len(run.children("edge-capture")) == 2
        said = run.to_the_end()
        check_sound(run.lines, said)
    assert (said["s0"]["accepted"], said["s1"]["accepted"]) == (240, 230)
    assert said["s0"]["unknown"] == said["s1"]["unknown"] == 0


def test_a_killed_model_costs_each_station_its_part_in_flight_at_most_and_a_hung_camera_the_others_nothing(
    tmp_path: Path,
) -> None:
    with running(tmp_path, "", "", "streams = 1") as run:
        run.more(0, 1, 2)
        os.kill(run.children("edge-inference")[0], signal.SIGKILL)
        run.more(0, 1, 2, verdicts=40)
        lost = [[v.reason for v in line.verdicts if v.verdict == "unknown"] for line in run.lines]
        assert all(reasons in ([], [Reason.BACKEND]) for reasons in lost)
        assert any(lost)
        os.kill(run.children("edge-capture")[0], signal.SIGSTOP)
        run.more(1, 2, verdicts=100)
        run.process.send_signal(signal.SIGTERM)
        said = run.to_the_end()
        check_sound(run.lines, said)
    restarts = [said[f"s{i}"]["restarts"] for i in range(3)]
    assert restarts[1:] == [1, 1]
    assert restarts[0] >= 1, "its camera may have been given up by then, too"


def test_a_source_that_ends_or_was_never_there_ends_its_own_station_alone(tmp_path: Path) -> None:
    with running(tmp_path, "limit = 10", "", 'source = "nowhere"') as run:
        run.lines[0].until_state(State.STOPPED)
        run.lines[2].until_state(State.STOPPED)
        run.more(1, verdicts=100)
        run.process.send_signal(signal.SIGTERM)
        run.lines[1].until_state(State.STOPPED)
        out, err = run.process.communicate(timeout=60)
        said = {one["station"]: one for one in json.loads(out)["stations"]}
        check_sound(run.lines, said)
    assert run.process.returncode == 2
    assert said["s0"]["accepted"] == 10
    assert said["s2"]["accepted"] == 0
    assert "s2: no such source: 'nowhere'" in err


def test_after_a_short_turn_a_suspension_or_a_lost_child_needs_a_full_one_at_once(cell: tuple[Cell, Stub]) -> None:
    line, child = cell
    station = line.stations[0]
    assert not station.needs_full_turn
    child.is_running = False
    assert station.needs_full_turn, "the child is to be started again"
    child.is_running = True
    station.suspension.begin("Ana", "cleaning")
    assert station._suspended is not None, "before it is announced"
    assert station.needs_full_turn


def test_captures_are_left_waiting_only_where_none_of_the_parts_in_flight_waits_for_its_frame(
    cell: tuple[Cell, Stub],
) -> None:
    acceptance = cell[0].stations[0].acceptance
    for number in range(2):
        acceptance._in_flight.begin(f"part {number}", time.monotonic_ns())
    assert acceptance.has_enough, "both are judged before a further picture is needed"
    acceptance.config = replace(acceptance.config, trigger="external")
    assert not acceptance.has_enough, "a triggered part may wait for its frame"
