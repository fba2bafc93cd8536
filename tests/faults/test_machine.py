"""Faults of the machine: no file descriptors, a stepping wall clock, endless signals."""

import itertools
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.line import DEMO_BUNDLE, ROOT, command, free_endpoint, running_line

from edge.channel.control_messages import Ping, Pong
from edge.channel.subscriber import Subscriber
from edge.verdict import Heartbeat, Outcome, Reason, State, Verdict

LINE = ("--source", "demo", "--size", "320x180")


def test_without_file_descriptors_the_line_is_held_and_goes_on_when_there_are_some() -> None:
    with running_line(*LINE, "--rate", "30/s") as line:
        line.until(5)
        used = len(os.listdir(f"/proc/{line.process.pid}/fd"))
        resource.prlimit(line.process.pid, resource.RLIMIT_NOFILE, (used, 4096))
        os.kill(line.child("edge-inference"), signal.SIGKILL)
        line.until_state(State.HELD)
        held = len(line.heartbeats)
        for message in line._receive():
            assert not (isinstance(message, Verdict) and message.verdict is Outcome.GOOD)
            if len(line.heartbeats) > held + 15:
                break
        assert not any(beat.ready for beat in line.heartbeats[held + 1 :])
        resource.prlimit(line.process.pid, resource.RLIMIT_NOFILE, (4096, 4096))
        line.until_state(State.EXECUTING)
        line.process.send_signal(signal.SIGTERM)
        assert line.to_the_end() == 0, line.stderr
    assert [v.seq for v in line.verdicts] == list(range(1, len(line.verdicts) + 1))


def test_a_thousand_signals_are_one_orderly_stop() -> None:
    with running_line(*LINE, "--rate", "50/s") as line:
        line.until(10)
        for number in range(1000):
            try:
                line.process.send_signal((signal.SIGTERM, signal.SIGINT, signal.SIGHUP)[number % 3])
            except ProcessLookupError:
                break
            time.sleep(0.0005)
        assert line.to_the_end() == 0, line.stderr
    result = json.loads(line.stdout)
    assert result["in_flight"] == 0
    assert result["accepted"] == len(line.verdicts)
    assert "Traceback" not in line.stderr


