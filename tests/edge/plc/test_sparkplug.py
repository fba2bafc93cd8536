"""edge-plc as an edge node of Sparkplug B: a real broker, mosquitto, and a host that shares no code with it."""

import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.broker import Broker, cursor, judge, needs_mosquitto
from support.line import ROOT, ran
from support.plc import until
from support.records import enter, recorder, settle, verdict
from support.sparkplug_host import SparkplugHost, hosting

from edge.plc import broker, sparkplug
from edge.plc.board import Board
from edge.plc.codes import STATE_CODES
from edge.plc.process_image import Readable
from edge.plc.settings import SparkplugTable
from edge.plc.sparkplug import SparkplugNode
from edge.plc.sparkplug_metrics import MOST_FIELD_NAMES, STATE, VERDICT
from edge.records.journal import JOURNAL
from edge.verdict import Outcome, State

pytestmark = needs_mosquitto

READY = Readable(state=STATE_CODES[State.READY], ready=True, epoch="ab12")


@pytest.fixture(name="broker")
def running_broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path / "broker")
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture(autouse=True)
def soon_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes in this process move their cursors without a wait; edge-plc in the running line has the wait."""
    monkeypatch.setattr(sparkplug, "SETTLED_S", 0.0)
    monkeypatch.setattr(broker, "FAILED_S", 0.0)


@pytest.fixture
def board() -> Iterator[Board]:
    board = Board(1)
    board.show(0, READY)
    yield board
    board.close()


@contextmanager
def node(broker: Broker, board: Board, folder: Path, **more: Any) -> Iterator[SparkplugNode]:
    local = {"records": {"line1": folder / "records"}, "cursor": folder / "cursor"}
    table = SparkplugTable(broker=f"127.0.0.1:{broker.port}", **(local | more))
    node = SparkplugNode(board, ["line1"], "plc1", table)
    node.start()
    try:
        until((folder / "cursor").exists)  # what was judged before is history
        yield node
    finally:
        node.close()


def parts(host: SparkplugHost) -> list[int]:
    return [int(one["Result/PartId"].removeprefix("part-")) for one in host.verdicts]


def test_birth_and_death_of_a_device_follow_its_stations_heartbeat(
    broker: Broker, board: Board, tmp_path: Path
) -> None:
    with hosting(broker.port) as host:
        with node(broker, board, tmp_path):
            until(lambda: host.kinds == ["NBIRTH", "DBIRTH"])
            birth = host.messages[1]
            assert (birth["State/Name"], birth["State/Ready"], birth["Result/Verdict"]) == ("ready", True, None)
            board.show(0, Readable(state=STATE_CODES[State.READY], epoch="ab12"))
            until(lambda: len(host.messages) == 3)
            assert {name: one.value for name, one in host.messages[2].metrics.items()} == {"State/Ready": False}
            board.show(0, Readable())
            until(lambda: host.kinds[3:] == ["DDATA", "DDEATH"])
            board.show(0, READY)
            until(lambda: host.kinds[5:] == ["DBIRTH"])
        until(lambda: host.kinds[6:] == ["NDEATH"])
        host.check()


def test_a_verdict_has_its_metrics_its_fields_and_its_own_time(broker: Broker, board: Board, tmp_path: Path) -> None:
    journal = recorder(tmp_path / "records")
    with hosting(broker.port) as host, node(broker, board, tmp_path):
        until(lambda: host.of("DBIRTH"))
        kind = {"kind": "Öl", "kind_number": 2, "kind_probability": 0.75}
        first = verdict(1, Outcome.REJECT).model_copy(update={"fields": {"lot": "17-Ä"}} | kind)
        enter(journal, first, verdict(2, Outcome.UNKNOWN))
        until(lambda: len(host.verdicts) == 2)
        one, two = host.verdicts
        assert (one.device, one["Result/Verdict"], one["Result/Reason"]) == ("line1", "reject", "defect")
        assert (one["Result/Score"], one["Result/Threshold"], two["Result/Score"]) == (0.9, 0.5, None)
        assert (one["Station/Epoch"], one["Station/Seq"], two["Station/Seq"]) == ("ab12", 1, 2)
        assert (one["Fields/lot"], two["Fields/lot"]) == ("17-Ä", None)
        assert (one["Result/Kind"], one["Result/KindNumber"]) == ("Öl", 2)
        assert (two["Result/Kind"], two["Result/KindNumber"]) == (None, None)
        assert one.metrics["Result/Score"].at_ms == 1_767_323_045_678  # that of the verdict, not of the message
        assert not any(metric.is_historical for metric in one.metrics.values())
        assert len(host.of("DBIRTH")) == 2, "a birth names the new field first"
        host.check()
    journal.close("told to stop", 2)


def test_field_names_without_end_do_not_make_births_without_end(broker: Broker, board: Board, tmp_path: Path) -> None:
    journal = recorder(tmp_path / "records")
    with hosting(broker.port) as host, node(broker, board, tmp_path):
        until(lambda: host.of("DBIRTH"))
        names = range(1, MOST_FIELD_NAMES + 3)
        enter(journal, *(verdict(seq).model_copy(update={"fields": {f"n{seq}": str(seq)}}) for seq in names))
        until(lambda: len(host.verdicts) == len(names))
        assert [one[f"Fields/n{seq}"] for seq, one in enumerate(host.verdicts, 1)] == [str(seq) for seq in names]
        assert max(sum(name.startswith("Fields/") for name in one.metrics) for one in host.verdicts) == MOST_FIELD_NAMES
        host.check()
    journal.close("told to stop", len(names))


def test_a_rebirth_comes_when_asked_for_and_what_is_no_command_is_ignored(
    broker: Broker, board: Board, tmp_path: Path
) -> None:
    with hosting(broker.port, "scada") as host, node(broker, board, tmp_path, host="scada"):
        until(lambda: host.kinds == ["NBIRTH", "DBIRTH"])
        host.send("spBv1.0/edge/NCMD/plc1", b"\xff\xff")
        host.send("spBv1.0/edge/NCMD/plc1", b"\x12\x00" * 40_000)
        for state in (b"[" * 5_000, b'{"online": false, "timestamp": Infinity}', b"0"):
            host.send("spBv1.0/STATE/scada", state)
        host.command("DCMD", "line2")
        host.command("DCMD", "line1")
        until(lambda: host.kinds[2:] == ["DBIRTH"])
        host.command("NCMD")
        until(lambda: host.kinds[3:] == ["NBIRTH", "DBIRTH"])
        births = host.of("NBIRTH")
        assert births[0]["bdSeq"] == births[1]["bdSeq"], "the connection is the same"
        host.check()


def test_what_was_judged_while_the_broker_was_away_follows_as_historical(
    broker: Broker, board: Board, tmp_path: Path
) -> None:
    with hosting(broker.port, "scada") as host, node(broker, board, tmp_path, host="scada"):
        until(lambda: host.of("DBIRTH"))
        judge(tmp_path, 1, 20)()
        until(lambda: len(host.verdicts) == 20 and cursor(tmp_path) == 20)
        broker.stop()
        judge(tmp_path, 21, 620)()
        broker.start()
        until(lambda: cursor(tmp_path) == 620)
        judge(tmp_path, 621, 630)()
        until(lambda: len(host.verdicts) == 630)
        assert parts(host) == list(range(1, 631))
        away = {part for part, one in zip(parts(host), host.verdicts, strict=True) if one.is_historical}
        assert away == set(range(21, 621))
        first, second = host.of("NBIRTH")
        assert second["bdSeq"] == (first["bdSeq"] + 1) % 256
        host.check()


def test_what_a_broker_had_not_taken_when_it_was_killed_is_sent_again(
    broker: Broker, board: Board, tmp_path: Path
) -> None:
    """The host is back after the node: until then the broker has the host's former state."""
    kept = tmp_path / "broker" / "mosquitto.db"
    with hosting(broker.port, "scada", 4) as host, node(broker, board, tmp_path, host="scada") as publisher:
        until(lambda: host.of("DBIRTH"))
        judge(tmp_path, 1, 5)()
        until(lambda: cursor(tmp_path) == 5)
        until(lambda: kept.exists() and b"STATE/scada" in kept.read_bytes())
        assert broker.process is not None
        broker.process.send_signal(signal.SIGSTOP)
        judge(tmp_path, 6, 40)()
        until(lambda: publisher.journals.journals[0].sent == 40)
        broker.process.kill()
        broker.stop()
        assert cursor(tmp_path) == 5
        broker.start()
        until(lambda: cursor(tmp_path) == 40 and len(set(parts(host))) == 40)
        assert parts(host) == list(range(1, 41))
        host.check()


