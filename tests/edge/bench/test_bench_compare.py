"""edge-bench compare distinguishes changes from noise, and warns about unreliable comparisons."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from support.benchmark_results import DISTURBANCE, all_times, bare_result, times
from support.line import ran

from edge.bench.compare import compare
from edge.bench.result import Result


def words(before: Result, after: Result, name: str) -> list[str]:
    return [figure.word for pair in compare(before, after).pairs for figure in pair.figures if figure.name == name]


def reshuffled(result: Result, seed: int) -> Result:
    """A simulated second run of the same program, with samples drawn from those of the first run."""
    rng = np.random.default_rng(seed)
    series = [
        one.model_copy(update={"samples_ms": list(rng.choice(one.samples_ms, len(one.samples_ms)))})
        for one in result.series
    ]
    return result.model_copy(update={"series": series})


def test_the_same_program_run_again_is_as_before() -> None:
    assert words(bare_result(), reshuffled(bare_result(), 1), "p50 ms") == ["as before"] * 2


def test_a_program_that_takes_a_third_more_is_slower_and_the_other_way_round_faster() -> None:
    slower = all_times(bare_result(), 1.33)
    assert words(bare_result(), slower, "p50 ms") == ["slower"] * 2
    assert words(slower, bare_result(), "p50 ms") == ["faster"] * 2
    assert words(bare_result(), slower, "frames/s") == ["worse"] * 2


def test_a_change_below_the_floor_is_none_however_sure() -> None:
    flat = bare_result().model_copy(
        update={"series": [one.model_copy(update={"samples_ms": [10.0] * 500}) for one in bare_result().series]}
    )
    assert words(flat, all_times(flat, 1.03), "p50 ms") == ["as before"] * 2
    assert words(flat, all_times(flat, 1.08), "p50 ms") == ["slower"] * 2


def test_of_a_tail_that_so_few_samples_do_not_bound_nothing_can_be_told() -> None:
    assert words(bare_result(), all_times(bare_result(), 1.2), "p99 ms") == ["cannot tell"] * 2
    assert not compare(bare_result(), all_times(bare_result(), 1.001)).is_slower


def test_a_throughput_that_scatters_more_than_it_changed_is_as_before() -> None:
    rng = np.random.default_rng(2)
    one = bare_result().series[0].model_copy(update={"samples_ms": list(rng.lognormal(1, 2, 30)), "frames_per_s": 30.0})
    old, new = (bare_result().model_copy(update={"series": [s]}) for s in (one, times(one, 1.2)))
    assert words(old, new, "frames/s") == ["as before"]


def test_only_the_same_setting_and_pace_are_compared() -> None:
    first, second = bare_result().series
    other = second.model_copy(update={"setting": second.setting.model_copy(update={"threads": 7})})
    found = compare(bare_result(), bare_result().model_copy(update={"series": [first, other]}))
    assert len(found.pairs) == 1
    assert "7 threads" in found.only_after[0]
    assert len(found.only_before) == 1


def test_a_new_export_of_the_bundle_is_compared_and_said() -> None:
    old = bare_result()
    renamed = [one.model_copy(update={"bundle": "demo@ffffffffffff"}) for one in old.series]
    bundles = [one.model_copy(update={"label": "demo@ffffffffffff"}) for one in old.bundles]
    found = compare(old, old.model_copy(update={"series": renamed, "bundles": bundles}))
    assert len(found.pairs) == 2
    assert any("the bundle changed" in doubt for doubt in found.doubts)


def test_another_machine_and_a_disturbed_run_are_said() -> None:
    old = bare_result()
    assert compare(old, old).doubts == ()
    machine = old.machine.model_copy(
        update={"cpu": "Another CPU", "versions": old.machine.versions | {"openvino": "1"}}
    )
    busy = [old.series[0].model_copy(update={"disturbance": DISTURBANCE}), old.series[1]]
    found = compare(old, old.model_copy(update={"machine": machine, "series": busy}))
    assert any("Another CPU" in doubt for doubt in found.doubts)
    assert any("openvino" in doubt and "is 1" in doubt for doubt in found.doubts)
    assert any("1 of 2 measurements were disturbed (others kept 1.5 cores busy)" in doubt for doubt in found.doubts)
    assert [bool(pair.disturbed) for pair in found.pairs] == [True, False]


def compared(*arguments: object) -> "subprocess.CompletedProcess[str]":
    return ran("bench", "compare", *arguments)


def test_the_command_fails_on_slower_only_when_told_to(tmp_path: Path) -> None:
    before, after = tmp_path / "a.json", tmp_path / "b.json"
    before.write_text(bare_result().model_dump_json())
    after.write_text(all_times(bare_result(), 1.5).model_dump_json())
    shown = compared(before, after, "--json")
    assert shown.returncode == 0
    found = json.loads(shown.stdout)
    assert found["slower"] is True
    assert found["pairs"][0]["figures"][0]["ratio"] == pytest.approx(1.5)
    failed = compared(before, after, "--fail-on-slower")
    assert failed.returncode == 1
    assert "slower" in failed.stdout


def test_a_bad_file_is_one_line(tmp_path: Path) -> None:
    good, text, newer = tmp_path / "good.json", tmp_path / "text.json", tmp_path / "newer.json"
    good.write_text(bare_result().model_dump_json())
    text.write_text("no JSON")
    newer.write_text(json.dumps({**json.loads(good.read_text()), "schema_version": 9}))
    for file, why in ((tmp_path / "none.json", "cannot be read"), (text, "no result"), (newer, "schema version 9")):
        done = compared(good, file)
        assert done.returncode == 2
        assert why in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
