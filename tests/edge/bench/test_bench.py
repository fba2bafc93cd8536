"""edge-bench on this machine: every setting bare and the whole way, paces, costs, disturbances, and refusals."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from support.line import DEMO_BUNDLE, TILE_BUNDLE, command

import edge.bench.budget
import edge.bench.machine_load
import edge.bench.schedule
import edge.bench.whole_way
from edge.bench.bare_inference import Bare
from edge.bench.budget import Question, answer
from edge.bench.keep_warm import warmths
from edge.bench.machine_load import Watch
from edge.bench.recommendation import choose
from edge.bench.result import Disturbance, Machine, Pace, Result, Series, Setting
from edge.bench.settings_grid import USUAL, Axes, everything, is_of_station, settings
from edge.bench.table import machine_in_words
from edge.bench.whole_way import StationRun, run_station
from edge.bundle import load_bundle
from edge.cli.bench import main
from edge.errors import BundleError
from edge.machine import computes_bf16, cores
from edge.sources import SourceRequest, open_source
from edge.station.process.usage import TICKS_A_SECOND, cpu_s, family, resident_mib

SETTING = Setting(
    artifact="onnxruntime", backend="onnxruntime", precision="f32", threads=1, is_static=True, height=90, width=160
)
SMALL = "--size", "160x90", "--threads", "1"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Function that runs edge-bench in this process: exit code, standard output, standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["edge-bench", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        return int(left.value.code or 0), said.out, said.err

    return run


def simulated_station(bundle: Path, setting: Setting, pace: Pace, frames: int, *_: object, **more: Any) -> StationRun:
    """A calculated station run: latencies of 10 ms up to 2,000 parts a minute, and of 90 ms above that."""
    rate, ran = pace.rate_per_min or 1500, StationRun(cold_start_s=1.0, resident_mib=100.0)
    is_over = more.get("is_over", lambda _: False)
    while ran.parts < frames and not is_over(ran):
        ran.published.append(round(ran.parts * 60e9 / rate))
        ran.samples_ms.append(10.0 if rate <= 2000 else 90.0)
        for stages in ran.stages_ms.values():
            stages.append(ran.samples_ms[-1] / 5)
    return ran


@pytest.fixture
def stations_are_simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (edge.bench.budget, edge.bench.whole_way):
        monkeypatch.setattr(module, "run_station", simulated_station)


def test_every_artifact_is_measured_and_the_fastest_the_whole_way_at_both_paces(
    tmp_path: Path, bench: Callable[..., tuple[int, str, str]]
) -> None:
    out = tmp_path / "result.json"
    code, said, complaints = bench(
        DEMO_BUNDLE, *SMALL, "--precision", "f32", "--quick", "--frames", 30, "--rate", "20/s", "--jitter", "20%",
        "--paced-s", "1", "--out", out, "--json",
    )  # fmt: skip
    assert code == 0, complaints
    result = Result.model_validate_json(said)
    assert Result.model_validate_json(out.read_text()) == result
    (fastest,) = {one.setting.artifact for one in result.series if one.way == "whole way"}
    seen = {(one.setting.artifact, one.way, one.pace.rate_per_min, one.pace.keeps_warm) for one in result.series}
    bare = {("bare", rate, warm) for rate, warm in ((None, False), (1200, False), (1200, True))}
    whole = {("whole way", *one[1:]) for one in bare}
    other = ({"openvino", "onnxruntime"} - {fastest}).pop()
    assert seen == {(fastest, *one) for one in bare | whole} | {(other, "bare", None, False)}
    for one in result.series:
        assert len(one.samples_ms) == (30 if one.pace.rate_per_min is None else 20)
        assert min(one.samples_ms) > 0
        assert one.cpu_s_a_frame is not None
        if one.pace.rate_per_min is not None:
            assert one.frames_per_s < 30, "a line's pace, not as fast as it goes"
            assert one.pace.jitter == 0.2
    for one in (one for one in result.series if one.way == "whole way"):
        sums = [sum(stages) for stages in zip(*one.stages_ms.values(), strict=True)]
        assert sums == pytest.approx(one.samples_ms), "the stages are all of the way"
        assert one.cold_start_s is not None
        assert one.cold_start_s > 0.2
        assert one.resident_mib is not None
        assert 50 < one.resident_mib < 2000
    assert result.machine.cores == cores()
    assert result.bundles[0].simulated


@pytest.mark.usefixtures("stations_are_simulated")
def test_a_rate_that_can_be_held_ends_with_0_and_one_that_cannot_with_1(
    bench: Callable[..., tuple[int, str, str]],
) -> None:
    options = (DEMO_BUNDLE, *SMALL, "--backend", "onnxruntime", "--frames", 10, "--paced-s", 0, "--budget-ms", 50)
    code, said, complaints = bench(*options, "--rate", "1990/min")
    assert code == 0, complaints
    assert "1,990 parts a minute within 50 ms can be held: 0 of 1,000 parts late" in said
    code, said, _ = bench(*options, "--rate", "40/s")
    assert code == 1
    assert "2,400 parts a minute within 50 ms cannot be held: 2 of the first 2 parts late" in said
    assert ": 1,9" in said, "the highest rate, to 3 % below what the station can do"
    code, said, _ = bench(*options, "--json")
    assert code == 0
    (search,) = Result.model_validate_json(said).searches
    assert search.holds_asked is None, "nobody named a rate"
    assert search.best_per_min == pytest.approx(2000, rel=0.03)


def test_real_stations_are_asked_whether_a_rate_can_be_held() -> None:
    bundle = load_bundle(DEMO_BUNDLE)
    lenient = Question(30_000, asked_per_min=300, parts=20, trial_s=0.5)  # slow enough for a busy machine
    search = answer(bundle, SETTING, lenient, top_per_min=6, tell=lambda _: None)
    assert search.holds_asked
    assert search.best_per_min == 300
    (tried,) = search.tried
    assert (tried.parts, tried.late, tried.unanswered) == (20, 0, 0)
    assert tried.p99_9_ms is not None
    strict = Question(0.01, asked_per_min=3000, parts=40, trial_s=0.5)
    search = answer(bundle, SETTING, strict, top_per_min=1_000_000, tell=lambda _: None)
    assert search.holds_asked is False
    assert search.best_per_min is None
    assert [one.parts for one in search.tried] == [1], "it is over with the first late one"
    assert search.tried[0].late + search.tried[0].unanswered == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "Missing argument"),
        (("nosuch.edge",), "nosuch.edge: no such folder"),
        (("tune", "nosuch.edge"), "nosuch.edge: no such folder"),
        (("compare", "nosuch.json", "other.json"), "nosuch.json"),
        (
            (DEMO_BUNDLE, "--rate", "600"),
            "rate '600': a rate is a number more than 0 and a unit",
        ),
        ((DEMO_BUNDLE, "--jitter", "200%"), "jitter '200%'"),
        ((DEMO_BUNDLE, "--idle", "5s"), "idle '5s'"),
        ((DEMO_BUNDLE, "--backend", "tensorrt"), "no artifact 'tensorrt'; the bundle has onnxruntime, openvino"),
        ((DEMO_BUNDLE, "--precision", "f16"), "precision 'f16': give f32, bf16 or int8"),
        ((DEMO_BUNDLE, "--precision", "int8"), "openvino has no int8"),
        ((DEMO_BUNDLE, "--streams", 2, "--threads", 1), "2 streams need a thread each, and there are 1"),
        ((DEMO_BUNDLE, "--shape", "square"), "shape 'square': give static or dynamic"),
        ((DEMO_BUNDLE, "--budget-ms", 0), "budget-ms 0"),
        ((DEMO_BUNDLE, "--budget-ms", 9, "--shape", "dynamic"), "a budget is kept by a station, and none runs"),
        ((DEMO_BUNDLE, "--quick", "--full"), "give one of them"),
        ((DEMO_BUNDLE, "--out", "/nosuch/folder/x.json"), "no such folder: /nosuch/folder"),
        ((DEMO_BUNDLE, "--html", "/proc"), "/proc: cannot be written"),
        ((DEMO_BUNDLE, "--paced-s", "inf"), "paced-s inf"),
        (("tune", DEMO_BUNDLE, "--seconds", "inf"), "seconds inf"),
    ],
)
def test_what_a_person_gets_wrong_is_one_line(
    arguments: tuple[object, ...], says: str, bench: Callable[..., tuple[int, str, str]]
) -> None:
    code, said, complaints = bench(*arguments)
    assert code == 2
    assert said == ""
    (line,) = complaints.splitlines()
    assert line.startswith("error: ")
    assert says in line


def test_the_matrix_is_every_combination_that_can_be() -> None:
    bundle = load_bundle(DEMO_BUNDLE)
    (usual, *others) = settings(bundle, Axes(threads=(2,)), USUAL)
    assert is_of_station(usual)
    assert {one.precision for one in others} <= {"f32", "bf16"}
    assert any(one.precision == "bf16" for one in others) == computes_bf16()
    two = Axes(artifacts=("openvino",), precisions=("f32",), threads=(1, 2), streams=(1, 2), static=(True, False))
    seen = {(one.threads, one.streams, one.is_static) for one in settings(bundle, two, USUAL)}
    assert seen == {(t, s, static) for t, s in ((1, 1), (2, 1), (2, 2)) for static in (True, False)}
    whole = settings(bundle, Axes(), everything())
    assert len({one.height for one in whole}) == 4
    assert len(set(whole)) == len(whole)
    assert all(one.backend == "onnxruntime" for one in whole if one.is_spinning)


def test_a_busy_process_beside_is_noticed() -> None:
    burn = f"{sys.executable} -c 'while True: pass' >/dev/null 2>&1 & echo $!"
    stranger = int(subprocess.check_output(["sh", "-c", burn]))  # not a child of this process: its parent has ended
    try:
        watch = Watch()
        time.sleep(1)
        others = watch.stop()
    finally:
        os.kill(stranger, 9)
    assert others is not None
    assert others.others_cores > 0.3
    assert others.is_disturbed
    assert "other processes kept" in others.said


def test_what_this_process_and_its_children_do_is_not_what_others_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat, own_s = tmp_path / "stat", iter([5.0, 8.0])
    monkeypatch.setattr(edge.bench.machine_load, "STAT", stat)
    monkeypatch.setattr(edge.bench.machine_load, "cpu_s", lambda _: next(own_s))
    core = min(os.sched_getaffinity(0))
    stat.write_text(f"cpu 0 0 0 0 0 0 0 0\ncpu{core} 100 0 0 900 0 0 0 0 0 0\n")
    watch, begun = Watch(), time.monotonic()
    time.sleep(0.5)
    stat.write_text(f"cpu 0 0 0 0 0 0 0 0\ncpu{core} 500 0 100 900 0 0 0 2 0 0\n")
    found = watch.stop()
    took_s = time.monotonic() - begun
    assert found is not None
    assert found.others_cores * took_s == pytest.approx((400 + 100) / TICKS_A_SECOND - 3, rel=0.1)
    assert found.steal_share is not None
    assert found.steal_share * took_s * cores() == pytest.approx(2 / TICKS_A_SECOND, rel=0.1)


def test_the_cost_of_a_process_is_that_of_its_children_too() -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'sum(range(10**8))'])"
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        most, members = 0.0, 0
        while process.poll() is None and most < 0.2:
            most, members = max(most, cpu_s(process.pid)), max(members, len(family(process.pid)))
            time.sleep(0.02)
        resident = resident_mib(process.pid)
    finally:
        process.kill()
        process.wait()
    assert members == 2
    assert most >= 0.2
    assert resident is None or 1 < resident < 500


def test_a_source_with_a_rhythm_stamps_parts_when_they_were_due_and_shows_that_it_lives_in_a_pause() -> None:
    source = open_source(SourceRequest("replay:idle=0.5/0.1", limit=12, rate=50.0, size=(90, 160)))
    captures = list(source.captures())
    source.close()
    stamps = [one.captured_ns for one in captures if one is not None and one.captured_ns is not None]
    gaps = [round((following - one) / 1e6) for one, following in pairwise(stamps)]
    assert gaps == [20, 20, 20, 20, 520, 20, 20, 20, 20, 520, 20]
    assert captures.count(None) >= 4


def test_a_station_lives_through_the_pauses_of_its_line() -> None:
    pace = Pace(rate_per_min=1200, idle_every_s=1.0, idle_s=1.5)
    ran = run_station(load_bundle(DEMO_BUNDLE), SETTING, pace, 25)
    assert len(ran.samples_ms) == 25
    assert ran.unanswered == 0
    longest = max(after - before for before, after in pairwise(ran.published))
    assert longest > 0.5e9, "1.55 s, less what the machine was late before it"


def test_a_line_faster_than_the_model_has_parts_without_an_answer() -> None:
    def is_over(ran: StationRun) -> bool:
        return ran.unanswered > 0

    setting = SETTING.model_copy(update={"height": 720, "width": 1280})
    ran = run_station(load_bundle(DEMO_BUNDLE), setting, Pace(rate_per_min=60_000), 5000, is_over=is_over)
    assert ran.unanswered == 1
    assert ran.parts < 5000


def test_keeping_warm_is_advised_only_beyond_the_noise() -> None:
    def series(samples: list[float], warm: bool) -> Series:
        pace = Pace(rate_per_min=600, keeps_warm=warm)
        known: dict[str, Any] = {"bundle": "demo", "way": "bare", "setting": SETTING, "frames_per_s": 10}
        return Series(pace=pace, samples_ms=samples, cpu_s_a_frame=0.03 if warm else 0.01, **known)

    noisy = [10 + (7 * n % 11) for n in range(200)]
    (same,) = warmths([series(noisy, False), series(noisy[::-1], True)])
    assert not same.pays
    (faster,) = warmths([series(noisy, False), series([one / 2 for one in noisy], True)])
    assert faster.pays
    assert "for 20 ms of processor a part" in faster.words()
    assert ": keeping it warm pays: p50" in faster.words()
    load = Disturbance(others_cores=2, steal_share=None, waiting=None, is_disturbed=True, said="others")
    (doubtful,) = warmths([faster.cool.model_copy(update={"disturbance": load}), faster.warm])
    assert "whether keeping it warm pays is not known, others disturbed the measurements: p50" in doubtful.words()
    (few,) = warmths([series([9.0, 10.0, 11.0], False), series([3.0, 4.0, 5.0], True)])
    assert "p50 -6.00 ms [–, –]" in few.words()
    (slower,) = warmths([series(noisy, False), series([one * 2 for one in noisy], True)])
    assert not slower.pays
    assert warmths([series(noisy, False)]) == []


@pytest.mark.parametrize(
    ("mhz", "says"),
    [((2445.1, 2445.4), ", 2,445 MHz seen, "), ((800.0, 2445.0), ", 800 to 2,445 MHz seen, "), (None, "")],
)
def test_a_clock_that_does_not_change_is_one_number(mhz: tuple[float, float] | None, says: str) -> None:
    known: dict[str, Any] = {"cpu": "X", "cores": 1, "instruction_sets": [], "memory_mib": 1, "versions": {}}
    said = machine_in_words(Machine.model_construct(governor=None, mhz=mhz, **known))
    assert said.startswith("X, 1 core (")
    assert says in said
    assert ("MHz" in said) == (mhz is not None)


def test_a_setting_that_leaves_parts_unanswered_is_not_the_best_however_fast_it_answers_the_others() -> None:
    known: dict[str, Any] = {"bundle": "demo", "way": "whole way", "setting": SETTING, "frames_per_s": 10}
    quick, whole, none = (
        Series(pace=Pace(rate_per_min=600), samples_ms=[ms] * count, unanswered=unanswered, **known)
        for ms, count, unanswered in ((5.0, 500, 1), (9.0, 500, 0), (1.0, 0, 500))
    )
    found = choose([quick, whole, none])
    assert found is not None
    assert found.best is whole
    assert choose([none]) is None
    assert warmths([whole, none.model_copy(update={"pace": Pace(rate_per_min=600, keeps_warm=True)})]) == []


@pytest.mark.usefixtures("stations_are_simulated")
def test_two_bundles_are_measured_in_one_run_and_the_table_shows_both(
    bench: Callable[..., tuple[int, str, str]],
) -> None:
    options = (*SMALL, "--backend", "onnxruntime", "--frames", 10, "--paced-s", 0)
    code, said, complaints = bench(DEMO_BUNDLE, TILE_BUNDLE, *options)
    assert code == 0, complaints
    for name in ("demo@", "magnetic-tile@"):
        assert name in said
    assert said.count("whole way, first verdict 1.0 s after the start, 100 MiB") == 2


@pytest.mark.usefixtures("stations_are_simulated")
def test_a_setting_that_a_runtime_refuses_is_said_and_the_others_are_measured(
    bench: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    refused = {"onnxruntime"}

    def bare(bundle: Any, setting: Setting, pictures: Any) -> Bare:
        if setting.backend in refused:
            raise BundleError("it has no primitive for a pooling")
        return Bare(bundle, setting, pictures)

    monkeypatch.setattr(edge.bench.schedule, "bare", bare)
    options = (DEMO_BUNDLE, *SMALL, "--precision", "f32", "--frames", 10, "--paced-s", 0)
    page = tmp_path / "page.html"
    code, said, complaints = bench(*options, "--html", page)
    assert code == 0, complaints
    words = "onnxruntime, 1 thread: it has no primitive for a pooling"
    assert [line for line in said.splitlines() if line.startswith("NOT MEASURED") and line.endswith(words)]
    assert words in page.read_text()
    assert "openvino, 1 thread" in said
    code, _, complaints = bench(*options, "--backend", "onnxruntime", "--budget-ms", 50, "--rate", "600/min")
    assert code == 2, "what nothing was measured of holds no rate"
    assert complaints.endswith(f"{words}\n")
    assert len(complaints.splitlines()) == 1


def test_a_run_that_is_interrupted_does_not_end_as_if_it_were_done() -> None:
    bench = subprocess.Popen(command("bench", DEMO_BUNDLE, "--quick"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(2)
    bench.send_signal(signal.SIGINT)
    said = bench.communicate(timeout=60)
    assert (bench.returncode, said[0]) == (130, b"")
    assert b"interrupted" in said[1].splitlines()
