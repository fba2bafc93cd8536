"""edge-plc on MQTT: a real broker, mosquitto, that is stopped and started, with mosquitto_sub as the listener."""

import logging
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.broker import Broker, Listener, cursor, judge, listening, needs_mosquitto
from support.line import ran, running_line
from support.plc import running_plc, until
from support.records import enter, recorder, settle, verdict

from edge.plc.board import Board
from edge.plc.codes import STATE_CODES
from edge.plc.journal_forwarding import Row
from edge.plc.mqtt import MqttPublisher
from edge.plc.process_image import Readable
from edge.plc.settings import MqttTable
from edge.verdict import State

pytestmark = needs_mosquitto


needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="openssl is not installed: there are no certificates"
)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path / "broker")
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def board() -> Iterator[Board]:
    board = Board(1)
    yield board
    board.close()


@contextmanager
def publishing(board: Board, table: MqttTable) -> Iterator[MqttPublisher]:
    publisher = MqttPublisher(board, ["line1"], "plc1", table)
    publisher.start()
    try:
        yield publisher
    finally:
        publisher.close()


def table(broker: Broker, folder: Path, **more: Any) -> MqttTable:
    local = {
        "broker": f"127.0.0.1:{broker.port}",
        "records": {"line1": folder / "records"},
        "cursor": folder / "cursor",
    }
    return MqttTable(**(local | more))


def parts(listener: Listener) -> list[int]:
    return [int(one["part"].removeprefix("part-")) for one in listener.heard("edge/line1/verdict")]


def test_what_was_judged_while_the_broker_was_away_follows_once_and_in_order(
    broker: Broker, board: Board, tmp_path: Path
) -> None:
    judge(tmp_path, 1, 3)()
    with listening(broker) as listener, publishing(board, table(broker, tmp_path)):
        until(lambda: (tmp_path / "cursor").exists())  # what was judged before is history
        judge(tmp_path, 4, 40)()
        until(lambda: cursor(tmp_path) == 40 and len(parts(listener)) >= 37)
        broker.stop()
        judge(tmp_path, 41, 700)()
        broker.start()
        until(lambda: cursor(tmp_path) == 700 and len(parts(listener)) >= 697)
    assert parts(listener) == list(range(4, 701))


def test_a_verdict_has_the_free_fields_of_its_part(broker: Broker, board: Board, tmp_path: Path) -> None:
    fields = {"lot": "17-B", "order": "Ä"}
    journal = recorder(tmp_path / "records")
    enter(journal, verdict(1))
    settle(journal)
    with listening(broker) as listener, publishing(board, table(broker, tmp_path)):
        until((tmp_path / "cursor").exists)
        enter(journal, verdict(2).model_copy(update={"fields": fields}), verdict(3))
        until(lambda: len(listener.heard("edge/line1/verdict")) == 2)
        assert [one.get("fields") for one in listener.heard("edge/line1/verdict")] == [fields, None]
    journal.close("told to stop", 3)


def test_a_broker_that_is_stopped_in_the_middle_loses_nothing_and_repeats_only_what_it_had_not_acknowledged(
    broker: Broker, board: Board, tmp_path: Path
) -> None:
    judge(tmp_path, 1, 3)()
    with listening(broker) as listener, publishing(board, table(broker, tmp_path)):
        until(lambda: (tmp_path / "cursor").exists())
        judge(tmp_path, 4, 900)()
        until(lambda: len(parts(listener)) >= 20)
        broker.stop()
        had = cursor(tmp_path)
        broker.start()
        until(lambda: cursor(tmp_path) == 900 and len(set(parts(listener))) == 897)
    heard = parts(listener)
    assert list(dict.fromkeys(heard)) == list(range(4, 901)), "in order, but for repetitions"
    assert all(part > had for part in heard if heard.count(part) > 1)


def test_verdicts_that_were_published_while_the_connection_broke_follow(
    broker: Broker, board: Board, tmp_path: Path
) -> None:
    judge(tmp_path, 1, 3)()
    with listening(broker) as listener, publishing(board, table(broker, tmp_path)) as publisher:
        until(lambda: listener.heard("edge/plc1/online") == [1])
        connected, publisher._client.is_connected = publisher._client.is_connected, lambda: True
        broker.stop()
        until(lambda: not connected())
        judge(tmp_path, 4, 40)()
        until(lambda: publisher.journals.journals[0].sent == 40)
        publisher._client.is_connected = connected
        broker.start()
        until(lambda: cursor(tmp_path) == 40 and len(parts(listener)) >= 37)
    assert parts(listener) == list(range(4, 41))


def test_what_is_judged_before_the_broker_is_there_for_the_first_time_follows(
    broker: Broker, board: Board, tmp_path: Path
) -> None:
    judge(tmp_path, 1, 3)()
    with listening(broker) as listener:
        with publishing(board, table(broker, tmp_path, records={}, cursor=None)):
            until(lambda: listener.heard("edge/plc1/online") == [1])
        broker.stop()
        with publishing(board, table(broker, tmp_path)):
            until(lambda: (tmp_path / "cursor").exists() and cursor(tmp_path) == 3)
            judge(tmp_path, 4, 10)()
            broker.start()
            until(lambda: cursor(tmp_path) == 10 and len(parts(listener)) >= 7)
        assert parts(listener) == list(range(4, 11))


