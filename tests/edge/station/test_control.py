"""The control socket of a running station: the requests of a controller, and the harm that no peer can do."""

import contextlib
import json
import os
import signal
import socket as network
import stat
import subprocess
import time
from pathlib import Path

import pytest
import zmq
from support.line import Line, command, free_endpoint, ran, running_line
from support.records import recorder, rows

from edge.channel.control_messages import (
    Acknowledge,
    AskReplay,
    AskSnapshot,
    Exposed,
    Fate,
    Hello,
    Ping,
    Pong,
    Refused,
    Replayed,
    ReplayEnd,
    Snapshot,
    Trigger,
    Triggered,
    Welcome,
    parse_request,
)
from edge.channel.control_socket import ControlSocket
from edge.channel.endpoints import CONTROL, VIEWERS, neighbour_endpoint
from edge.channel.limits import LARGEST_REQUEST, MOST_REFUSED
from edge.channel.subscriber import Subscriber
from edge.records.audit import audit
from edge.station.replay import REMEMBERED
from edge.verdict import Heartbeat, Outcome, Reason, State, Verdict

SMALL = ("--source", "demo", "--size", "320x180")


def stopped(line: Line) -> dict[str, object]:
    """The station's result after SIGTERM."""
    line.process.send_signal(signal.SIGTERM)
    assert line.to_the_end() == 0
    result: dict[str, object] = json.loads(line.stdout)
    return result


def test_a_controller_is_told_who_speaks_what_time_it_is_and_how_the_line_stands() -> None:
    with running_line(*SMALL, "--rate", "20/s") as line, line.asking() as ask:
        line.until(3)
        welcome, pong, snapshot = ask(Hello(client="gate1")), ask(Ping(nonce=7)), ask(AskSnapshot())
        assert isinstance(welcome, Welcome)
        assert (welcome.station, welcome.client, welcome.is_required) == ("line1", "gate1", False)
        assert isinstance(pong, Pong)
        assert (pong.nonce, pong.epoch) == (7, welcome.epoch)
        assert pong.now > line.heartbeats[-1].sent
        assert isinstance(snapshot, Snapshot)
        assert snapshot.heartbeat.last_seq >= 3
        assert snapshot.heartbeat.epoch == welcome.epoch == line.verdicts[0].epoch
        assert stopped(line)["requests"] == {"hello": 1, "ping": 1, "snapshot": 1}


def test_a_replay_gives_the_verdicts_as_they_were_and_says_how_many() -> None:
    with running_line(*SMALL, "--rate", "50/s") as line, line.asking() as ask:
        line.until(30)
        epoch = line.verdicts[0].epoch
        first = ask(AskReplay(epoch=epoch, from_seq=5, to_seq=9))
        replies = [first, *(ask.next() for _ in range(5))]
        assert [r.verdict for r in replies if isinstance(r, Replayed)] == line.verdicts[4:9]
        assert replies[-1] == ReplayEnd(epoch=epoch, from_seq=5, to_seq=9, count=5)
        assert ask(AskReplay(epoch="abc", from_seq=1, to_seq=9)) == ReplayEnd(
            epoch="abc", from_seq=1, to_seq=9, count=0
        )
        end = ask(AskReplay(epoch=epoch, from_seq=10**6, to_seq=10**6 + 5 * REMEMBERED))
        assert isinstance(end, ReplayEnd)
        assert end.count == 0


def test_an_acknowledgement_counts_only_from_somebody_and_for_a_part_that_is() -> None:
    with running_line(*SMALL, "--rate", "50/s") as line, line.asking() as ask:
        line.until(5)
        ack = Acknowledge(epoch=line.verdicts[0].epoch, seq=3, fate=Fate.PASSED)
        assert isinstance(ask(ack), Refused)
        ask(Hello(client="gate1"))
        ask.socket.send(ack.model_dump_json().encode())
        assert ask.hears_nothing()
        assert isinstance(ask(ack.model_copy(update={"seq": 10**9})), Refused)
        assert stopped(line)["acknowledged"] == {"passed": 1}


