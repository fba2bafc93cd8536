"""Records, gate logs and photographs from untrusted senders: reading them is harmless."""

import json
import os
import pty
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from support.line import DEMO_BUNDLE, ROOT, command, ran
from support.records import enter, recorder, rows, settle, spoil, verdict, with_image

from edge.channel.control_messages import Fate
from edge.errors import KeyFileError, RecordsError
from edge.records.audit import audit
from edge.records.audit_result import Kind
from edge.records.journal import JOURNAL, _guard, open_to_read
from edge.records.journal_reader import Replayer, Wanted
from edge.records.part_history import stories
from edge.records.recorder import LOCK, Recorder
from edge.records.retention import IMAGES, Keeping, Shelf
from edge.security.key_file import read as read_key_file
from edge.terminal.output import harmless
from edge.verdict import Outcome

PART = "código 7"
CLEAR_SCREEN = "\x1b[2J\x9b1m"


def edge_audit(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run edge-audit with limits of 20 seconds and a gigabyte of memory."""
    return ran("audit", *arguments, timeout=20, memory=10**9)


def is_one_line(done: subprocess.CompletedProcess[str]) -> bool:
    """Whether the command ended with one line of error and exit code 2."""
    return done.returncode == 2 and done.stderr.count("\n") == 1 and "Traceback" not in done.stderr


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """A record with the image of one reject, and beside it a folder that must stay unchanged."""
    with_image(tmp_path / "record")
    (tmp_path / "outside").mkdir()
    return tmp_path / "record"


def outside(record: Path) -> list[str]:
    """Content of the folder beside the record."""
    return sorted(path.name for path in (record.parent / "outside").rglob("*"))


# ----------------------------------------------------------------------------------------------------- journals

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT {} FROM n"
FOREIGN = {
    "a view in the place of a table": (
        "view runs",
        "DROP TABLE runs",
        "CREATE VIEW runs AS " + ENDLESS.format("'a' epoch, i boot, 'a' station, 'a' source, 'a' bundle, 'a' started, "
        "'' config, 1 accepted, NULL ended, NULL cause, NULL last_seq"),
    ),
    "a view beside the tables": ("view more", "CREATE VIEW more AS SELECT 1"),
    "a trigger": ("trigger late", "CREATE TRIGGER late AFTER INSERT ON runs BEGIN DELETE FROM verdicts; END"),
    "a generated column": (
        "table events",
        "DROP TABLE events",
        "CREATE TABLE events (epoch TEXT, kind TEXT, text TEXT AS (hex(zeroblob(100000000))), time TEXT)",
    ),
    "no index": ("index images_by_seq", "DROP INDEX images_by_seq"),
    "another index": ("index mine", "CREATE INDEX mine ON runs (hex(epoch))"),
    "a virtual table": ("table v", "CREATE VIRTUAL TABLE v USING fts5(a)"),
    "no table": ("table events", "DROP TABLE events"),
}  # fmt: skip


@pytest.mark.parametrize("what", FOREIGN)
def test_a_journal_with_other_tables_than_a_stations_is_refused_by_name(record: Path, what: str) -> None:
    named, *statements = FOREIGN[what]
    spoil(record, *statements)
    done = edge_audit(record)
    assert done.returncode == 1
    assert f"JOURNAL {JOURNAL} cannot be read to its end: its {named} is not that of a station" in done.stdout
    assert is_one_line(edge_audit(record, "--part", PART))
    assert is_one_line(edge_audit(record, "--hold", PART))


def test_a_station_moves_a_journal_with_other_tables_aside_and_runs_nothing_of_it(record: Path) -> None:
    spoil(record, FOREIGN["a trigger"][1])
    journal = recorder(record, "cd34")
    enter(journal, verdict(1, epoch="cd34"))
    settle(journal)
    journal.close("told to stop", 1)
    assert rows(record, "SELECT name FROM sqlite_master WHERE type = 'trigger'") == []
    assert len(list(record.glob("journal-damaged-*.db"))) == 1


def test_a_list_of_tables_that_is_no_text_is_damage_to_a_reader_and_to_a_station(record: Path) -> None:
    whole = (record / JOURNAL).read_bytes()
    (record / JOURNAL).write_bytes(whole.replace(b"lost_from INTEGER NOT NULL", b"lost_from INTEGER NOT NU\xd0L"))
    done = edge_audit(record)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert is_one_line(edge_audit(record, "--part", PART))
    journal = recorder(record, "cd34")
    settle(journal)
    journal.close("told to stop", 0)
    assert len(list(record.glob("journal-damaged-*.db"))) == 1


def test_no_query_takes_more_steps_than_a_file_of_its_size_can_need(record: Path) -> None:
    with closing(sqlite3.connect(record / JOURNAL)) as journal:
        _guard(journal, 10**6)
        begun = time.process_time()
        with pytest.raises(sqlite3.OperationalError, match="interrupted"):
            journal.execute(ENDLESS.format("count(*)")).fetchone()
        assert time.process_time() - begun < 5


def test_a_reader_attaches_loads_and_writes_nothing(record: Path) -> None:
    with closing(open_to_read(record)) as journal:
        for statement in (
            f"ATTACH '{record.parent / 'outside' / 'new.db'}' AS other",
            "SELECT load_extension('x')",
            "DELETE FROM runs",
            f"VACUUM INTO '{record.parent / 'outside' / 'new.db'}'",
        ):
            with pytest.raises(sqlite3.Error):
                journal.execute(statement).fetchall()
    assert outside(record) == []


TYPES = {
    "a text as boot": "UPDATE runs SET boot = 'seven'",
    "a blob as epoch": "UPDATE runs SET epoch = x'00ff'",
    "a blob as JSON": "UPDATE verdicts SET json = x'7b7d'",
    "a blob as path": "UPDATE images SET path = x'2e2e'",
    "a text as a number": "UPDATE verdicts SET seq = 'one'",
    "a text as a score": "INSERT INTO late_results VALUES ('ab12', 1, 'high', NULL, '')",
    "a text as last": "UPDATE runs SET last_seq = 'last'",
    "a text as lost": "INSERT INTO lost_ranges VALUES ('ab12', 'a', NULL, 9, 'killed', '')",
    "a blob as fate": "INSERT INTO acknowledgements VALUES ('ab12', 1, x'00', 'gate1', '')",
}


@pytest.mark.parametrize("what", TYPES)
def test_a_value_of_another_type_is_a_finding_that_names_its_row(record: Path, what: str) -> None:
    spoil(record, TYPES[what])
    done = edge_audit(record)
    assert done.returncode == 1
    assert "row 1 of the table" in done.stdout
    assert "Traceback" not in done.stderr
    assert edge_audit(record, "--part", PART).returncode in (0, 2)


def test_a_replay_of_a_strange_journal_goes_on(record: Path) -> None:
    spoil(record, "INSERT INTO verdicts SELECT epoch, 2, part, verdict, reason, score, threshold, age_ms, time, "
          "backend, x'00ff', NULL, NULL FROM verdicts")  # fmt: skip
    replayer = Replayer(record)
    replayer.start()
    for token in (1, 2):
        replayer.ask(Wanted(token, "ab12", 1, 2))
        end = time.monotonic() + 10
        while not (answers := list(replayer.answers())):
            assert time.monotonic() < end
            time.sleep(0.01)
        assert [(told, len(found)) for told, found in answers] == [(token, 1)]
    replayer.stop()


def test_a_value_larger_than_any_of_a_station_is_a_finding_and_fills_no_memory(record: Path) -> None:
    spoil(record, "UPDATE runs SET station = hex(zeroblob(150000000))")
    done = edge_audit(record)
    assert done.returncode == 1
    assert "cannot be read to its end" in done.stdout


def test_a_journal_that_is_mostly_a_hole_is_refused(record: Path) -> None:
    os.truncate(record / JOURNAL, 2**42)
    assert is_one_line(edge_audit(record))


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_link(path: Path) -> None:
    (path.parent.parent / "outside" / "target").write_bytes(b"")
    path.symlink_to(path.parent.parent / "outside" / "target")


@pytest.mark.parametrize("name", [JOURNAL, f"{JOURNAL}-wal", f"{JOURNAL}-shm", f"{JOURNAL}-journal"])
@pytest.mark.parametrize("put", [a_pipe, a_link, Path.mkdir])
def test_what_is_no_regular_file_is_no_journal(record: Path, name: str, put: Callable[[Path], None]) -> None:
    (record / name).unlink(missing_ok=True)
    put(record / name)
    for arguments in ((), ("--part", PART), ("--hold", PART)):
        done = edge_audit(record, *arguments)
        assert is_one_line(done)
        assert f"{name} is no regular file" in done.stderr
    assert all((record.parent / "outside" / name).stat().st_size == 0 for name in outside(record))


@pytest.mark.parametrize("put", [a_pipe, a_link])
def test_a_pipe_or_link_in_the_place_of_the_lock_or_the_count_of_boots_holds_nobody_up(
    record: Path, put: Callable[[Path], None]
) -> None:
    (record / LOCK).unlink()
    put(record / LOCK)
    assert edge_audit(record).returncode == 0
    (record / LOCK).unlink()
    (record / "boot").unlink()
    put(record / "boot")
    with pytest.raises(RecordsError, match="records cannot be kept there"):
        Recorder(record, "line1")
    assert all((record.parent / "outside" / name).stat().st_size == 0 for name in outside(record))


# ------------------------------------------------------------------------------------------------------- images


def a_hollow(path: Path) -> None:
    path.touch()
    os.truncate(path, 2**40)


@pytest.mark.parametrize("suffix", [".png", ".json"])
@pytest.mark.parametrize("put", [a_pipe, a_link, a_hollow, Path.mkdir])
def test_an_image_or_sidecar_that_is_no_file_of_a_station_is_a_finding(
    record: Path, suffix: str, put: Callable[[Path], None]
) -> None:
    (image,) = (record / IMAGES).rglob("*.png")
    place = image.with_suffix(suffix)
    place.unlink()
    if put is a_link:
        (record.parent / "outside" / "target").write_bytes(b"")
        place.symlink_to(record.parent / "outside" / "target")
    else:
        put(place)
    found = audit(record)
    assert found.counts[Kind.IMAGE] >= 1


def test_the_images_folder_of_a_stranger_may_lead_anywhere_and_nothing_there_is_walked_or_removed(
    record: Path,
) -> None:
    elsewhere = record.parent / "outside"
    (elsewhere / "a" / "b" / "c").mkdir(parents=True)
    for name in ("settings.json", "a/x.new", "a/b/y.json", "a/b/c/z.json"):
        (elsewhere / name).write_text("{}")
    before = outside(record)
    (record / IMAGES).rename(record.parent / "kept")
    (record / IMAGES).symlink_to(elsewhere)
    Shelf(Keeping(record, min_free_bytes=0)).look()
    assert outside(record) == before
    assert not any("z.json" in problem.text for problem in audit(record).problems), "deeper than any image lies"


LEADS_OUT = {
    "absolute": "{outside}/00000001-reject.png",
    "up": "images/../../outside/00000001-reject.png",
    "up in the epoch": "images/2026-01-02/../00000001-reject.png",
    "beside the images": "lock",
    "empty": "",
    "only slashes": "//",
    "a zero in it": "images/2026-01-02/ab12/00000001-reject.png\0x",
}


@pytest.mark.parametrize("what", LEADS_OUT)
def test_hold_and_release_touch_nothing_where_a_path_of_the_journal_leads_out(record: Path, what: str) -> None:
    elsewhere = record.parent / "outside"
    (elsewhere / "00000001-reject.png").touch()
    (elsewhere / "00000001-reject.hold").touch()
    path = LEADS_OUT[what].format(outside=elsewhere)
    with closing(sqlite3.connect(record / JOURNAL)) as journal:  # the sound row stays; its files are not changed either
        journal.execute("INSERT INTO images SELECT epoch, seq, ?, sha256, bytes, time, NULL FROM images", (path,))
        journal.commit()
    before = outside(record)
    for option in ("--hold", "--release"):
        done = edge_audit(record, option, PART)
        assert is_one_line(done)
        assert "does not lie among the images; nothing is changed" in done.stderr
    assert outside(record) == before
    assert list((record / IMAGES).rglob("*.hold")) == []
    assert edge_audit(record).returncode == 1
    assert edge_audit(record, "--part", PART).returncode == 0


@pytest.mark.parametrize("what", ["hold", "epoch", "day"])
def test_hold_follows_no_link_out_of_the_record(record: Path, what: str) -> None:
    (image,) = (record / IMAGES).rglob("*.png")
    elsewhere = record.parent / "outside"
    if what == "hold":
        image.with_suffix(".hold").symlink_to(elsewhere / "made.hold")
    else:
        folder = image.parent if what == "epoch" else image.parent.parent
        folder.rename(elsewhere / "moved")
        folder.symlink_to(elsewhere / "moved")
    before = outside(record)
    done = edge_audit(record, "--hold", PART)
    assert is_one_line(done)
    assert "is a link" in done.stderr
    assert outside(record) == before


def test_hold_does_not_touch_the_images_of_another_record_to_which_a_link_leads(tmp_path: Path) -> None:
    with_image(tmp_path / "mine")
    with_image(tmp_path / "sent")
    (tmp_path / "sent" / IMAGES).rename(tmp_path / "gone")
    (tmp_path / "sent" / IMAGES).symlink_to(tmp_path / "mine" / IMAGES)
    spoil(tmp_path / "sent", "UPDATE images SET sha256 = 'aa'")
    assert "is not the image of this part" in edge_audit(tmp_path / "sent", "--hold", PART).stderr
    assert list((tmp_path / "mine").rglob("*.hold")) == []


def test_an_epoch_of_a_copy_is_no_pattern_that_searches_the_disk(record: Path) -> None:
    spoil(record, "UPDATE runs SET epoch = '../../../../**', ended = NULL, cause = NULL, last_seq = NULL")
    (record / LOCK).write_text("1\n")
    begun = time.process_time()
    assert audit(record).is_copy
    assert time.process_time() - begun < 1


# ---------------------------------------------------------------------------------------------- gate logs and keys

LINE = '{"epoch":"ab12","seq":1,"part":"a","decision":"reject","why":"defect","fate":"rejected"}\n'
LOGS = {
    "nested": LINE + '{"a":' + "[" * 50_000 + "\n",
    "an endless line": LINE + '{"epoch":"' + "a" * 10**6 + '"}\n',
    "a number beyond SQLite": LINE.replace(":1,", ":99999999999999999999,"),
    "a negative number": LINE.replace(":1,", ":-1,"),
    "a list": "[1, 2]\n",
    "a number": "1e400\n",
    "a half pair of surrogates": LINE.replace('"a"', '"\\ud800"'),
    "another type": LINE.replace('"reject"', "7"),
    "zeros": "\0" * 100 + "\n",
    "a long reason": LINE.replace('"defect"', '"' + "r" * 5000 + '"'),
}


@pytest.mark.parametrize("what", LOGS)
def test_a_gate_log_that_no_gate_wrote_is_refused_in_one_line_that_names_its_line(record: Path, what: str) -> None:
    log = record.parent / "gate.jsonl"
    log.write_text(LOGS[what])
    done = edge_audit(record, "--gate", log)
    assert is_one_line(done)
    assert "is no decision of a gate" in done.stderr
    assert len(done.stderr) < 1000


@pytest.mark.parametrize("put", [a_pipe, Path.mkdir])
def test_a_gate_log_that_is_no_file_is_refused(record: Path, put: Callable[[Path], None]) -> None:
    put(record / "gate.jsonl")
    assert is_one_line(edge_audit(record, "--gate", record / "gate.jsonl"))


def test_a_key_file_that_is_a_pipe_is_refused(tmp_path: Path) -> None:
    a_pipe(tmp_path / "a.key")
    with pytest.raises(KeyFileError, match="not a regular file; give a key file"):
        read_key_file(tmp_path / "a.key")


# --------------------------------------------------------------------------------------------------- terminals


def on_a_terminal(*arguments: object) -> str:
    """The output of a command on a terminal, standard output and error together."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*map(str, arguments)], stdout=theirs, stderr=theirs, stdin=theirs, env=os.environ | {"TERM": "xterm-256color"}
    )
    os.close(theirs)
    said = b""
    try:
        while piece := os.read(ours, 65536):
            said += piece
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    process.wait(60)
    return said.decode(errors="replace")


