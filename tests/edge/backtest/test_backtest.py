"""Frames of a record judged again: the same scores as on the line, flips, truth, interruptions, and what is refused."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.kind_bundle import KINDS, kind_bundle
from support.line import DEMO_BUNDLE, command, ran, run
from support.other_bundle import other_bundle
from support.records import rows, spoil, until
from support.reviewed import record_of, scored

from edge.backtest import judging, local
from edge.backtest.items import Item, read_items
from edge.backtest.judging import judge_chunk
from edge.backtest.plan import Judge, Plan, begin, locked, make_plan
from edge.backtest.table import TABLE, chunk_file, missing, packed, read_rows
from edge.bundle import load_bundle
from edge.errors import DataError, EdgeError
from edge.review import Choice, Reviews
from edge.station.process.usage import family

PARTS = 60
"""Frames of the record."""


def backtested(*arguments: Any) -> dict[str, Any]:
    done = ran("backtest", *arguments, "--backend", "openvino", "--json", timeout=120)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def refusal(*arguments: Any) -> str:
    done = ran("backtest", *arguments)
    assert (done.returncode, done.stdout) == (2, ""), done
    (line,) = done.stderr.splitlines()
    return line


def test_the_bundle_of_the_line_gives_every_frame_the_score_that_it_had(records: Path, tmp_path: Path) -> None:
    found = backtested(DEMO_BUNDLE, "--records", records, "--out", tmp_path / "out", "--workers", 1)
    assert (found["frames"], found["compared"], found["known"]) == (PARTS, PARTS, 0)
    (one,) = found["bundles"]
    assert (one["to_good"], one["to_reject"], one["unknown"], one["faults"]) == (0, 0, 0, {})
    table = [*read_rows(tmp_path / "out" / TABLE)]
    assert [item.seq for item, _ in table] == [*range(1, PARTS + 1)]
    assert all(row.score == item.score_said for item, row in table)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "none of the rejects of then would pass, none of the goods would be rejected" in page
    assert "<img " not in page


def test_the_table_names_the_kind_of_each_reject(records: Path, tmp_path: Path) -> None:
    bundle, out = kind_bundle(tmp_path / "kinds.edge"), tmp_path / "out"
    backtested(bundle, "--records", records, "--out", out, "--workers", 1)
    table = [row for _, row in read_rows(out / TABLE)]
    assert {row.kind for row in table if row.outcome == "reject"} == {*KINDS}
    assert {row.kind for row in table if row.outcome != "reject"} == {""}


def test_flips_of_several_bundles_and_what_people_said(records: Path, tmp_path: Path) -> None:
    reviewed = tmp_path / "records"
    shutil.copytree(records, reviewed)
    (epoch,) = {epoch for (epoch,) in rows(reviewed, "SELECT epoch FROM verdicts")}
    said = dict(rows(reviewed, "SELECT seq, verdict FROM verdicts"))
    rejects = [seq for seq, verdict in said.items() if verdict == "reject"]
    goods = [seq for seq, verdict in said.items() if verdict == "good"]
    for seq in rejects:
        Reviews(reviewed).decide(epoch, seq, Choice.BAD, "Ana")
    for seq in goods[:10]:
        Reviews(reviewed).decide(epoch, seq, Choice.GOOD, "Ana")
    strict, blind = other_bundle(tmp_path / "strict.edge", 1e-12), other_bundle(tmp_path / "blind.edge", 2.0)
    found = backtested(strict, blind, "--records", reviewed, "--out", tmp_path / "out", "--workers", 1)
    assert found["known"] == len(rejects) + 10
    assert found["then"]["recall"]["value"] == found["then"]["specificity"]["value"] == 1
    first, second = found["bundles"]
    assert (first["to_reject"], first["to_good"]) == (len(goods), 0)
    assert (second["to_reject"], second["to_good"]) == (0, len(rejects))
    assert (first["truth"]["recall"]["value"], first["truth"]["specificity"]["value"]) == (1, 0)
    assert (second["truth"]["recall"]["value"], second["truth"]["specificity"]["value"]) == (0, 1)
    page = (tmp_path / "out" / "report.html").read_text()
    assert f"misses: {len(rejects)}" in page
    assert page.count("<img ") == len(rejects) + len(goods)


def test_what_was_interrupted_goes_on_and_gives_the_same_table(records: Path, tmp_path: Path) -> None:
    options = (DEMO_BUNDLE, "--records", records, "--backend", "openvino", "--workers", 1)
    small = "import edge.backtest.plan as plan; plan.CHUNK = 5; import edge.cli.backtest as command; command.main()"
    code = [sys.executable, "-c", small, *map(str, options), "--out"]
    whole = subprocess.run([*code, str(tmp_path / "whole")], capture_output=True, text=True, timeout=120)
    assert whole.returncode == 0, whole.stderr
    process = subprocess.Popen([*code, str(tmp_path / "cut")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not chunk_file(tmp_path / "cut", 2).exists():
        assert process.poll() is None
        time.sleep(0.01)
    workers = [pid for pid in family(process.pid) if pid != process.pid]
    process.send_signal(signal.SIGKILL)
    process.wait()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    done = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "cut" / "chunks").glob("*.parquet")}
    assert 3 <= len(done) < PARTS / 5
    again = subprocess.run([*code, str(tmp_path / "cut")], capture_output=True, text=True, timeout=120)
    assert again.returncode == 0, again.stderr
    kept = {name: (tmp_path / "cut" / "chunks" / name).stat().st_mtime_ns for name in done}
    assert kept == done
    assert timeless(tmp_path / "cut") == timeless(tmp_path / "whole")


def timeless(out: Path) -> list[tuple[Any, ...]]:
    """The rows of a table without what differs from run to run: the times."""
    return [(*map(str, item), *map(str, row._replace(ms=0.0))) for item, row in read_rows(out / TABLE)]


def a_plan(items: list[Item]) -> Plan:
    bundle = load_bundle(DEMO_BUNDLE)
    threshold = bundle.artifact("openvino").threshold.value
    judge = Judge(label=bundle.label, folder=str(DEMO_BUNDLE), digest=bundle.digest, backend="openvino",
                  threshold=threshold)  # fmt: skip
    return make_plan([judge], [Path(items[0].folder)], items, 1)


def test_a_worker_that_is_killed_is_replaced_and_nothing_is_done_twice_or_left_out(
    records: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.backtest.plan.CHUNK", 4)
    items = read_items([records])
    plan = a_plan(items)
    stored: dict[int, bytes] = {}
    workers = set[int]()

    def store(number: int, content: bytes) -> None:
        assert number not in stored
        stored[number] = content
        if len(stored) == 3:
            children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
            busy = [pid for pid in map(int, children) if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
            workers.update(busy)
            os.kill(busy[-1], signal.SIGKILL)

    local.run(plan, items, range(plan.chunks), 1, store)
    assert workers
    assert [*sorted(stored)] == [*range(PARTS // 4)]


def dying(plan: Plan, items: list[Item]) -> bytes:
    os.kill(os.getpid(), signal.SIGKILL)
    return b""


def test_a_frame_on_which_workers_die_ends_the_backtest_with_its_name(
    records: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = read_items([records])
    monkeypatch.setattr(local, "_work", dying)
    with pytest.raises(EdgeError, match=f"died 3 times near {records}/images"):
        local.run(a_plan(items), items, [0], 1, lambda number, content: None)


def test_an_image_that_was_changed_is_unknown_and_named(records: Path, tmp_path: Path) -> None:
    spoiled = tmp_path / "records"
    shutil.copytree(records, spoiled)
    items = read_items([spoiled])
    (spoiled / items[3].path).write_bytes((spoiled / items[4].path).read_bytes())
    (spoiled / items[5].path).unlink()
    rows_found = [row for _, row in judge_chunk(a_plan(items), items)]
    assert [row.outcome for row in rows_found].count("unknown") == 2
    assert rows_found[3].fault == "the image cannot be read: it is not the image that was stored"
    assert "No such file" in rows_found[5].fault


def test_labelled_photographs_are_judged_against_their_labels(tmp_path: Path) -> None:
    photographs = tmp_path / "photographs"
    done = run(*command("demo", photographs, "--train", 4, "--val", 4, "--test", 16))
    assert done.returncode == 0, done.stderr
    found = backtested(DEMO_BUNDLE, "--records", photographs, "--out", tmp_path / "out", "--workers", 1)
    assert (found["frames"], found["compared"], found["known"], found["then"]) == (24, 0, 24, None)
    assert found["bundles"][0]["truth"]["recall"]["trials"] > 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nothing.edge",), "nothing.edge"),
        ((DEMO_BUNDLE, DEMO_BUNDLE), "one bundle is given twice"),
        ((DEMO_BUNDLE, "--workers", 2, "--ray", "auto"), "give one of them"),
        ((DEMO_BUNDLE, "--backend", "nothing"), "nothing"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(
    records: Path, tmp_path: Path, arguments: tuple[Any, ...], said: str
) -> None:
    assert said in refusal(*arguments, "--records", records, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_left_alone(records: Path, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear Ana")
    assert "is not an empty folder" in refusal(DEMO_BUNDLE, "--records", records, "--out", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_a_backtest_of_other_bundles_is_not_gone_on_with(records: Path, tmp_path: Path) -> None:
    items, out = read_items([records]), tmp_path / "out"
    judges = a_plan(items).judges
    with locked(out):
        plan, _ = begin(out, judges, [records], 1, lambda: items)
        with pytest.raises(DataError, match="has a backtest with other threads"):
            begin(out, judges, [records], 2, lambda: items)
        assert begin(out, judges, [records], 1, lambda: items[:1]) == (plan, items)
        (out / "items.json").write_text("[]")
        with pytest.raises(DataError, match=r"is not that of plan.json"):
            begin(out, judges, [records], 1, lambda: items)


def test_two_backtests_do_not_work_in_one_folder(records: Path, tmp_path: Path) -> None:
    with locked(tmp_path / "out"):
        assert "another edge-backtest works there" in refusal(
            DEMO_BUNDLE, "--records", records, "--out", tmp_path / "out", "--backend", "openvino"
        )


def test_images_whose_verdicts_have_expired_are_left_out_and_told(tmp_path: Path) -> None:
    record_of(tmp_path / "records", [scored(seq, 0.9) for seq in range(1, 5)])
    spoil(tmp_path / "records", "DELETE FROM verdicts WHERE seq < 3")
    said: list[str] = []
    assert [item.seq for item in read_items([tmp_path / "records"], said.append)] == [3, 4]
    assert said == [f"{tmp_path}/records: 2 images left out, whose verdicts have expired or cannot be read"]


def test_the_rows_of_a_chunk_are_the_same_in_parquet(records: Path, tmp_path: Path) -> None:
    items = read_items([records])[:5]
    made = judge_chunk(a_plan(items), items)
    made[0] = (made[0][0]._replace(score_said=np.nan), made[0][1]._replace(score=np.nan, fault="x"))
    (tmp_path / "one.parquet").write_bytes(packed(made))
    assert [*map(str, read_rows(tmp_path / "one.parquet"))] == [*map(str, made)]
    assert missing(tmp_path, 2) == [0, 1]


def test_frames_are_read_ahead_and_come_in_order_each_with_its_own_error(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once, most = threading.Semaphore(0), [0]
    reading = 0
    lock = threading.Lock()

    def slow(folder: Path, name: str, limit: int) -> bytes:
        nonlocal reading
        with lock:
            reading += 1
            most[0] = max(most[0], reading)
        at_once.acquire(timeout=0.05)
        with lock:
            reading -= 1
        if name == "7":
            raise FileNotFoundError(2, "gone", name)
        return name.encode()

    monkeypatch.setattr(judging, "read_regular", slow)
    items = [Item("", str(number), "", "", "", number, "", "", "", float("nan"), "", "") for number in range(40)]
    found = []
    for item, content in judging._read_ahead(items):
        try:
            found.append((item.seq, content().decode()))
        except FileNotFoundError:
            found.append((item.seq, "gone"))
    assert found == [(number, "gone" if number == 7 else str(number)) for number in range(40)]
    assert 2 <= most[0] <= judging.AHEAD
