"""The soak test at small size: its report of a run, and its report of a run that lost something."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("onnx")

import numpy as np

from benchmarks.soak.line import Sample
from benchmarks.soak.page import render
from benchmarks.soak.result import Traces, claims, failed, others_between


@pytest.fixture(scope="module")
def soaked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """A small soak run: the path of its page, and its result."""
    folder = tmp_path_factory.mktemp("soak")
    options = ["--verdicts", "2000", "--every", "0.2", "--out", folder / "soak.json"]
    options += ["--docs", folder / "docs", "--work", folder / "work"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.soak", *map(str, options)], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not list((folder / "work").iterdir()), "what is sound is not kept"
    return folder / "docs", json.loads((folder / "soak.json").read_text())


def test_each_verdict_is_read_decided_written_and_acknowledged_once(soaked: tuple[Path, dict]) -> None:
    found = soaked[1]
    assert found["verdicts"] >= 2000
    assert set(found["traces"]) == {
        "read by the gate", "decided by the gate", "verdicts in the journal", "acknowledgements in the journal"
    }  # fmt: skip
    for trace in found["traces"].values():
        assert trace == {"count": found["verdicts"], "lost": 0, "repeated": 0}
    assert found["ledger"]["accepted"] == found["verdicts"] == sum(found["outcomes"].values())
    assert sum(found["gate"]["why"].values()) == found["verdicts"]
    assert found["audit"]["gate"]["passes"] == {"proven": found["gate"]["why"]["clear"]}


def test_a_verdict_that_left_no_trace_is_lost_and_one_that_left_two_is_repeated() -> None:
    traces = Traces(4, {"there": np.array([0, 1, 0, 2, 1]), "nowhere published": np.array([1, 1, 1, 1, 1, 1])})
    assert (traces.lost("there"), traces.repeated("there")) == (1, 1)
    assert (traces.lost("nowhere published"), traces.repeated("nowhere published")) == (0, 2)


def test_a_short_run_claims_nothing_of_memory_and_latency(soaked: tuple[Path, dict]) -> None:
    held = soaked[1]["claims"]
    assert [claim for claim, holds in held.items() if holds is None] == list(held)[-2:]
    assert all(list(held.values())[:-2])


def test_a_busy_machine_claims_nothing_of_latency(soaked: tuple[Path, dict]) -> None:
    busy = soaked[1]["latency"] | {"end": soaked[1]["latency"]["end"] | {"quiet_p99_ms": None}}
    assert (
        claims(soaked[1] | {"verdicts": 1_000_000, "latency": busy})["p99 at the end is within 10 % of the start"]
        is None
    )


def test_a_full_run_fails_for_a_claim_that_is_unknown(soaked: tuple[Path, dict]) -> None:
    assert failed(soaked[1]) == []
    unknown = [claim for claim, holds in soaked[1]["claims"].items() if holds is None]
    assert failed(soaked[1] | {"asked": 1_000_000}) == unknown != []


def test_the_page_says_by_how_much_latency_grew_on_quiet_and_on_all_windows(soaked: tuple[Path, dict]) -> None:
    times = {"p50_ms": 1.0, "max_ms": 3.0, "quiet_windows": 9}
    start = times | {"p99_ms": 2.0, "quiet_p99_ms": 2.0}
    end = times | {"p99_ms": 3.0, "quiet_p99_ms": 2.1}
    page = " ".join(render(soaked[1] | {"latency": {"start": start, "end": end, "all": end}}).split())
    assert "it is +5.0% longer at the end. The p99 of all parts is +50.0% longer." in page


def test_what_other_programs_took_is_known_of_each_window() -> None:
    samples = [
        Sample(at, int(100 * at), {}, {"station": 0.5 * at}, 0.5 * at + (2.0 * (at - 5) if at > 5 else 0.0))
        for at in (0.0, 2.5, 5.0, 7.5, 10.0)
    ]
    assert others_between(samples, 0, 500) == pytest.approx(0.0)
    assert others_between(samples, 600, 900) == pytest.approx(2.0 / (os.cpu_count() or 1))


def test_the_page_and_the_picture_say_what_was_found(soaked: tuple[Path, dict]) -> None:
    docs, found = soaked
    page = (docs / "soak.md").read_text(encoding="utf-8")
    assert f"| read by the gate | {found['verdicts']:,} | 0 | 0 |" in page
    assert "| no verdict is lost | yes |" in page
    assert (docs / "soak.svg").read_text().count("<path") > 10


def test_what_is_not_so_is_not_claimed(soaked: tuple[Path, dict]) -> None:
    sound = soaked[1] | {"verdicts": 1_000_000, "ledger": soaked[1]["ledger"] | {"accepted": 1_000_000}}
    steady = {"p50_ms": 1.0, "p99_ms": 2.0, "max_ms": 3.0, "quiet_p99_ms": 2.0}
    sound["ledger"] |= {"good": 1_000_000, "reject": 0, "unknown": 0}
    sound["latency"] = {"start": steady, "end": steady}
    sound["memory"] = {"station": {"growth": 0.04}, "gate": {"growth": 0.0}}
    assert all(claims(sound).values())
    place = "read by the gate"
    for claim, broken in {
        "no verdict is lost": {"traces": {place: {"count": 1, "lost": 1, "repeated": 0}}},
        "no verdict is repeated": {"traces": {place: {"count": 1, "lost": 0, "repeated": 1}}},
        "the ledger of the last heartbeat balances": {"ledger": sound["ledger"] | {"good": 999_999}},
        "no process was started again": {"restarts": 1},
        "no process grows by more than 5 %": {"memory": {"station": {"growth": 0.06}}},
        "p99 at the end is within 10 % of the start": {
            "latency": {"start": steady, "end": steady | {"quiet_p99_ms": 2.3}}
        },
    }.items():
        assert [name for name, holds in claims(sound | broken).items() if not holds] == [claim]