@pytest.mark.parametrize("name", [CLEAR_SCREEN, "\u202egnp.[red]b["])
def test_names_of_photographs_steer_no_terminal_and_are_no_markup(tmp_path: Path, name: str) -> None:
    import cv2

    for kind, level in (("good", 90), ("bad", 140)):
        (tmp_path / "data" / kind).mkdir(parents=True)
        for number in range(2):
            frame = np.random.default_rng(number).integers(level - 40, level + 40, (64, 64, 3), np.uint8)
            cv2.imwrite(str(tmp_path / "a.png"), frame)
            (tmp_path / "a.png").rename(tmp_path / "data" / kind / f"{name}{number}.png")
    verify = ("verify", DEMO_BUNDLE, "--data", tmp_path / "data", "--backend", "onnxruntime", "--threads", 1)
    said = on_a_terminal(*command(*verify))
    assert "recall" in said
    assert "\x1b" in said, "rich still draws"
    assert name not in said if name[0] != "[" else name in said
    done = ran(*verify, "--json")
    names = [one["name"] for one in json.loads(done.stdout)["photographs"]]
    assert any(name in one for one in names), "JSON says the name itself"
    assert done.stdout.strip().isprintable()


def test_a_record_steers_no_terminal(tmp_path: Path) -> None:
    journal = recorder(tmp_path, f"ab{CLEAR_SCREEN}")
    enter(journal, verdict(1, Outcome.REJECT, epoch=f"ab{CLEAR_SCREEN}", part=f"[red]p{CLEAR_SCREEN}"))
    journal.acknowledge(f"ab{CLEAR_SCREEN}", 1, Fate.PASSED, f"gate{CLEAR_SCREEN}")
    journal.close(f"[bold]told{CLEAR_SCREEN}", 1)
    (tmp_path / IMAGES).mkdir()
    (tmp_path / IMAGES / f"x{CLEAR_SCREEN}").touch()
    for arguments in ((), ("--part", f"[red]p{CLEAR_SCREEN}"), ("--hold", f"[red]p{CLEAR_SCREEN}")):
        said = on_a_terminal(*command("audit", tmp_path, *arguments))
        assert "[2J" in said, "it is shown, written out"
        assert "\x1b[2J" not in said
        assert "\x9b" not in said
    assert "[bold]told" in edge_audit(tmp_path).stdout