def test_an_acknowledgement_of_a_run_that_never_was_is_refused_and_one_of_an_earlier_run_is_kept(
    tmp_path: Path,
) -> None:
    recorder(tmp_path, "ab12").close("told to stop", 0)
    with running_line(*SMALL, "--rate", "50/s", "--records", tmp_path) as line, line.asking() as ask:
        line.until(1)
        ask(Hello(client="gate1"))
        refused = ask(Acknowledge(epoch="0123", seq=1, fate=Fate.PASSED))
        assert isinstance(refused, Refused)
        assert refused.why == "no run of this station had the epoch 0123"
        ask.socket.send(Acknowledge(epoch="ab12", seq=1, fate=Fate.REJECTED).model_dump_json().encode())
        assert ask.hears_nothing()
        assert stopped(line)["acknowledged"] == {"rejected": 1}
    assert rows(tmp_path, "SELECT epoch, fate FROM acknowledgements") == [("ab12", "rejected")]
    assert audit(tmp_path).counts == {}


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"{", b"[]", b"null", b"\xff\xfe", b"{}", b'{"type":"open the gate"}', b'{"type":"ping"}',
        b'{"type":"ping","nonce":-1}', b'{"type":"ping","nonce":1e400}', b'{"type":"hello","client":"a b"}',
        b'{"type":"trigger","part":""}', b'{"type":"trigger","part":"a\\u001b[2J"}',
        b'{"type":"trigger","part":"a\\n"}', b'{"type":"trigger","part":"\\u202ea"}',
        b'{"type":"ack","epoch":"e","seq":0,"fate":"passed"}',
        b'{"type":"replay","epoch":"../..","from_seq":1,"to_seq":2}', b"[" * 4000,
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused_by_the_parser(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_request(payload)


NONSENSE = [
    (b"", "", "no request: is not JSON: EOF"),
    (b"{", "", "no request: is not JSON: EOF while parsing an object"),
    (b'{"type":"open the gate"}', "", "no request: 'open the gate'; its type is one of hello, ping, snapshot, replay"),
    (b"\0" * LARGEST_REQUEST, "", "no request: is not JSON"),
    (b'{"part":"A1"}', "", "no request: no type; its type is one of"),
    (b'{"type":"trigger"}', "trigger", "part is missing"),
    (b'{"type":"trigger","part":7}', "trigger", "part = 7: must be text"),
    (b'{"type":"trigger","part":"a\\u001b[2J"}', "trigger", r"part = 'a\x1b[2J': printable characters only"),
    (b'{"type":"trigger","part":"%s"}' % (b"a" * 201), "trigger", "…: must have at most 200 characters"),
]


def test_a_peer_that_talks_nonsense_is_counted_and_told_what_is_wrong_and_others_are_answered() -> None:
    with running_line(*SMALL, "--rate", "20/s") as line, line.asking() as bad, line.asking() as good:
        line.until(2)
        for payload, request, says in NONSENSE:
            bad.socket.send(payload)
            refused = bad.next()
            assert isinstance(refused, Refused)
            assert refused.request == request
            assert says in refused.why
            assert len(refused.why) < 300
        bad.socket.send_multipart([b"a", b"b", b"c"])
        assert bad.next() == Refused(request="", why="no request: 3 frames; a request is one")
        assert isinstance(good(Ping(nonce=1)), Pong)
        assert bad.hears_nothing()
        bad.socket.send(b"x" * (LARGEST_REQUEST + 1))  # ZeroMQ itself disconnects this one
        assert isinstance(good(Ping(nonce=2)), Pong)
        assert stopped(line)["malformed_requests"] == len(NONSENSE) + 1


def test_a_flood_of_nonsense_is_told_what_is_wrong_so_often_a_second_and_a_request_is_answered_at_once() -> None:
    with zmq.Context() as context, context.socket(zmq.DEALER) as flood, context.socket(zmq.REQ) as strict:
        socket, sent = ControlSocket(context, free_endpoint()), 20 * MOST_REFUSED
        for peer in (flood, strict):
            peer.set(zmq.LINGER, 0)
            peer.connect(socket.endpoint)
        began = time.monotonic()
        for _ in range(sent):
            flood.send(b'{"type":"trigger","part":7}')
        while socket.malformed < sent:
            assert not list(socket.requests(64))
        seconds = int(time.monotonic() - began) + 2
        answers = 0
        while flood.poll(300):
            flood.recv()
            answers += 1
        assert MOST_REFUSED <= answers <= seconds * MOST_REFUSED
        strict.send(b'{"type":"ping","nonce":1}')
        while not (found := list(socket.requests(64))):
            assert strict.poll(10) == 0
        assert found[0][1] == Ping(nonce=1)
        socket.reply(found[0][0], Pong(nonce=1, epoch="e", now=0))
        assert strict.poll(5000)
        socket.close()


def test_a_viewer_hears_the_same_and_counts_as_no_subscriber() -> None:
    with running_line(*SMALL, "--rate", "50/s", "--limit", 100) as line:
        viewer = Subscriber(neighbour_endpoint(line.endpoint, VIEWERS), "line1")
        line.until(1)
        assert line.to_the_end() == 0
        seen = [r.message for r in viewer.messages(0.5) if isinstance(r.message, Verdict)]
        viewer.close()
    assert seen
    assert seen == line.verdicts[seen[0].seq - 1 :]


def test_a_line_without_triggers_refuses_one() -> None:
    with running_line(*SMALL, "--rate", "20/s") as line, line.asking() as ask:
        line.until(1)
        assert isinstance(ask(Trigger(part="A1")), Refused)


def test_each_trigger_has_one_frame_and_one_verdict_and_frames_without_a_trigger_are_no_parts() -> None:
    with running_line(*SMALL, "--rate", "30/s", "--trigger", "external") as line, line.asking() as ask:
        line.until_state(State.READY)
        for number in range(1, 21):
            triggered = ask(Trigger(part=f"A{number}"))
            assert isinstance(triggered, Triggered)
            assert (triggered.part, triggered.seq) == (f"A{number}", number)
            line.until(number)
        result = stopped(line)
    assert [v.part for v in line.verdicts] == [f"A{n}" for n in range(1, 21)]
    assert {v.verdict for v in line.verdicts} == {Outcome.GOOD, Outcome.REJECT}
    assert result["accepted"] == 20
    assert all(v.timing.in_ring is not None and v.timing.in_ring > v.timing.captured for v in line.verdicts)


def test_the_sender_of_a_trigger_is_told_once_that_its_frame_has_been_exposed_if_it_asks() -> None:
    with (
        running_line(*SMALL, "--rate", "30/s", "--trigger", "external") as line,
        line.asking() as ask,
        line.asking() as another,
    ):
        line.until_state(State.READY)
        told = []
        for number in range(1, 6):
            before_ns = time.monotonic_ns()
            triggered = ask(Trigger(part=f"A{number}", exposed=True))
            exposed = ask.next()
            assert isinstance(triggered, Triggered)
            assert isinstance(exposed, Exposed)
            assert (exposed.part, exposed.epoch, exposed.seq) == (f"A{number}", triggered.epoch, number)
            assert before_ns < exposed.captured < time.monotonic_ns()
            line.until(number)
            told.append(exposed)
        assert isinstance(ask(Trigger(part="A6")), Triggered)
        line.until(6)
        assert isinstance(ask(Ping(nonce=1)), Pong), "a sender that does not ask is not told"
        assert isinstance(another(Ping(nonce=2)), Pong), "nor is another client"
        stopped(line)
    for exposed, verdict in zip(told, line.verdicts, strict=False):
        assert verdict.timing.captured < exposed.captured <= verdict.timing.in_ring


def test_free_fields_of_a_trigger_come_with_the_verdict_and_lie_in_the_record(tmp_path: Path) -> None:
    records, fields = tmp_path / "records", {"lot": "Ä-17, 3", "order": ""}
    line_of_records = (*SMALL, "--rate", "30/s", "--trigger", "external", "--records", records)
    with running_line(*line_of_records) as line, line.asking() as ask:
        line.until_state(State.READY)
        for part, said in (("A1", fields), ("A2", None), ("A3", {})):
            ask(Trigger(part=part, fields=said))
            line.until(int(part[1:]))
        for wrong in ({"Lot": "a"}, {"lot": "a" * 65}, {"lot": "\x1b"}, {f"f{n}": "" for n in range(9)}, {"1": "a"}):
            ask.socket.send(json.dumps({"type": "trigger", "part": "B", "fields": wrong}).encode())
            assert isinstance(ask.next(), Refused)
        stopped(line)
    assert [verdict.fields for verdict in line.verdicts] == [fields, None, None]
    published = [json.loads(text) for (text,) in rows(records, "SELECT json FROM verdicts ORDER BY seq")]
    assert ["fields" in one for one in published] == [True, False, False], "messages without fields stay as they were"
    assert [said and json.loads(said) for (said,) in rows(records, "SELECT fields FROM verdicts ORDER BY seq")] == [
        fields,
        None,
        None,
    ]
    assert audit(records).is_sound
    assert "lot Ä-17, 3, order" in ran("audit", records, "--part", "A1").stdout


def test_a_trigger_without_a_frame_is_unknown_camera_at_the_budget() -> None:
    options = ("--rate", "30/s", "--trigger", "external", "--budget-ms", 300)
    with running_line(*SMALL, *options) as line, line.asking() as ask:
        line.until_state(State.READY)
        os.kill(line.child("edge-capture"), signal.SIGSTOP)
        ask(Trigger(part="A1", exposed=True))
        line.until(1)
        assert isinstance(ask(Ping(nonce=1)), Pong), "nothing was exposed"
        stopped(line)
    assert [(v.part, v.reason) for v in line.verdicts] == [("A1", Reason.CAMERA)]
    assert line.verdicts[0].age_ms >= 300


def test_more_triggers_than_frames_are_answered_overload_at_once_and_none_is_lost() -> None:
    with running_line(*SMALL, "--rate", "5/s", "--trigger", "external") as line, line.asking() as ask:
        line.until_state(State.READY)
        for number in range(40):
            ask(Trigger(part=f"A{number}"))
        line.until(40)
        result = stopped(line)
    assert [v.part for v in line.verdicts] == [f"A{n}" for n in range(40)]
    reasons = [v.reason for v in line.verdicts]
    assert Reason.OVERLOAD in reasons
    assert {Reason.CLEAR, Reason.DEFECT} & set(reasons)
    assert result["accepted"] == 40


def test_a_client_beside_the_required_controller_is_named_once_while_that_is_missing() -> None:
    with running_line(*SMALL, "--limit", 3, "--require", "gate1") as line, line.asking() as ask:
        line.until_state(State.SUSPENDED)
        for _ in range(2):
            ask(Hello(client="gate-1"))
        ask(Hello(client="gate1"))
        line.to_the_end()
    named = [said for said in line.stderr.splitlines() if "gate-1" in said]
    assert len(named) == 1, line.stderr
    assert "client gate-1 is connected, but --require names gate1" in named[0]


def test_two_processes_with_the_name_of_a_required_controller_suspend_the_line() -> None:
    """Either of them would keep the station running if the other, which drives the gate, hung."""

    def until_cause(line: Line, cause: str | None) -> None:
        while not line.heartbeats or line.heartbeats[-1].cause != cause:
            line.until(len(line.verdicts) + 1)

    gates: list[subprocess.Popen[bytes]] = []

    def start(line: Line) -> None:
        options = ("--connect", line.endpoint, "--control", neighbour_endpoint(line.endpoint, CONTROL), "--insecure")
        gates.append(
            subprocess.Popen(
                command("gate", *options, "--name", "gate1"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        )

    try:
        with running_line(*SMALL, "--rate", "20/s", "--require", "gate1") as line:
            start(line)
            line.until_state(State.EXECUTING)
            start(line)
            until_cause(line, "controller: two have the name gate1; stop one of them")
            gates[0].kill()
            until_cause(line, None)
            before = len(line.heartbeats)
            gates[1].kill()
            gates[1].wait()
            start(line)  # one that takes over is no second one
            line.until(len(line.verdicts) + 60)
            until_cause(line, None)
            stopped(line)
        assert not any("two have" in str(beat.cause) for beat in line.heartbeats[before:])
    finally:
        for gate in gates:
            gate.kill()
            gate.wait()


def test_a_required_controller_that_falls_silent_suspends_the_line_until_it_speaks() -> None:
    with running_line(*SMALL, "--rate", "20/s", "--require", "gate1") as line, line.asking() as ask:
        line.until_state(State.SUSPENDED)
        assert not line.verdicts, "the source waits for the controller"
        ask(Hello(client="gate1"))
        line.until_state(State.EXECUTING)
        line.until_state(State.SUSPENDED)
        while not line.verdicts or line.verdicts[-1].reason is not Reason.SUSPENDED:
            line.until(len(line.verdicts) + 1)  # parts that were accepted before are still judged
        judged = len(line.verdicts)
        line.until(judged + 10)
        ask(Ping(nonce=1))
        line.until_state(State.EXECUTING)
        while line.verdicts[-1].score is None:
            ask(Ping(nonce=2))
            line.until(len(line.verdicts) + 1)
        stopped(line)
    assert [v.seq for v in line.verdicts] == list(range(1, len(line.verdicts) + 1))
    meanwhile = line.verdicts[judged - 1 : judged + 10]
    assert {v.reason for v in meanwhile} == {Reason.SUSPENDED}, "a part that nobody sorts out is no good part"
    assert all(v.detail and "gate1" in v.detail for v in meanwhile)


def test_a_stored_source_waits_while_a_required_controller_is_missing() -> None:
    with running_line(*SMALL, "--limit", 400, "--require", "gate1") as line, line.asking() as ask:
        line.until_state(State.SUSPENDED)
        for number in range(3):
            ask(Hello(client="gate1"))
            line.until_state(State.EXECUTING)
            if number < 2:
                line.until_state(State.SUSPENDED)
        while len(line.verdicts) < 400:
            ask.socket.send(Ping(nonce=1).model_dump_json().encode())  # a station that has just ended answers nothing
            line.until(len(line.verdicts) + 1)
    assert Reason.SUSPENDED not in {v.reason for v in line.verdicts}


def test_an_idle_line_proves_that_its_model_works() -> None:
    with running_line(*SMALL, "--rate", "30/s", "--trigger", "external") as line:
        line.until_state(State.READY)
        ages = []
        for message in line._receive():
            if isinstance(message, Heartbeat):
                assert message.loop_age_ms is not None
                ages.append(message.loop_age_ms)
                if len(ages) > 1 and ages[-1] < ages[-2]:
                    break
        assert stopped(line)["restarts"] == 0


def test_an_idle_line_whose_model_hangs_is_no_longer_ready_and_replaces_it() -> None:
    with running_line(*SMALL, "--rate", "30/s", "--trigger", "external") as line:
        line.until_state(State.READY)
        os.kill(line.child("edge-inference"), signal.SIGSTOP)
        line.until_state(State.HELD)
        line.until_state(State.READY)
        assert stopped(line)["restarts"] == 1


def test_a_required_controller_that_nobody_can_be_is_refused_in_one_line() -> None:
    done = ran("run", "--source", "demo", "--no-records", "--bind", free_endpoint(), "--require", "gate 1")
    assert done.returncode == 2
    assert "'gate 1'" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_every_port_of_a_station_is_tried_again_and_named_if_it_stays_in_use() -> None:
    with contextlib.ExitStack() as stack:
        stations = []
        for offset in (0, CONTROL, VIEWERS):
            endpoint = free_endpoint()
            taken = neighbour_endpoint(endpoint, offset)
            holder = stack.enter_context(network.socket())
            holder.bind(("127.0.0.1", int(taken.rpartition(":")[2])))
            holder.listen()
            run = command("run", "--source", "demo", "--bind", endpoint)
            station = stack.enter_context(subprocess.Popen(run, stderr=subprocess.PIPE, text=True))
            stations.append((taken, station))
        for _, station in stations:
            stack.callback(station.kill)
        for taken, station in stations:
            _, said = station.communicate(timeout=60)
            assert station.returncode == 75, "a service manager is to start it again"
            tried, failed = said.strip().splitlines()
            assert f"{taken} is in use" in tried
            assert tried.endswith("trying again for 5 s")
            assert f"error: {taken} is in use" in failed


def test_a_station_waits_for_its_predecessor_to_leave_the_port() -> None:
    endpoint = free_endpoint()
    with network.socket() as holder:
        holder.bind(("127.0.0.1", int(endpoint.rpartition(":")[2])))
        holder.listen()
        options = ("--source", "demo", "--size", "320x180", "--limit", 3, "--no-records", "--bind", endpoint)
        process = subprocess.Popen(command("run", *options), stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        assert any("trying again" in line for line in process.stderr)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said


def test_an_ipc_station_is_for_its_own_user_and_leaves_what_is_not_its_own(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    path = f"ipc://{tmp_path}/line"
    options = ("--source", "demo", "--size", "320x180", "--rate", "5/s", "--no-records", "--bind", path)
    with subprocess.Popen(command("run", *options), stderr=subprocess.DEVNULL) as first:
        listener = Subscriber(path, "line1")
        assert next(listener.messages(20), None) is not None
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
        assert modes == {"line": 0o600, "line.control": 0o600, "line.viewers": 0o600}
        second = ran("run", *options)
        assert second.returncode == 75
        assert f"{path} is in use" in second.stderr
        assert next(listener.messages(20), None) is not None, "the first one still speaks"
        first.kill()
    listener.close()
    assert (tmp_path / "line").exists(), "a killed station leaves its socket behind"
    done = ran("run", *options, "--limit", 3)
    assert done.returncode == 0, done.stderr
    (tmp_path / "line").unlink(missing_ok=True)
    (tmp_path / "line").write_text("a recipe")
    done = ran("run", *options)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "is no socket" in done.stderr
    assert (tmp_path / "line").read_text() == "a recipe"


def test_an_ipc_path_where_others_can_put_their_own_socket_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    done = ran("run", "--source", "demo", "--bind", f"ipc://{tmp_path}/line")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "other users can write" in done.stderr