WALL_CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long offset(void) {  /* seconds, as the file says now */
    char text[32] = {0};
    int file = open(getenv("WALL_CLOCK_OFFSET"), O_RDONLY);
    if (file >= 0) { if (read(file, text, sizeof text - 1) < 0) text[0] = 0; close(file); }
    return atol(text);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (clock == CLOCK_REALTIME) now->tv_sec += offset();
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec precise;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *where) {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (where) *where = precise.tv_sec;
    return precise.tv_sec;
}
"""
"""Source of a library preloaded before the C library: it shifts the wall clock by the amount in a file."""


def test_a_wall_clock_that_steps_by_an_hour_changes_nothing(tmp_path: Path) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("no gcc to build a wall clock that steps")
    offset, library, source = tmp_path / "offset", tmp_path / "wall_clock.so", tmp_path / "wall_clock.c"
    offset.write_text("0")
    source.write_text(WALL_CLOCK)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    environment = os.environ | {"LD_PRELOAD": str(library), "WALL_CLOCK_OFFSET": str(offset)}
    endpoint = free_endpoint()
    listener = Subscriber(endpoint, "line1")
    options = [*LINE, "--rate", "40/s", "--bind", endpoint, "--bundle", DEMO_BUNDLE, "--wait-subscribers", 1]
    process = subprocess.Popen(
        command("run", *options, "--limit", 160, "--budget-ms", 20_000), env=environment, stderr=subprocess.PIPE
    )
    verdicts, beats = [], []
    for received in listener.messages(20):
        match received.message:
            case Verdict():
                verdicts.append(received.message)
                if len(verdicts) in (40, 80):
                    offset.write_text("3600" if len(verdicts) == 40 else "-3600")
            case Heartbeat():
                beats.append(received.message)
            case _ if received.message.state is State.STOPPED:
                break
    listener.close()
    process.communicate(timeout=20)
    labels = [v.time for v in verdicts]
    assert labels != sorted(labels), "the clock of the station has not stepped"
    assert [v.seq for v in verdicts] == list(range(1, 161))
    assert {v.verdict for v in verdicts} >= {Outcome.GOOD, Outcome.REJECT}
    assert {v.reason for v in verdicts if v.verdict is Outcome.UNKNOWN} <= {Reason.OVERLOAD}, "a busy machine"
    assert all(beat.valid_until - beat.sent == 300_000_000 for beat in beats)
    assert max(b.sent - a.sent for a, b in itertools.pairwise(beats)) < 5_000_000_000


def test_a_flood_of_nonsense_on_the_control_socket_costs_no_memory_and_no_verdict() -> None:
    messages = int(os.environ.get("EDGE_FAULT_MESSAGES", 20_000))
    with running_line(*LINE, "--rate", "20/s") as line, line.asking() as flood, line.asking() as ask:
        line.until(5)
        payloads = [b"", b"{", b"\xff" * 64, b'{"type":"ping","nonce":"x"}', b'{"type":"ack"}', b"[" * 3000]
        flood.socket.set_hwm(1000)
        for number in range(messages // 10):
            flood.socket.send(payloads[number % len(payloads)])
        assert isinstance(ask(Ping(nonce=1)), Pong)
        before = memory_kib(line.process.pid)
        for number in range(messages):
            flood.socket.send(payloads[number % len(payloads)])
        assert isinstance(ask(Ping(nonce=2)), Pong)
        assert memory_kib(line.process.pid) < before + 8 * 1024
        line.process.send_signal(signal.SIGTERM)
        assert line.to_the_end() == 0, line.stderr
    result = json.loads(line.stdout)
    assert result["malformed_requests"] > 300, "what is beyond the pace of a peer is not even parsed"
    assert set(result["reasons"]) <= {"clear", "defect", "stopped"}
    assert result["accepted"] == len(line.verdicts)


def memory_kib(pid: int) -> int:
    """Resident memory of a process."""
    fields = dict(row.split(":", 1) for row in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0])


PUBLISHER = """
import sys, time, zmq
from edge.channel.publisher import Publisher
from edge.verdict import Verdict
sys.path.insert(0, {tests!r})
from support.verdicts import verdict

def resident():
    return int(open("/proc/self/status").read().split("VmRSS:")[1].split()[0])

publisher = Publisher(zmq.Context(), "line1", {endpoint!r})
while publisher.subscribers() < 2:
    time.sleep(0.01)
print("both", flush=True)
sys.stdin.readline()
before = most = resident()
for seq in range(1, {count} + 1):
    publisher.send(verdict(seq=seq))
    if seq % 300 == 0:
        most = max(most, resident())
        time.sleep(0.1)
print(most - before)
publisher.close()
"""


def test_a_subscriber_that_never_reads_costs_bounded_memory_and_another_one_loses_nothing() -> None:
    count, endpoint = 30_000, free_endpoint()
    listening = "import sys, zmq; s = zmq.Context().socket(zmq.SUB); s.connect(sys.argv[1]); s.subscribe(b''); input()"
    lazy = subprocess.Popen([sys.executable, "-c", listening, endpoint], stdin=subprocess.PIPE)
    keen = Subscriber(endpoint, "line1")
    script = PUBLISHER.format(tests=str(ROOT / "tests"), endpoint=endpoint, count=count)
    publisher = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert publisher.stdin is not None
    assert publisher.stdout is not None
    assert publisher.stdout.readline() == "both\n"
    lazy.send_signal(signal.SIGSTOP)
    publisher.stdin.write("\n")
    publisher.stdin.flush()
    heard = sum(1 for _ in itertools.islice(keen.messages(30), count))
    out, _ = publisher.communicate(timeout=30)
    lazy.kill()
    lazy.wait()
    assert (heard, keen.missed) == (count, 0)
    assert int(out) < 12 * 1024, "KiB, of 20,000 in all: the queue of a subscriber that reads nothing has an end"
    keen.close()