def test_the_name_of_a_bundle_steers_no_terminal(tmp_path: Path) -> None:
    folder = tmp_path / f"b{CLEAR_SCREEN}.edge"
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps({"schema_version": CLEAR_SCREEN}))
    for name, options in (("verify", ()), ("bench", ("--frames", 1)), ("run", ("--source", "demo", "--no-records"))):
        said = on_a_terminal(*command(name, *(("--bundle",) if name == "run" else ()), folder, *options))
        assert said
        assert CLEAR_SCREEN[:4] not in said
        assert "\x9b" not in said


def test_what_print_writes_is_harmless_and_json_stays_json() -> None:
    text = {"a": "\x9b\x7f\u202e\U000e0001\ud800 äß→ 95 %"}
    for ascii_only in (True, False):
        written = harmless(json.dumps(text, ensure_ascii=ascii_only, indent=1))
        assert json.loads(written) == text
        assert written.replace("\n", "").isprintable()
    program = f"from edge.terminal.output import prepare_output; prepare_output(); print({'a' + CLEAR_SCREEN!r})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "a\\u001b[2J\\u009b1m\n"


def test_every_console_is_the_harmless_one() -> None:
    files = [path for room in ("edge", "export", "train", "benchmarks") for path in (ROOT / room).rglob("*.py")]
    own = {path for path in files if "from rich.console import Console" in path.read_text(encoding="utf-8")}
    assert {path.relative_to(ROOT).as_posix() for path in own} == {"edge/terminal/console.py"}


def test_stories_read_what_they_may(record: Path) -> None:
    spoil(record, "INSERT INTO late_results VALUES ('ab12', 1, 9e999, NULL, '')")
    (story,) = stories(record, PART)
    json.loads(json.dumps(story.as_json(), allow_nan=False))
