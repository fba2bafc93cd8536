"""A page beside a running station: events, previews, and a suspension by name."""

import html
import http.client
import json
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import pytest
import zmq
from support.line import Line, command, running_line
from support.records import rows, until

from edge.channel.control_messages import Refused, Resume, Suspend, Suspension
from edge.channel.endpoints import VIEWERS, neighbour_endpoint
from edge.channel.preview import Preview, parse_preview, topic_of
from edge.page.serving import PageServer, PageSettings
from edge.security.roles import Role
from edge.verdict import Outcome, Reason, State, Verdict

SMALL = ("--source", "demo", "--size", "640x360", "--rate", "10/s")


@contextmanager
def page(line: Line, *records: Path) -> Iterator[PageServer]:
    """A page of this station, served until the end of the context."""
    server = PageServer(PageSettings((line.endpoint,), records, serve="127.0.0.1:0"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.stations.get("line1"))
        yield server
    finally:
        server.stop()
        thread.join(30)
    assert not thread.is_alive()


def get(server: PageServer, path: str, cookie: str = "") -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(server.endpoint, timeout=60)
    connection.request("GET", path, headers={"cookie": cookie})
    return connection.getresponse()


def events(answer: http.client.HTTPResponse) -> Iterator[dict[str, str]]:
    """The events of a stream."""
    while line := answer.readline():
        if line.startswith(b"data: "):
            yield json.loads(line[6:])


def test_a_browser_sees_each_part_with_its_picture_and_its_map(tmp_path: Path) -> None:
    with running_line(*SMALL, "--records", tmp_path / "line1") as line, page(line, tmp_path) as server:
        answer = get(server, "/s/line1/events?show=status,last")
        assert answer.status == 200
        shown = ""
        for event in events(answer):
            shown += event.get("status", "") + event.get("last", "")
            line.until(1)
            if "RUNNING" in shown and "preview.jpg" in shown and 'class="heat"' in shown:
                break
        address = html.unescape(re.findall(r'href="(/s/line1/preview[^"]*)"', shown)[-1])
        picture = get(server, address)
        assert picture.read().startswith(b"\xff\xd8\xff")
        answer.close()


def _previews(socket: "zmq.Socket[bytes]", seconds: float) -> list[Preview]:
    found, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        if socket.poll(100):
            topic, *frames = socket.recv_multipart()
            found.append(parse_preview(topic, frames))
    return found


def test_previews_come_while_somebody_subscribes_to_them_and_no_longer(tmp_path: Path) -> None:
    with (
        running_line(*SMALL, "--records", tmp_path / "line1") as line,
        zmq.Context() as context,
        context.socket(zmq.SUB) as socket,
        context.socket(zmq.SUB) as everything,
    ):
        for one in (socket, everything):
            one.set(zmq.LINGER, 0)
            one.connect(neighbour_endpoint(line.endpoint, VIEWERS))
        everything.subscribe(b"")
        line.until(10)
        heard: list[bytes] = []
        while everything.poll(500) and len(heard) < 30:
            heard.append(everything.recv_multipart()[0])
        assert heard, "who listens to everything hears verdicts and heartbeats"
        assert not [topic for topic in heard if topic.startswith(b"evp1-preview")], "but asks for no preview"
        socket.subscribe(topic_of("line1"))
        assert socket.poll(60_000), "no preview came"
        previews = _previews(socket, 2.0)
        assert previews
        for preview in previews:
            about = preview.about
            assert (about.width, about.height) == (640, 360)
            if about.heat is None:  # the part was with the model before previews were due
                continue
            assert len(about.heat.cells) == 2 * about.heat.rows * about.heat.columns
            assert about.heat.width == pytest.approx(640, abs=2 * 640 / about.heat.columns)
        assert any(preview.about.heat for preview in previews)
        socket.unsubscribe(topic_of("line1"))
        while everything.poll(100):
            everything.recv_multipart()
        line.until(10)
        after = [everything.recv_multipart()[0] for _ in range(30)]
        assert len([topic for topic in after if topic.startswith(b"evp1-preview")]) <= 1, "nobody asks any more"


def test_a_person_suspends_and_resumes_a_station_by_name(tmp_path: Path) -> None:
    records = tmp_path / "line1"
    with running_line(*SMALL, "--records", records) as line, page(line, tmp_path) as server:
        line.until(3)
        first = get(server, "/s/line1")
        cookie = (first.headers["set-cookie"] or "").partition(";")[0]
        token = first.read().decode().partition('name="token" value="')[2].partition('"')[0]

        def post(do: str, reason: str) -> int:
            connection = http.client.HTTPConnection(server.endpoint, timeout=60)
            form = urlencode({"token": token, "do": do, "by": "Ana", "reason": reason})
            headers = {
                "cookie": cookie,
                "origin": f"http://{server.endpoint}",
                "content-type": "application/x-www-form-urlencoded",
            }
            connection.request("POST", "/s/line1/hold", form, headers)
            return connection.getresponse().status

        assert post("suspend", "the belt is being cleaned") == 303
        line.until_state(State.SUSPENDED)
        until(lambda: _next(line).reason is Reason.SUSPENDED)  # a part that was accepted before is still judged
        unknown = line.verdicts[-1]
        assert "Ana: the belt is being cleaned" in (unknown.detail or "")
        assert post("resume", "done") == 303
        line.until_state(State.EXECUTING)
        until(lambda: _next(line).verdict is not Outcome.UNKNOWN)
        until(lambda: len(rows(records, "SELECT 1 FROM events WHERE kind = 'operator'")) == 2)
        said = [text for (text,) in rows(records, "SELECT text FROM events WHERE kind = 'operator'")]
        assert said == ["Ana suspends the station: the belt is being cleaned", "Ana resumes the station: done"]


def _next(line: Line) -> Verdict:
    line.until(1)
    return line.verdicts[-1]


def test_only_a_key_that_controls_may_suspend() -> None:
    for request in ("suspend", "resume"):
        assert [role for role in Role if role.may(request)] == [Role.CONTROL]


def test_a_suspension_without_a_name_is_refused() -> None:
    with running_line("--source", "demo", "--size", "320x180", "--rate", "10/s") as line, line.asking() as ask:
        line.until(1)
        for wrong in ('"by": "", "reason": "x"', '"by": "Ana", "reason": ""', '"by": "a\\u001b", "reason": "x"'):
            ask.socket.send(b'{"type": "suspend", %b}' % wrong.encode())
            assert isinstance(ask.next(), Refused)
        assert ask(Suspend(by="Ana", reason="x")) == Suspension(is_suspended=True)
        assert ask(Resume(by="Ana", reason="y")) == Suspension(is_suspended=False)


def test_suspensions_have_a_pace_and_only_changes_are_recorded(tmp_path: Path) -> None:
    records = tmp_path / "line1"
    options = ("--source", "demo", "--size", "320x180", "--rate", "10/s", "--records", records)
    with running_line(*options) as line, line.asking() as ask:
        line.until(1)
        answers = [ask(Suspend(by="Ana", reason="x")) for _ in range(20)]
        assert answers[:10] == [Suspension(is_suspended=True)] * 10
        assert any(isinstance(answer, Refused) and "suspensions a second" in answer.why for answer in answers[10:])
        until(lambda: rows(records, "SELECT 1 FROM events WHERE kind = 'operator'"))
    assert len(rows(records, "SELECT 1 FROM events WHERE kind = 'operator'")) == 1


def asked_for_events(place: str) -> http.client.HTTPResponse:
    """The answer of a page to who wants the events of its last part."""
    connection = http.client.HTTPConnection(place, timeout=60)
    connection.request("GET", "/s/line1/events?show=last")
    return connection.getresponse()


def test_a_page_that_is_frozen_or_killed_changes_nothing_at_the_station(tmp_path: Path) -> None:
    with running_line(*SMALL, "--stale-ms", 20_000, "--records", tmp_path / "line1") as line:
        line.until(1)
        arguments = ("--station", line.endpoint, "--records", tmp_path, "--serve", "127.0.0.1:0")
        process = subprocess.Popen(command("page", *arguments), stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            place = process.stdout.readline().strip().removeprefix("http://").rstrip("/")
            answer = asked_for_events(place)
            while answer.status == 404:  # the page has not heard the station yet
                line.until(len(line.verdicts) + 1)
                answer = asked_for_events(place)
            while b"preview.jpg" not in (said := answer.readline()):
                assert said, "the stream of events has ended"
                line.until(1)
            for number in (signal.SIGSTOP, signal.SIGKILL):
                process.send_signal(number)
                line.until(len(line.verdicts) + 30)
        finally:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        verdicts = line.verdicts
        assert [v.seq for v in verdicts] == list(range(verdicts[0].seq, verdicts[-1].seq + 1))
        assert line.subscriber.missed == 0
        assert line.heartbeats[-1].restarts == 0