def test_what_a_broker_had_just_before_it_was_stopped_is_sent_once_more(
    broker: Broker, board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been stopped before it passed it on, and no host says so."""
    with hosting(broker.port, "scada") as host, node(broker, board, tmp_path, host="scada") as publisher:
        until(lambda: host.of("DBIRTH"))
        judge(tmp_path, 1, 5)()
        until(lambda: cursor(tmp_path) == 5)
        monkeypatch.setattr(sparkplug, "SETTLED_S", 60.0)
        judge(tmp_path, 6, 9)()
        until(lambda: len(host.verdicts) == 9 and publisher._answers)
        broker.stop()
        broker.start()
        until(lambda: len(host.verdicts) == 13)
        assert parts(host) == [*range(1, 10), *range(6, 10)]
        assert cursor(tmp_path) == 5
        until(lambda: publisher._answers)
    assert cursor(tmp_path) == 5, "the five seconds also count at an orderly end"


def test_a_broker_that_freezes_after_its_answer_does_not_move_the_cursor(
    broker: Broker, board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its socket stays open: paho notices that only at its keep-alive."""
    with hosting(broker.port) as host, node(broker, board, tmp_path) as publisher:
        until(lambda: host.of("DBIRTH"))
        judge(tmp_path, 1, 5)()
        until(lambda: cursor(tmp_path) == 5)
        monkeypatch.setattr(sparkplug, "SETTLED_S", 600.0)
        judge(tmp_path, 6, 9)()
        until(lambda: publisher._answers)
        assert broker.process is not None
        broker.process.send_signal(signal.SIGSTOP)
        turns = counted_turns(publisher, monkeypatch)
        monkeypatch.setattr(sparkplug, "SETTLED_S", 0.0)
        until(lambda: len(turns) > 5)
        assert publisher._client.is_connected()
        assert cursor(tmp_path) == 5
        broker.process.send_signal(signal.SIGCONT)
        until(lambda: cursor(tmp_path) == 9)


def counted_turns(publisher: SparkplugNode, monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Grows by one with each turn of the publisher."""
    turns, turn = list[None](), publisher._turn

    def counted() -> None:
        turn()
        turns.append(None)

    monkeypatch.setattr(publisher, "_turn", counted)
    return turns


def test_without_its_primary_host_ndeath_is_published_and_what_is_judged_waits(
    broker: Broker, board: Board, tmp_path: Path
) -> None:
    with hosting(broker.port) as other, node(broker, board, tmp_path, host="scada"):
        with hosting(broker.port, "scada") as host:
            judge(tmp_path, 1, 3)()
            until(lambda: len(host.verdicts) == 3 and cursor(tmp_path) == 3)
        until(lambda: other.kinds[-1] == "NDEATH")
        judge(tmp_path, 4, 9)()
        with hosting(broker.port, "scada") as host:
            until(lambda: len(host.verdicts) == 6)
            assert parts(host) == list(range(4, 10))
            assert all(one.is_historical for one in host.verdicts)
            host.check()
        assert parts(other) == list(range(1, 10))


def test_verdicts_of_a_silent_station_are_sent_between_a_birth_and_a_death_of_its_device(
    broker: Broker, board: Board, tmp_path: Path
) -> None:
    board.show(0, Readable())
    with hosting(broker.port) as host, node(broker, board, tmp_path):
        until(lambda: host.kinds == ["NBIRTH"])
        judge(tmp_path, 1, 450)()
        until(lambda: host.kinds[-1] == "DDEATH" and len(host.verdicts) == 450)
        assert parts(host) == list(range(1, 451))
        assert (len(host.of("DBIRTH")), len(host.of("DDEATH"))) == (1, 1)
        host.check()


def test_a_node_that_starts_again_goes_on_where_the_broker_is(broker: Broker, board: Board, tmp_path: Path) -> None:
    with hosting(broker.port) as host:
        with node(broker, board, tmp_path):
            judge(tmp_path, 1, 5)()
            until(lambda: cursor(tmp_path) == 5)
        judge(tmp_path, 6, 9)()
        with node(broker, board, tmp_path):
            until(lambda: len(host.verdicts) >= 9)
        assert parts(host) == list(range(1, 10))
        first, second = host.of("NBIRTH")
        assert second["bdSeq"] == (first["bdSeq"] + 1) % 256
        host.check()


def test_a_row_that_is_no_verdict_is_left_out(broker: Broker, board: Board, tmp_path: Path) -> None:
    journal = recorder(tmp_path / "records")
    with hosting(broker.port) as host:
        with node(broker, board, tmp_path):
            enter(journal, verdict(1))
            until(lambda: cursor(tmp_path) == 1)
        enter(journal, verdict(2), verdict(3))
        settle(journal)
        journal.close("told to stop", 3)
        with closing(sqlite3.connect(tmp_path / "records" / JOURNAL)) as database, database:
            database.execute("UPDATE verdicts SET json = '[]' WHERE seq = 2")
        with node(broker, board, tmp_path):
            until(lambda: cursor(tmp_path) == 3)
        assert parts(host) == [1, 3]


@pytest.mark.parametrize(
    "spoilt",
    [
        '{"time": "1969-12-31T23:59:59.000+00:00"}',
        '{"time": "2026-01-02T03:04:05.678+00:00", "seq": 1e999}',
        '{"time": "2026-01-02T03:04:05.678+00:00", "fields": {"\\ud800": "x"}}',
        "[" * 100_000,
    ],
)
def test_a_row_that_cannot_be_encoded_is_left_out_and_said(
    broker: Broker, board: Board, tmp_path: Path, caplog: pytest.LogCaptureFixture, spoilt: str
) -> None:
    journal = recorder(tmp_path / "records")
    with hosting(broker.port) as host:
        with node(broker, board, tmp_path):
            enter(journal, verdict(1))
            until(lambda: cursor(tmp_path) == 1)
        enter(journal, verdict(2), verdict(3))
        settle(journal)
        journal.close("told to stop", 3)
        with closing(sqlite3.connect(tmp_path / "records" / JOURNAL)) as database, database:
            database.execute("UPDATE verdicts SET json = ? WHERE seq = 2", (spoilt,))
        with node(broker, board, tmp_path):
            until(lambda: cursor(tmp_path) == 3)
            host.command("NCMD")
            until(lambda: len(host.of("NBIRTH")) == 3)
        assert parts(host) == [1, 3]
        host.check()
    assert caplog.text.count("a verdict of line1 cannot be read or encoded and is left out") == 1


def test_after_an_error_of_the_thread_the_last_will_comes_and_then_a_birth(
    broker: Broker, board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with hosting(broker.port) as host, node(broker, board, tmp_path) as publisher:
        until(lambda: host.kinds == ["NBIRTH", "DBIRTH"])
        judge(tmp_path, 1, 5)()
        until(lambda: cursor(tmp_path) == 5)
        look = publisher._look_at_stations

        def fails_once() -> None:
            monkeypatch.setattr(publisher, "_look_at_stations", look)
            raise LookupError("no such thing")

        monkeypatch.setattr(publisher, "_look_at_stations", fails_once)
        until(lambda: "NDEATH" in host.kinds and host.kinds[-2:] == ["NBIRTH", "DBIRTH"])
        judge(tmp_path, 6, 9)()
        until(lambda: cursor(tmp_path) == 9)
        host.check()
    assert set(parts(host)) == set(range(1, 10))
    assert caplog.text.count("LookupError: no such thing; the connection to 127.0.0.1") == 1


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('broker = "127.0.0.1"\nnode = "a/b"', "sparkplug.node"),
        ('broker = "127.0.0.1"\nrecords = { line1 = "r" }', "[plc.sparkplug]: records need cursor = FILE"),
        ('broker = "127.0.0.1"\ncursor = "c"\n[plc.mqtt]\nbroker = "127.0.0.1"\ncursor = "c"', "is that of [plc.mqtt]"),
    ],
)
def test_a_wrong_table_is_refused_in_one_line(tmp_path: Path, lines: str, said: str) -> None:
    (tmp_path / "line.toml").write_text(f"[plc]\ninsecure = true\n[plc.sparkplug]\n{lines}\n")
    done = ran("plc", "--config", tmp_path / "line.toml", "--modbus", 0)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert said in done.stderr


def test_the_page_names_every_metric() -> None:
    page = (ROOT / "docs" / "guide" / "sparkplug.md").read_text()
    rows = [(name, kind) for name, kind, _ in STATE] + [(name, kind) for name, kind, _, _ in VERDICT]
    for name, kind in rows:
        assert f"| `{name}` | {kind.name.capitalize()} |" in page