def test_a_publisher_that_starts_again_goes_on_where_the_broker_is(
    broker: Broker, board: Board, tmp_path: Path
) -> None:
    with listening(broker) as listener:
        judge(tmp_path, 1, 3)()
        with publishing(board, table(broker, tmp_path)):
            until(lambda: (tmp_path / "cursor").exists())
            judge(tmp_path, 4, 20)()
            until(lambda: cursor(tmp_path) == 20)
        judge(tmp_path, 21, 50)()
        with publishing(board, table(broker, tmp_path)):
            until(lambda: len(parts(listener)) >= 47)
        assert parts(listener) == list(range(4, 51))


def test_the_state_is_retained_and_the_last_will_says_that_the_process_is_gone(broker: Broker, tmp_path: Path) -> None:
    with running_line("--source", "demo", "--size", "320x180", "--rate", "5/s", "--wait-subscribers", 2) as line:
        file = tmp_path / "line.toml"
        file.write_text(
            f'[plc]\ninsecure = true\n[[plc.stations]]\nstation = "line1"\nconnect = "{line.endpoint}"\n'
            f'[plc.mqtt]\nbroker = "127.0.0.1:{broker.port}"\n'
        )
        with running_plc(tmp_path, "--config", file) as bridge, listening(broker) as early:
            until(lambda: early.heard("edge/plc1/online") == [1])
            until(lambda: any(one["state"] == "executing" for one in early.heard("edge/line1/state")))
            with listening(broker) as late:
                until(lambda: late.heard("edge/plc1/online") == [1])
                until(lambda: late.heard("edge/line1/state"))
                assert late.heard("edge/line1/state")[0]["ready"]
            bridge.process.kill()
            until(lambda: early.heard("edge/plc1/online") == [1, 0])


