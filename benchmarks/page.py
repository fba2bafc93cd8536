"""`python -m benchmarks.page`: what the operator's page costs a station, and how soon a browser shows a verdict.

A station on the rendered line runs all the time. Blocks without and with browsers take turns; a browser is a thread
that hears the events of a first screen and fetches each picture. Then the page is frozen, flooded and killed.
Chromium, if it is installed, measures when a verdict stands on the screen. With `--records` the page starts on a long
journal.
"""

import http.client
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.markdown import machine_words, paragraph, table
from edge.bench import machine
from edge.channel.subscriber import Subscriber
from edge.cli import run_app
from edge.records.journal import open_to_read
from edge.records.summary import extent
from edge.station.part_counts import percentile
from edge.station.process.runner import EdgeRun
from edge.verdict import Verdict

COMMAND = "python -m benchmarks.page"
STATION = "line1"
SETTLE_S = 3.0
SHOWN = "/s/line1/events?show=status,last,tally,pace,alarms,strip"

WATCH = """
window.shown = {};
new MutationObserver(() => {
  const part = document.querySelector('.verdict .part')?.textContent;
  if (part && !(part in window.shown)) window.shown[part] = Date.now();
}).observe(document.querySelector('[data-fragment=last]'), {childList: true, subtree: true, characterData: true});
"""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Listener(threading.Thread):
    """The station's verdicts with their monotonic time of arrival."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(daemon=True)
        self.endpoint, self.missed = endpoint, 0
        self.heard: list[tuple[float, Verdict]] = []
        self._is_over = threading.Event()

    def run(self) -> None:
        """Hear until `close`."""
        subscriber = Subscriber(self.endpoint, STATION)
        while not self._is_over.is_set():
            for received in subscriber.messages(0.2):
                if isinstance(received.message, Verdict):
                    self.heard.append((time.monotonic(), received.message))
                if self._is_over.is_set():
                    break
        self.missed = subscriber.missed
        subscriber.close()

    def close(self) -> None:
        """Hear no more."""
        self._is_over.set()
        self.join()

    def between(self, begin: float, end: float) -> list[Verdict]:
        """The verdicts that came in this time."""
        return [verdict for at, verdict in list(self.heard) if begin <= at < end]


@contextmanager
def served(endpoint: str, records: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A page in a process of its own, and its HOST:PORT."""
    command = [sys.executable, "-m", "edge.cli.page", "--station", endpoint, "--records", str(records)]
    process = subprocess.Popen([*command, "--serve", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().strip().removeprefix("http://").rstrip("/")
    finally:
        process.kill()
        process.wait()


class Browsers:
    """Threads that hear the events of a first screen, and fetch each picture that they name. They have the lowest
    priority: on a line they are other machines.
    """

    def __init__(self, place: str, count: int) -> None:
        """All listen at once."""
        self.events = self.pictures = 0
        self._place, self._is_over = place, threading.Event()
        self._threads = [threading.Thread(target=self._listen, daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _listen(self) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)  # of this thread only
        with suppress(OSError, http.client.HTTPException):
            stream = http.client.HTTPConnection(self._place, timeout=30)
            stream.request("GET", SHOWN)
            answer, shown = stream.getresponse(), ""
            while not self._is_over.is_set() and (line := answer.readline()):
                self.events += line.startswith(b"data: ")
                address = line.partition(b"preview.jpg?n=")[2][:60].partition(b"\\")[0].decode(errors="replace")
                if address and address != shown:
                    shown = address
                    picture = http.client.HTTPConnection(self._place, timeout=30)
                    picture.request("GET", f"/s/line1/preview.jpg?n={address}")
                    picture.getresponse().read()
                    picture.close()
                    self.pictures += 1
            stream.close()

    def close(self) -> None:
        """Close all."""
        self._is_over.set()
        for thread in self._threads:
            thread.join(5)


def ages(verdicts: list[Verdict]) -> dict[str, Any]:
    """Counts, and percentiles of the time from capture to publication."""
    found = sorted(verdict.age_ms for verdict in verdicts)
    unknown = sum(verdict.verdict == "unknown" for verdict in verdicts)
    return {"parts": len(found), "unknown": unknown, "p50_ms": percentile(found, 50), "p99_ms": percentile(found, 99)}


def side_by_side(listener: Listener, place: str, count: int, blocks: int, block_s: float) -> dict[str, Any]:
    """Blocks without and with browsers in turn; p99 of each, and the ratio of all together."""
    found: dict[str, list[list[Verdict]]] = {"without": [], "with": []}
    events = pictures = 0
    for _ in range(blocks):
        for way in ("without", "with"):
            browsers = Browsers(place, count if way == "with" else 0)
            time.sleep(SETTLE_S)
            begin = time.monotonic()
            time.sleep(block_s)
            found[way].append(listener.between(begin, time.monotonic()))
            browsers.close()
            events, pictures = events + browsers.events, pictures + browsers.pictures
    whole = {way: ages([v for block in parts for v in block]) for way, parts in found.items()}
    ratios = [
        (ages(b)["p99_ms"] or 0) / (ages(a)["p99_ms"] or 1)
        for a, b in zip(found["without"], found["with"], strict=True)
    ]
    return {
        **whole,
        "browsers": count,
        "ratio_p99": (whole["with"]["p99_ms"] or 0) / (whole["without"]["p99_ms"] or 1),
        "ratio_p99_by_block": ratios,
        "events": events,
        "pictures": pictures,
    }


def faults(listener: Listener, endpoint: str, records: Path, block_s: float) -> dict[str, Any]:
    """The station's ages while a page is well, frozen, flooded and killed."""
    found = {}
    with served(endpoint, records) as (process, place):
        browsers = Browsers(place, 5)
        time.sleep(SETTLE_S)
        for what in ("well", "frozen", "flooded", "killed"):
            begin = time.monotonic()
            if what == "frozen":
                process.send_signal(signal.SIGSTOP)
            if what == "killed":
                process.kill()
            if what == "flooded":
                process.send_signal(signal.SIGCONT)
                _flood(place, block_s)
            time.sleep(max(0.0, begin + block_s - time.monotonic()))
            found[what] = ages(listener.between(begin, time.monotonic()))
        browsers.close()
    return found


def _flood(place: str, seconds: float) -> None:
    """Requests of all kinds, as fast as they are answered, from a process of low priority."""
    code = (
        "import http.client, os, sys, time\nos.nice(10)\nend = time.monotonic() + float(sys.argv[2])\n"
        "while time.monotonic() < end:\n"
        "    for path in ('/s/line1', '/s/line1/rejects?span=all', '/s/line1/trends?span=month', '/nothing'):\n"
        "        try:\n"
        "            c = http.client.HTTPConnection(sys.argv[1], timeout=5)\n"
        "            c.request('GET', path)\n            c.getresponse().read()\n"
        "        except (OSError, http.client.HTTPException): pass\n"
    )
    subprocess.run([sys.executable, "-c", code, place, str(seconds)], check=True)


def on_screen(listener: Listener, place: str, seconds: float) -> dict[str, Any] | None:
    """Milliseconds from the publication of a verdict until Chromium's page has it; None without Chromium."""
    try:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service
    except ImportError:
        return None
    options = webdriver.ChromeOptions()
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(flag)
    try:
        driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    except Exception as error:
        print(f"Chromium does not start: {str(error).splitlines()[0]}", file=sys.stderr)
        return None
    try:
        driver.get(f"http://{place}/s/line1")
        time.sleep(SETTLE_S)
        driver.execute_script(WATCH)
        begin = time.monotonic()
        time.sleep(seconds)
        published = {v.part: v for v in listener.between(begin, time.monotonic() - 1.0)}
        shown = driver.execute_script("return window.shown")
    finally:
        driver.quit()
    took = sorted(
        shown[part] - datetime.fromisoformat(verdict.time).timestamp() * 1000
        for part, verdict in published.items()
        if part in shown
    )
    skipped = len(published) - len(took)
    return {
        "parts": len(took), "skipped": skipped, "p50_ms": percentile(took, 50), "p95_ms": percentile(took, 95),
        "max_ms": max(took, default=None),
    }  # fmt: skip


def start(endpoint: str, records: Path, times: int = 5) -> dict[str, Any]:
    """Seconds from the start of a page until its first screen is answered, and until it has the shift's counts; then
    milliseconds of an answer.
    """
    first, counted, answers = [], [], []
    for _ in range(times):
        began = time.monotonic()
        with served(endpoint, records) as (_, place):
            while (answer := _get(place, "/s/line1"))[0] != 200:
                time.sleep(0.02)
            first.append(time.monotonic() - began)
            while b"tally" not in answer[1] or b"since this page was started" in answer[1]:
                time.sleep(0.02)
                answer = _get(place, "/s/line1")
            counted.append(time.monotonic() - began)
            for _ in range(20):
                before = time.monotonic()
                _get(place, "/s/line1")
                answers.append((time.monotonic() - before) * 1000)
    answers.sort()
    with closing(open_to_read(records)) as journal:
        verdicts = extent(journal).verdicts
    return {
        "verdicts": verdicts, "first_s": statistics.median(first), "counted_s": statistics.median(counted),
        "answer_p50_ms": percentile(answers, 50), "answer_p95_ms": percentile(answers, 95),
    }  # fmt: skip


def _get(place: str, path: str) -> tuple[int, bytes]:
    try:
        connection = http.client.HTTPConnection(place, timeout=60)
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except OSError:
        return 0, b""


@app.command()
def page(
    rate: Annotated[str, typer.Option(help="Parts of the station.")] = "600/min",
    browsers: Annotated[int, typer.Option(help="Browsers at a time.", min=1)] = 20,
    blocks: Annotated[int, typer.Option(help="Pairs of blocks without and with browsers.", min=1)] = 10,
    block_s: Annotated[float, typer.Option(help="Seconds of a block.", min=1)] = 30.0,
    records: Annotated[Path | None, typer.Option(help="A long record of line1, for the start of a page.")] = None,
    out: Annotated[Path | None, typer.Option(help="JSON file of the figures.")] = None,
    page: Annotated[Path | None, typer.Option(help="Page of the figures, in Markdown.")] = None,
) -> None:
    """Measure, and print tables; the figures of both sides come from one run."""
    figures: dict[str, Any] = {"machine": machine(), "rate": rate, "load": os.getloadavg()[0]}
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / STATION
        station = EdgeRun(source="demo", rate=rate, records=kept, station=STATION, budget_ms=5000)
        listener = Listener(station.endpoint)
        try:
            listener.start()
            while not listener.heard:
                if station.process.poll() is not None:
                    raise typer.BadParameter(station.last_words())
                time.sleep(0.2)
            with served(station.endpoint, kept) as (_, place):
                figures["screen"] = on_screen(listener, place, block_s)
                figures["side_by_side"] = side_by_side(listener, place, browsers, blocks, block_s)
            figures["faults"] = faults(listener, station.endpoint, kept, block_s)
            figures["start"] = start(station.endpoint, records or kept)
        finally:
            listener.close()
            station.stop()
    figures["missed"] = listener.missed
    text = section(figures)
    print(text)
    if page is not None:
        page.write_text(text, encoding="utf-8")
    if out is not None:
        out.write_text(json.dumps(figures, indent=1) + "\n")


def section(figures: dict[str, Any]) -> str:
    """The figures as a page in Markdown."""
    beside, begun, screen = figures["side_by_side"], figures["start"], figures["screen"]
    parts = [
        "# The operator's page\n",
        paragraph(
            f"Written by `{COMMAND}`; no figure on this page was typed by a person. A station of the demonstration "
            f"runs at {figures['rate']} with its records; `edge-page` serves it. {machine_words(figures['machine'])}."
        ),
    ]
    if screen is not None:
        counts = (str(screen["parts"]), str(screen["skipped"]))
        times = (_ms(screen[key]) for key in ("p50_ms", "p95_ms", "max_ms"))
        head = ("publication to Chromium's screen", "parts", "passed over", "p50", "p95", "max")
        parts.append(table(head, [("of a verdict", *counts, *times)]))
    rows = [
        (name, str(one["parts"]), str(one["unknown"]), _ms(one["p50_ms"]), _ms(one["p99_ms"]))
        for name, one in [
            ("without browsers", beside["without"]),
            (f"with {beside['browsers']} browsers", beside["with"]),
            *((f"the page is {what}", one) for what, one in figures["faults"].items()),
        ]
    ]
    parts += [
        table(("capture to verdict", "parts", "unknown", "p50", "p99"), rows),
        paragraph(
            f"With and without browsers in turns. p99 with browsers is {beside['ratio_p99']:.3f} times that without; "
            f"verdicts missed: {figures['missed']}. On a journal of {begun['verdicts']:,} verdicts the first screen is "
            f"there {begun['first_s']:.2f} s after the start of the page, with its counts after "
            f"{begun['counted_s']:.2f} s; an answer takes {_ms(begun['answer_p50_ms'])}, p95 "
            f"{_ms(begun['answer_p95_ms'])}."
        ),
    ]
    return "\n".join(parts)


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} ms"


if __name__ == "__main__":
    run_app(app)
