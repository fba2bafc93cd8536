"""Streams: the newest picture with its true age, from a server that is killed, stopped or slow; passwords are
hidden.
"""

import contextlib
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice, pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.line import ran, running_line
from support.picture_clock import MODULUS, age_ms, drawn, now_ms, shown_ms
from support.rtsp import Server, serving

from edge.errors import SourceError
from edge.sources import Capture, Source, SourceRequest, camera_clock, connection, open_source
from edge.sources import stream as streams
from edge.sources.address import redacted
from edge.sources.camera_clock import CameraClock
from edge.verdict import Reason, State

MS = 1_000_000
PASSWORD = "hunter2"


@pytest.fixture
def camera() -> Iterator[Server]:
    """An undisturbed camera, one per test: a server that stops its pipeline for one client may fail the next."""
    with serving() as server:
        yield server


@contextmanager
def opened(address: str, **options: object) -> Iterator[Source]:
    source = open_source(SourceRequest(address, **options))  # type: ignore[arg-type]
    try:
        yield source
    finally:
        source.close()


def error_ms(capture: Capture) -> int:
    """Milliseconds from the drawing of a picture to its stamp."""
    assert capture.captured_ns is not None
    return (capture.captured_ns // MS - shown_ms(capture.frame) + MODULUS // 2) % MODULUS - MODULUS // 2


# ---- pictures


@pytest.mark.parametrize("codec", ["h264", "jpeg"])
def test_pictures_come_in_order_each_stamped_when_it_was_drawn(codec: str) -> None:
    with serving("--codec", codec) as server, opened(server.url) as source:
        assert (source.name, source.shape) == (server.url, (360, 640))
        assert source.live
        assert source.free_running
        captures = list(islice(source.captures(), 40))
    assert all(c.frame is not None and c.frame.shape == (360, 640, 3) and c.frame.flags.c_contiguous for c in captures)
    assert all(a.index < b.index and shown_ms(a.frame) < shown_ms(b.frame) for a, b in pairwise(captures))
    assert abs(statistics.median(map(error_ms, captures))) < 20


def test_udp_is_asked_for_in_the_address(camera: Server) -> None:
    with opened(f"{camera.url}?transport=udp") as source:
        assert [c.frame is not None for c in islice(source.captures(), 5)] == [True] * 5


def test_who_asks_seldom_gets_new_pictures() -> None:
    with serving("--keys", 100) as server, opened(server.url) as source:
        captures = source.captures()
        ages = []
        for _ in range(6):
            time.sleep(0.8)
            ages.append(age_ms(next(captures).frame))
    assert max(ages) < 1600, "in order, without leaving any out, some would be 3 s old"


def test_a_stream_goes_on_where_the_one_before_it_stopped_and_keeps_its_limit(camera: Server) -> None:
    with opened(camera.url, start=100, limit=110) as source:
        indices = [c.index for c in source.captures()]
    assert indices == sorted(set(indices))
    assert indices
    assert set(indices) <= set(range(100, 110))


def test_what_was_held_up_is_stamped_as_old_as_it_is() -> None:
    with serving() as server, opened(server.url) as source:
        captures = source.captures()
        next(captures)
        server.freeze()
        time.sleep(1.5)
        server.thaw()
        later = list(islice(captures, 30))
    assert max(map(error_ms, later)) < 500, "a picture from before the pause, stamped as new, would be 1500 ms off"


class StalledProxy:
    """Forwards bytes to a camera and back. Bytes that arrive during a stall are forwarded afterwards, all at once.

    A first stall of `first_s` begins when the camera has answered the request to play.
    """

    def __init__(self, port: int, first_s: float = 0) -> None:
        self._first_s = first_s
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.flows = threading.Event()
        self.flows.set()
        threading.Thread(target=self._serve, args=(port,), daemon=True).start()

    def _serve(self, port: int) -> None:
        client, _ = self._listener.accept()
        camera = socket.create_connection(("127.0.0.1", port))
        threading.Thread(target=self._pass_on, args=(client, camera, False), daemon=True).start()
        self._pass_on(camera, client, True)

    def _pass_on(self, giver: socket.socket, taker: socket.socket, stalls: bool) -> None:
        with contextlib.suppress(OSError):
            while data := giver.recv(65536):
                if stalls:
                    self.flows.wait()
                taker.sendall(data)
                if b"RTP-Info" in data:
                    time.sleep(self._first_s)

    def close(self) -> None:
        self._listener.close()


def test_a_burst_after_a_pause_is_not_taken_for_new(camera: Server) -> None:
    port = int(camera.url.split(":")[2].split("/")[0])
    proxy = StalledProxy(port)
    with opened(camera.url.replace(str(port), str(proxy.port))) as source:
        captures = source.captures()
        next(captures)
        proxy.flows.clear()
        time.sleep(0.6)
        proxy.flows.set()
        later = list(islice(captures, 20))
    proxy.close()
    assert statistics.median(map(abs, map(error_ms, later))) < 20
    assert max(map(error_ms, later)) < 300


def test_old_pictures_at_the_beginning_are_passed_over(camera: Server) -> None:
    port = int(camera.url.split(":")[2].split("/")[0])
    proxy = StalledProxy(port, first_s=1.5)
    with opened(camera.url.replace(str(port), str(proxy.port))) as source:
        first = next(source.captures())
    proxy.close()
    assert error_ms(first) < 300


def test_a_new_connection_is_listened_to_before_a_picture_is_taken(
    camera: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera_clock, "SETTLED_MS", 2500)
    before = time.monotonic()
    with opened(camera.url):
        assert time.monotonic() - before > 2.4


# ---- the camera's clock


def heard(clock: CameraClock, packets: list[tuple[float, float]]) -> None:
    for stamp_ms, arrived_ms in packets:
        clock.record(round(stamp_ms * MS), round(arrived_ms * MS))


def test_a_connection_that_begins_with_old_pictures_settles_when_they_are_over() -> None:
    clock = CameraClock(is_known=True, is_held_back=False)
    heard(clock, [(40 * n, 10_000 + n) for n in range(50)])
    assert not clock.is_settled
    heard(clock, [(40 * n, 10_050 + 40 * (n - 49)) for n in range(50, 55)])
    assert not clock.is_settled
    heard(clock, [(40 * n, 10_050 + 40 * (n - 49)) for n in range(55, 65)])
    assert clock.is_settled
    assert clock.moment_ns(49 * 40 * MS, 10_049 * MS) == 10_049 * MS
    assert clock.moment_ns(0, 10_049 * MS) == pytest.approx((10_049 - 49 * 40) * MS, abs=2 * MS)


def test_a_packet_that_is_held_back_until_the_next_begins_is_stamped_when_it_came() -> None:
    clock = CameraClock(is_known=True, is_held_back=True)
    heard(clock, [(40 * n, 5000 + 40 * (n + 1)) for n in range(20)])
    assert clock.moment_ns(40 * 19 * MS, (5000 + 40 * 20) * MS) == pytest.approx((5000 + 40 * 19) * MS, abs=MS)


@pytest.mark.parametrize("drift", [-100e-6, 100e-6])
def test_clocks_that_part_as_crystals_do_are_followed(drift: float) -> None:
    clock = CameraClock(is_known=True, is_held_back=False)
    ticks = range(0, 3_600_000, 1000)
    heard(clock, [(tick * (1 + drift), 1000 + tick) for tick in ticks])
    last = ticks[-1]
    assert clock.moment_ns(round(last * (1 + drift) * MS), (1500 + last) * MS) == pytest.approx(
        (1000 + last) * MS, abs=2 * MS
    )


def test_a_camera_that_sets_its_clock_back_is_followed() -> None:
    clock = CameraClock(is_known=True, is_held_back=False)
    heard(clock, [(90_000 + 40 * n, 1000 + 40 * n) for n in range(10)])
    heard(clock, [(40 * n, 1400 + 40 * n) for n in range(10)])
    assert clock.moment_ns(360 * MS, 1760 * MS) == 1760 * MS


@pytest.mark.parametrize("set_by_ms", [-90_000, 90_000], ids=["back", "forward"])
def test_after_a_camera_has_set_its_clock_nothing_counts_before_pictures_come_steadily(set_by_ms: int) -> None:
    clock = CameraClock(is_known=True, is_held_back=False)
    heard(clock, [(100_000 + 40 * n, 1000 + 40 * n) for n in range(20)])
    assert clock.is_settled
    began = 101_000 + set_by_ms
    heard(clock, [(began + 40 * n, 3000 + n) for n in range(30)])
    assert not clock.is_settled, "these were held up, and by how long the first of them was nobody knows"
    heard(clock, [(began + 40 * n, 3030 + 40 * (n - 29)) for n in range(30, 45)])
    assert clock.is_settled
    assert clock.moment_ns(began * MS, 3000 * MS) == pytest.approx((3030 - 29 * 40) * MS, abs=2 * MS)


def test_a_stream_stays_settled_when_the_way_grows_shorter_bit_by_bit() -> None:
    clock = CameraClock(is_known=True, is_held_back=False)
    heard(clock, [(40 * n, 5000 + 40 * n) for n in range(20)])
    for n in range(20, 3000):
        clock.record(40 * n * MS, round((5000 + 40 * n * 0.999) * MS))
        assert clock.is_settled


def test_without_the_cameras_stamps_a_held_back_picture_is_as_old_as_when_it_came() -> None:
    clock = CameraClock(is_known=False, is_held_back=True)
    came = [clock.record(None, (5000 + 200 * n) * MS) for n in range(5)]
    assert came[1:] == [(5000 + 200 * n) * MS for n in range(4)]
    assert clock.moment_ns(None, came[4]) == 5600 * MS


def test_no_picture_is_given_while_its_age_cannot_be_known(camera: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([False, False, False, True])
    with opened(camera.url) as source:
        monkeypatch.setattr(CameraClock, "is_settled", property(lambda clock: next(answers)))
        next(source.captures())
    assert next(answers, None) is None


def test_stamps_that_are_not_the_cameras_say_nothing() -> None:
    clock = CameraClock(is_known=False, is_held_back=False)
    heard(clock, [(100 * n, 1000 + 40 * n) for n in range(50)])
    assert clock.is_settled
    assert clock.moment_ns(0, 9000 * MS) == 9000 * MS


def test_a_stream_that_falls_behind_for_good_is_given_up(camera: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(camera.url) as source:
        monkeypatch.setattr(CameraClock, "moment_ns", lambda clock, stamp_ns, arrived_ns: arrived_ns - 5_000 * MS)
        with pytest.raises(SourceError, match="does not catch up"):
            for _ in source.captures():
                pass


# ---- ends of a stream


def test_a_server_that_is_killed_ends_the_stream() -> None:
    with serving() as server, opened(server.url) as source:
        captures = source.captures()
        next(captures)
        server.kill()
        with pytest.raises(SourceError, match="rtsp://127"):
            for _ in captures:
                pass


def test_a_read_that_never_returns_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "READ_S", 1.0)
    with serving() as server, opened(server.url) as source:
        captures = source.captures()
        next(captures)
        server.freeze()
        with pytest.raises(SourceError, match="silent for 1 s"):
            for _ in captures:
                pass


def test_a_camera_that_accepts_and_says_nothing_does_not_hang_the_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "OPEN_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"rtsp://127.0.0.1:{listener.getsockname()[1]}/line"
        with pytest.raises(SourceError, match="silent for 1 s"):
            open_source(SourceRequest(url))


# ---- other streams


class LossySocket:
    """A file object that sends a stream as datagrams. After the first 200, every `loses`-th datagram is lost."""

    def __init__(self, port: int, loses: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._to, self._loses, self._count = ("127.0.0.1", port), loses, 0

    def write(self, data: bytes) -> int:
        for start in range(0, len(data), 1316):
            self._count += 1
            if self._count < 200 or self._count % self._loses:
                self._socket.sendto(bytes(data[start : start + 1316]), self._to)
        return len(data)


SIZE = (360, 640)
SCENE = np.random.default_rng(0).integers(60, 200, (45, 80), np.uint8).repeat(8, 0).repeat(8, 1)


def scene(drawn_ms: int) -> np.ndarray:
    """A moving landscape with grey values 60 to 199."""
    return np.roll(SCENE, drawn_ms // 40 * 3 % SIZE[1], axis=1)


def send_landscape(port: int, loses: int, is_over: threading.Event) -> None:
    """H.264 in MPEG-TS at 25 pictures a second; below the clock the landscape that belongs to its time."""
    import av

    container = av.open(LossySocket(port, loses), "w", format="mpegts")
    video = container.add_stream("libx264", rate=25, options={"tune": "zerolatency", "preset": "ultrafast"})
    video.height, video.width = SIZE
    video.gop_size, video.bit_rate, video.codec_context.time_base = 10, 3_000_000, Fraction(1, 1000)
    began_ms = now_ms()
    while not is_over.wait(0.04):
        drawn_ms = now_ms()
        planes = drawn(scene(drawn_ms).tobytes() + bytes([128]) * (SIZE[0] * SIZE[1] // 2), SIZE[1])
        frame = av.VideoFrame.from_ndarray(np.frombuffer(planes, np.uint8).reshape(-1, SIZE[1]), format="yuv420p")
        frame.pts, frame.time_base = drawn_ms - began_ms, Fraction(1, 1000)
        container.mux(video.encode(frame))


def is_whole(frame: np.ndarray) -> bool:
    """Whether every block of the frame's landscape belongs to the time of the frame's clock."""
    grey = frame[40:].mean(axis=2) * 219 / 255 + 16
    try:
        difference = np.abs(grey - scene(shown_ms(frame))[40:])
    except AssertionError:
        return False
    return bool(difference.reshape(-1, 8, 80, 8).mean(axis=(1, 3)).max() < 40)


def test_of_lost_packets_nearly_every_damaged_picture_is_a_fault() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    is_over = threading.Event()
    sender = threading.Thread(target=send_landscape, args=(port, 97, is_over), daemon=True)
    sender.start()
    try:
        with opened(f"udp://127.0.0.1:{port}") as source:
            captures = list(islice(source.captures(), 120))
    finally:
        is_over.set()
        sender.join()
    given = [c.frame for c in captures if c.frame is not None]
    assert all(c.fault and c.fault.reason is Reason.CORRUPT for c in captures if c.frame is None)
    assert 10 < len(given) < len(captures)
    assert sum(not is_whole(frame) for frame in given) <= 6, "half of all, if nobody looked for signs of loss"


def test_hls_is_refused_because_it_shows_the_past(tmp_path: Path) -> None:
    import av

    with av.open(str(tmp_path / "live.m3u8"), "w", format="hls") as container:
        video = container.add_stream("libx264", rate=25)
        video.height, video.width = 64, 64
        for _ in range(50):
            container.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="bgr24")))
        container.mux(video.encode(None))
    folder = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    server = ThreadingHTTPServer(("127.0.0.1", 0), folder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with pytest.raises(SourceError, match="HLS shows what was seconds ago"):
        open_source(SourceRequest(f"http://127.0.0.1:{server.server_port}/live.m3u8"))
    server.shutdown()


@contextmanager
def webcam(pictures: Callable[[int], bytes], onward: str | None = None) -> Iterator[str]:
    """Address of a camera that sends 50 JPEGs per second over HTTP; with `onward` it only redirects to that address."""

    class Camera(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if onward is not None and self.path == "/":
                self.send_response(302)
                self.send_header("Location", onward)
                self.end_headers()
                return
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            for n in range(400):
                jpeg = pictures(n)
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                try:
                    self.wfile.write(head.encode() + jpeg + b"\r\n")
                except OSError:
                    return
                time.sleep(0.02)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Camera)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


LANDSCAPE = np.random.default_rng(1).integers(0, 256, (30, 40, 3), np.uint8).repeat(4, 0).repeat(4, 1)


def web_picture(number: int) -> bytes:
    """A JPEG whose pixels encode its number."""
    picture = LANDSCAPE.copy()
    picture[:16] = 4 * (number % 60)
    return cv2.imencode(".jpg", picture)[1].tobytes()


def test_jpegs_over_http_are_stamped_as_they_arrive() -> None:
    with webcam(web_picture) as url, opened(url) as source:
        before_ns = time.monotonic_ns()
        captures = list(islice(source.captures(), 10))
    assert source.shape == (120, 160)
    assert all(c.frame is not None for c in captures)
    assert all(c.captured_ns is not None and c.captured_ns > before_ns - 1000 * MS for c in captures)
    assert all(a.captured_ns < b.captured_ns for a, b in pairwise(captures))  # type: ignore[operator]


def test_of_damaged_jpegs_over_http_none_is_shown_and_whole_ones_are() -> None:
    def pictures(number: int) -> bytes:
        whole = web_picture(number)
        return whole if number % 2 else whole[: len(whole) // 2] + whole[len(whole) // 2 + 200 :]

    with webcam(pictures) as url, opened(url) as source:
        captures = list(islice(source.captures(), 40))
    shown = [round(float(c.frame[:8].mean()) / 4) for c in captures if c.frame is not None]
    assert shown
    assert all(number % 2 for number in shown), "the others are damaged"
    told = [c.fault for c in captures if c.frame is None]
    assert told
    assert all(fault is not None and fault.reason is Reason.CORRUPT for fault in told)


def test_a_webcam_that_pads_its_jpegs_with_zeros_is_shown() -> None:
    with webcam(lambda number: web_picture(number)[:-2] + bytes(9) + b"\xff\xd9") as url, opened(url) as source:
        captures = list(islice(source.captures(), 10))
    assert all(c.frame is not None for c in captures)


def test_a_server_that_sends_on_is_followed_to_its_own_host_only() -> None:
    with webcam(web_picture, onward="/video") as url, opened(url) as source:
        assert next(source.captures()).frame is not None
    elsewhere = r"it redirects to http://localhost:9/, another host; give that address"
    with (
        webcam(web_picture, onward="http://localhost:9/") as url,
        pytest.raises(SourceError, match=elsewhere) as refused,
    ):
        open_source(SourceRequest(url))
    assert "\n" not in str(refused.value)
    with webcam(web_picture, onward="/") as url, pytest.raises(SourceError, match="more than 5 redirects"):
        open_source(SourceRequest(url))


def test_a_camera_that_was_lost_is_waited_for_and_opened_when_its_port_answers() -> None:
    with serving() as server:
        server.kill()
        with pytest.raises(SourceError, match="nothing answers"):
            open_source(SourceRequest(server.url))
        with ThreadPoolExecutor(1) as pool:
            opening = pool.submit(open_source, SourceRequest(server.url, is_lost=True))
            time.sleep(0.5)
            assert not opening.done()
            server.start()
            source = opening.result()
        assert next(iter(source.captures())) is not None
        source.close()


@pytest.mark.parametrize("address", ["rtsp://127.0.0.1:9/line", "http://127.0.0.1:9/", "rtsp://nobody.invalid/line"])
def test_a_camera_that_was_lost_is_not_waited_for_without_end(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "RECONNECT_S", 0.2)
    with pytest.raises(SourceError, match=r"nothing answers|cannot be reached"):
        open_source(SourceRequest(address, is_lost=True))


def test_nobody_knocks_at_what_answers_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.create_connection", lambda *_: pytest.fail("a sender over UDP is deaf"))
    connection._wait_for_port("udp://127.0.0.1:5000", 8.0)


# ---- through a station


def test_a_station_holds_while_the_camera_is_gone_and_goes_on_when_it_is_back() -> None:
    with serving() as server, running_line("--source", server.url) as line:
        line.until(10)
        server.kill()
        line.until_state(State.HELD)
        server.start()
        line.until_state(State.EXECUTING)
        line.until(len(line.verdicts) + 10)
    assert [v.seq for v in line.verdicts] == list(range(1, len(line.verdicts) + 1))
    assert len({v.epoch for v in line.verdicts}) == 1
    assert any(b.cause and b.cause.startswith("camera") for b in line.heartbeats if b.state is State.HELD)


def test_a_station_notices_a_frozen_camera_and_goes_on_when_it_thaws() -> None:
    with serving() as server, running_line("--source", server.url) as line:
        line.until(10)
        server.freeze()
        line.until_state(State.HELD)
        frozen_ns = line.heartbeats[-1].sent
        server.thaw()
        line.until_state(State.EXECUTING)
        line.until(len(line.verdicts) + 10)
    after = [v for v in line.verdicts if v.timing.published > frozen_ns]
    assert len(after) >= 10
    assert all(v.timing.captured > frozen_ns for v in after if v.score is not None), "none from before the pause"


# ---- errors of the user


MISTAKES = {
    "rtsp://admin:{password}@127.0.0.1:9/line": "nothing answers at this host and port",
    "{camera}/nowhere": "no stream of this path",
    "{locked}": "user and password are missing or wrong",
    "rtsp://nobody.invalid/line": "the host cannot be reached",
    "rstp://admin:{password}@127.0.0.1/line": "no stream begins with rstp://; give rtsp://",
    "srt://127.0.0.1:9?passphrase={password}": "no stream begins with srt://",
    "{camera}?transport=tpc": "transport is tcp or udp",
    "rtsp://": "rtsp://",
    "rtsp://[::1/line": "rtsp://",
}


@pytest.mark.parametrize("address", MISTAKES)
def test_a_wrong_address_is_one_line_without_the_password(address: str, camera: Server) -> None:
    with serving("--login", "admin:letmein") as locked:
        wrong = locked.url.replace("rtsp://", f"rtsp://admin:{PASSWORD}@")
        name = address.format(password=PASSWORD, camera=camera.url, locked=wrong)
        with pytest.raises(SourceError) as refusal:
            open_source(SourceRequest(name))
    assert MISTAKES[address] in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert PASSWORD not in str(refusal.value)


def test_a_size_cannot_be_asked_of_a_stream(camera: Server) -> None:
    with pytest.raises(SourceError, match="set it there"):
        open_source(SourceRequest(camera.url, size=(720, 1280)))


def test_a_camera_that_was_never_there_ends_the_command() -> None:
    url = f"rtsp://admin:{PASSWORD}@127.0.0.1:9/line"
    done = ran("run", "--source", url, "--no-records")
    assert done.returncode == 2
    assert "***@127.0.0.1:9/line" in done.stderr
    assert "nothing answers" in done.stderr
    assert PASSWORD not in done.stdout + done.stderr


# ---- passwords


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://cam.local:554/Streaming/Channels/101", "rtsp://cam.local:554/Streaming/Channels/101"),
        ("rtsp://admin:hunter2@cam/line", "rtsp://***@cam/line"),
        ("RTSP://admin@cam/line", "RTSP://***@cam/line"),
        ("rtsp://admin:hun/ter@2@cam/line", "rtsp://***@cam/line"),
        ("rtsp://cam/?user=admin&password=hunter2&channel=1", "rtsp://cam/?user=***&password=***&channel=1"),
        ("rtsp://cam/user=admin_password=hunter2_channel=1.sdp", "rtsp://cam/user=***"),
        ("http://cam/video?p=hunter2", "http://cam/video?p=***"),
        ("rtsp://a:hunter2@cam/line?transport=udp", "rtsp://***@cam/line?transport=udp"),
        ("photos/a@b=c", "photos/a@b=c"),
        ("camera0", "camera0"),
        ("genicam:12345", "genicam:12345"),
    ],
)
def test_an_address_is_shown_without_what_opens_it(address: str, shown: str) -> None:
    assert redacted(address) == shown


def test_a_password_is_never_published_stored_or_logged(tmp_path: Path) -> None:
    with serving("--login", f"admin:{PASSWORD}") as server:
        url = server.url.replace("rtsp://", f"rtsp://admin:{PASSWORD}@")
        with running_line("--source", url, "--records", tmp_path) as line:
            line.until(5)
            server.kill()
            line.until_state(State.HELD)
            line.process.terminate()
            line.to_the_end()
    assert line.verdicts[0].source == redacted(url)
    messages = [r.message.model_dump_json() for r in line.received]
    stored = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(PASSWORD in text for text in [*messages, line.stdout, line.stderr])
    assert not any(PASSWORD.encode() in data for data in stored)