def test_after_an_error_of_the_thread_the_last_will_comes_and_then_all_of_it(
    broker: Broker, board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("edge.plc.broker.FAILED_S", 0.0)
    with listening(broker) as listener, publishing(board, table(broker, tmp_path)) as publisher:
        until(lambda: listener.heard("edge/plc1/online") == [1])
        publish = publisher._publish

        def fails_once(station: str, row: Row) -> int | None:
            monkeypatch.setattr(publisher, "_publish", publish)
            raise LookupError("no such thing")

        monkeypatch.setattr(publisher, "_publish", fails_once)
        judge(tmp_path, 1, 9)()
        until(lambda: listener.heard("edge/plc1/online") == [1, 0, 1])
        until(lambda: cursor(tmp_path) == 9 and len(parts(listener)) >= 9)
    assert parts(listener) == list(range(1, 10))
    assert caplog.text.count("LookupError: no such thing; the connection to 127.0.0.1") == 1


def test_a_broker_that_freezes_does_not_move_the_cursor(
    broker: Broker, board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening(broker) as listener, publishing(board, table(broker, tmp_path)) as publisher:
        judge(tmp_path, 1, 5)()
        until(lambda: cursor(tmp_path) == 5)
        assert broker.process is not None
        broker.process.send_signal(signal.SIGSTOP)
        judge(tmp_path, 6, 9)()
        until(lambda: publisher.journals.journals[0].sent == 9)
        settled, settle = list[None](), publisher.journals.settle
        monkeypatch.setattr(publisher.journals, "settle", lambda: settled.append(settle()))
        until(lambda: len(settled) > 5)
        assert cursor(tmp_path) == 5
        broker.process.send_signal(signal.SIGCONT)
        until(lambda: cursor(tmp_path) == 9 and parts(listener) == list(range(1, 10)))


def test_a_broker_that_comes_later_has_the_present_state(board: Board, tmp_path: Path) -> None:
    broker = Broker(tmp_path / "broker")
    with publishing(board, table(broker, tmp_path, records={}, cursor=None)):
        board.show(0, Readable(state=STATE_CODES[State.READY], ready=True))
        broker.start()
        with listening(broker) as listener:
            until(lambda: listener.heard("edge/line1/state"))
            assert listener.heard("edge/line1/state")[-1]["state"] == "ready"
    broker.stop()


def test_two_of_one_name_at_a_broker_are_told_so_and_a_broker_that_is_back_is_said(
    board: Board, broker: Broker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "edge.plc")
    alone = table(broker, tmp_path, records={}, cursor=None)
    with publishing(board, alone) as publisher:
        until(lambda: publisher.connection)
        broker.stop()
        until(lambda: "does not answer" in caplog.text)
        broker.start()
        until(lambda: "answers again" in caplog.text)
        assert "in a row" not in caplog.text
        with publishing(board, alone):
            until(lambda: "another client has the id edge-plc-plc1: give each edge-plc a --name" in caplog.text)


def test_user_and_password_are_given(board: Board, tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", passwords, "press", "secret"], check=True)
    broker = Broker(tmp_path / "broker", "allow_anonymous false", f"password_file {passwords}")
    broker.start()
    (tmp_path / "password").write_text("secret\n")
    (tmp_path / "password").chmod(0o600)
    own = {"user": "press", "password_file": tmp_path / "password", "records": {}, "cursor": None}
    with (
        listening(broker, "-u", "press", "-P", "secret") as listener,
        publishing(board, table(broker, tmp_path, **own)),
    ):
        until(lambda: listener.heard("edge/plc1/online") == [1])
    broker.stop()


def certify(folder: Path, name: str, subject: str = "127.0.0.1") -> None:
    """A certificate that signs itself, NAME.pem, and its key, NAME.key."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={subject}", "-addext",
         f"subjectAltName=IP:{subject}", "-keyout", f"{name}.key", "-out", f"{name}.pem"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip


@needs_openssl
@pytest.mark.parametrize(("signer", "subject"), [("other", "127.0.0.1"), ("broker", "127.0.0.2")])
def test_a_broker_that_the_ca_did_not_sign_or_with_another_name_gets_nothing(
    board: Board, tmp_path: Path, caplog: pytest.LogCaptureFixture, signer: str, subject: str
) -> None:
    certify(tmp_path, "broker", subject)
    certify(tmp_path, "other")
    broker = Broker(tmp_path / "broker", "allow_anonymous true", f"certfile {tmp_path}/broker.pem",
                    f"keyfile {tmp_path}/broker.key")  # fmt: skip
    broker.start()
    own = {"ca": tmp_path / f"{signer}.pem", "records": {}, "cursor": None}
    with publishing(board, table(broker, tmp_path, **own)) as publisher:
        until(lambda: "or ca has not signed its certificate; it is tried again" in caplog.text)
        assert not publisher._client.is_connected()
    broker.stop()


@needs_openssl
def test_tls_is_spoken_to_a_broker_that_the_ca_signed(board: Board, tmp_path: Path) -> None:
    certify(tmp_path, "ca")
    broker = Broker(
        tmp_path / "broker", "allow_anonymous true", f"certfile {tmp_path}/ca.pem", f"keyfile {tmp_path}/ca.key"
    )
    broker.start()
    own = {"ca": tmp_path / "ca.pem", "records": {}, "cursor": None}
    listener = Listener(broker, "--cafile", str(tmp_path / "ca.pem"), "-h", "127.0.0.1")
    with publishing(board, table(broker, tmp_path, **own)):
        until(lambda: listener.heard("edge/plc1/online") == [1])
    listener.process.kill()
    broker.stop()


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('broker = "192.0.2.1"', "give ca = FILE in [plc.mqtt], or say insecure = true there if that is meant"),
        ('broker = "127.0.0.1"\nrecords = { line1 = "r" }', "records need cursor = FILE"),
        ('broker = "127.0.0.1"\nuser = "a"\npassword_file = "none"', "cannot be read; it holds the password"),
        ('broker = "127.0.0.1"\nca = "none.pem"', "none.pem is no file; give one in PEM"),
        ('broker = "127.0.0.1"\nca = "c"', "ca, cert or key cannot be used"),
        ('broker = "127.0.0.1"\nrecords = { line1 = "r" }\ncursor = "nowhere/c"', "make it, or name a file elsewhere"),
        ('broker = "mqtt://127.0.0.1:1883"', "is no broker; one looks like 127.0.0.1:1883"),
        ('broker = "127.0.0.1"\nuser = "a"\npassword_file = "shared"', "others than its owner may use it (mode 0644)"),
        ('broker = "127.0.0.1"\npassword_file = "shared"', "password_file needs user"),
        ('broker = "127.0.0.1"\nca = "c"\ncert = "c"\nkey = "shared"', "others than its owner may use it (mode 0644)"),
        ('broker = "127.0.0.1"\nca = "c"\ncert = "shared"', "shared: others than its owner may use it (mode 0644)"),
        ('broker = "127.0.0.1"\ncert = "c"\nkey = "k"', "without it there is no TLS"),
        ('broker = "127.0.0.1"\ncursor = "c"\nrecords = { line2 = "r" }', "'line2', which is none of line1"),
        ('broker = "x:y"', "is no broker; one looks like 127.0.0.1:1883"),
        ('topic = "a"', "mqtt.broker is missing"),
    ],
)
def test_a_wrong_table_is_refused_in_one_line(tmp_path: Path, lines: str, said: str) -> None:
    (tmp_path / "line.toml").write_text(f"[plc]\ninsecure = true\n[plc.mqtt]\n{lines}\n")
    (tmp_path / "c").write_text("no certificate")
    (tmp_path / "shared").write_text("secret")
    (tmp_path / "shared").chmod(0o644)
    done = ran("plc", "--config", tmp_path / "line.toml", "--modbus", 0)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert said in done.stderr
