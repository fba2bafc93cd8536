"""What a frame costs: the counters count each step once, and the page says what was measured."""

import os
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent

import pytest

from benchmarks.budget import measuring, tracing
from benchmarks.budget.page import render
from benchmarks.budget.processes import MAIN, SUPERVISOR, Usage, between, usage_of
from benchmarks.budget.tracing import STEPS, Traced

ROOT = Path(__file__).parents[2]


def test_the_time_of_a_step_does_not_contain_that_of_the_steps_within(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(measuring.SITE)
    (tmp_path / "work.py").write_text(
        dedent("""\
        import time
        def outer():
            spin(0.02); inner(); inner()
        def inner():
            spin(0.05)
        def spin(seconds):
            ends = time.thread_time() + seconds
            while time.thread_time() < ends: pass
        """)
    )
    steps = {"outer": "work:outer", "inner": "work:inner", "absent": "work:nothing"}
    code = f"from benchmarks.budget import tracing; tracing.STEPS.clear(); tracing.STEPS.update({steps})"
    (tmp_path / "sitecustomize.py").write_text(f"{code}\n{measuring.SITE}")
    environment = os.environ | {tracing.VARIABLE: str(tmp_path), "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    subprocess.run([sys.executable, "-c", "import work; work.outer()"], env=environment, check=True)
    (file,) = tmp_path.glob("*.trace")
    numbers = memoryview(file.read_bytes()).cast("q")
    outer, inner, absent = (Traced(*numbers[at : at + 3]) for at in (0, 3, 6))
    assert (outer.calls, inner.calls, absent.calls) == (1, 2, 0)
    assert 0.019e9 < outer.cpu_ns < 0.05e9
    assert 0.099e9 < inner.cpu_ns < 0.2e9
    assert inner.wall_ns >= inner.cpu_ns * 0.99


def test_every_step_that_this_checkout_has_is_found() -> None:
    """A renamed function would silently be left out of the page."""
    gone = {"send a message", "receive a message"}  # of other checkouts
    code = "import sys, importlib\n" + "\n".join(
        f"m = importlib.import_module({place.split(':')[0]!r})\n"
        f"o = m\nfor n in {place.split(':')[1].split('.')!r}: o = getattr(o, n)"
        for name, place in STEPS.items()
        if name not in gone
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_processor_time_of_threads_is_what_they_used() -> None:
    pids = {os.getpid(): "pytest"}
    before = usage_of(pids)
    begun = time.thread_time_ns()
    while time.thread_time_ns() - begun < 50_000_000:
        pass
    used = between(before, usage_of(pids))[SUPERVISOR, MAIN]
    assert 49_000_000 < used.cpu_ns < 500_000_000


def test_the_page_compares_with_the_other_checkout_round_by_round() -> None:
    def station(cpu_ms: list[float]) -> dict[str, object]:
        row = {"process": "supervisor", "thread": MAIN, "cpu_ms": 0.4, "switches": 2.0}
        step = {"process": "supervisor", "step": "publish", "calls": 1.0, "cpu_us": 50.0, "wall_us": 70.0}
        sizes = {"process": "supervisor", "step": "bytes pickled", "calls": 1.0, "cpu_us": 0.5, "wall_us": 0.0}
        return {
            "cpu_ms": cpu_ms, "archive_ms": [1.0] * 8, "frames_per_s": [90.0] * 8, "p50_ms": [5.0] * 8,
            "p99_ms": [7.0] * 8, "threads": [row], "steps": [step, sizes],
        }  # fmt: skip

    graph = {"cpu_ms": [4.0] * 8, "p50_ms": 4.5, "p99_ms": 5.0, "count": 4, "p50_by_round": [4.4] * 8}
    page = render(
        {
            "size": "1280x720", "rounds": 8, "frames": 100, "threads": 2, "machine": {"cpu": "a processor"},
            "graph": graph | {"p99_by_round": [5.0] * 8}, "app_frames_per_s": [100.0] * 8,
            "stations": {"this": station([5.4, 5.4, 5.5, 5.3] * 2), "other": station([8.0] * 8)},
        }
    )  # fmt: skip
    assert "≤ 0.5 ms | 0.40 ms (0.30–0.40) | yes |" in page
    assert "≥ 0.92 | 0.90 (0.90–0.90) | **no** |" in page
    assert "| now | 0.40 (0.30–0.40) |" in page
    assert "| before | 3.00 (3.00–3.00) |" in page
    assert "| bytes pickled | 500 | 500 |" in page


@pytest.mark.slow
def test_a_short_run_is_measured_traced_and_not() -> None:
    from benchmarks.budget.measuring import Line, run
    from edge.bundle.shipped import DEMO, shipped_bundle

    line = Line(shipped_bundle(DEMO), (180, 320), "openvino", 1, 60)
    plain, traced = run(line), run(line, is_traced=True)
    for spent in (plain, traced):
        assert spent.threads["edge-inference", MAIN].cpu_ns > 0
        assert len(spent.whole_ms) == 60
    assert not plain.steps
    assert traced.steps[SUPERVISOR, "make the verdict"].calls == pytest.approx(60, abs=3)
    assert traced.steps["edge-inference", "graph"].calls == pytest.approx(60, abs=3)
    assert Usage(5, 3) - Usage(2, 1) == Usage(3, 2)
