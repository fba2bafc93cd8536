"""Photographs for training from reviewed parts: byte for byte, groups whole, and nothing of a test part in training."""

import csv
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.line import ran
from support.photograph_layouts import coco_json
from support.records import spoil
from support.reviewed import record_of, scored

from edge.errors import EdgeError
from edge.photographs.groups import joined
from edge.photographs.listing import read_listing
from edge.photographs.photograph import read_truth
from edge.review import Choice, Judged, Kind, Reviews, Way
from edge.review.decisions import Decision
from edge.review.photographs import (
    EarlierSplit,
    Item,
    plan,
    read_added,
    read_decided,
    read_earlier,
    read_items,
    without_bad,
    write,
)
from edge.review.record import Picture
from edge.verdict import Outcome, Verdict


def at(one: Verdict, minute: int) -> Verdict:
    return one.model_copy(update={"time": f"2026-01-02T03:{minute:02}:05.678+00:00"})


@pytest.fixture
def reviews(tmp_path: Path) -> Reviews:
    """Of 40 rejects, four a minute, of which the even ones are bad."""
    verdicts = [at(scored(seq, 0.5 + seq / 100), seq // 4) for seq in range(1, 41)]
    reviews = Reviews(record_of(tmp_path / "record", verdicts))
    for part in reviews.undecided(Kind.REJECT):
        choice = Choice.GOOD if part.seq % 2 else Choice.BAD
        reviews.decide(*part.key, choice, "Ana", way=Way.DRAWN)
    return reviews


def exported(reviews: Reviews, out: Path, earlier: EarlierSplit | None = None):
    made = plan(*read_items([reviews.folder]), earlier)
    write(made, out)
    return made


def test_training_reads_the_photographs_with_their_labels_and_groups(reviews: Reviews, tmp_path: Path) -> None:
    exported(reviews, tmp_path / "out")
    listing = read_listing(tmp_path / "out")
    assert {*listing.splits} == {"train", "val", "test"}
    assert not listing.left_out
    labels = {one.path.stem.rpartition("-")[2]: one.label for one in listing.photographs}
    assert labels == {f"{seq:08}": "good" if seq % 2 else "bad" for seq in range(1, 41)}
    splits: dict[str, set[str]] = {}
    for split, members in listing.splits.items():
        for one in members:
            splits.setdefault(one.details["time"][:16], set()).add(split)
            splits.setdefault(one.details["part"], set()).add(split)
    assert all(len(found) == 1 for found in splits.values())


def test_pictures_are_copied_byte_for_byte(reviews: Reviews, tmp_path: Path) -> None:
    exported(reviews, tmp_path / "out")
    with (tmp_path / "out" / "parts.csv").open(newline="") as table:
        rows = [*csv.DictReader(table)]
    assert len(rows) == 40
    for row in rows:
        copied = (tmp_path / "out" / row["file"]).read_bytes()
        stored = next(reviews.folder.glob(f"images/*/*/{int(row['seq']):08}-reject.png")).read_bytes()
        assert copied == stored
        assert hashlib.sha256(copied).hexdigest() == row["sha256"]


def test_a_picture_that_was_changed_is_refused_and_nothing_is_written(reviews: Reviews, tmp_path: Path) -> None:
    changed = next(reviews.folder.glob("images/*/*/00000007-reject.png"))
    changed.write_bytes(changed.read_bytes() + b"\0")
    with pytest.raises(EdgeError, match="is not the image that was stored"):
        exported(reviews, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert [*tmp_path.glob(".out*")] == []


def test_unsure_contradicting_and_removed_ones_are_left_out_and_named(reviews: Reviews, tmp_path: Path) -> None:
    reviews.decide("ab12", 3, Choice.UNSURE, "Ana")
    reviews.decide("ab12", 5, Choice.BAD, "Ben")
    made = exported(reviews, tmp_path / "out")
    assert {one.part: one.why for one in made.left_out} == {
        "part-3": "nobody is sure",
        "part-5": "two people contradict each other",
    }
    assert sum(len(items) for items in made.splits.values()) == 38


def test_one_part_that_is_bad_once_and_good_once_in_a_run_is_left_out(tmp_path: Path) -> None:
    verdicts = [at(scored(seq, 0.9, part="twice" if seq < 3 else None), seq) for seq in range(1, 7)]
    reviews = Reviews(record_of(tmp_path / "record", verdicts))
    for seq in range(1, 7):
        reviews.decide("ab12", seq, Choice.GOOD if seq % 2 else Choice.BAD, "Ana")
    made = exported(reviews, tmp_path / "out")
    assert [one.part for one in made.left_out] == ["twice", "twice"]


def test_an_earlier_export_keeps_its_splits_when_more_is_decided(reviews: Reviews, tmp_path: Path) -> None:
    first = exported(reviews, tmp_path / "first")
    rows = {
        f"{split}/{item.label}/{item.name}": {"split": split} for split, items in first.splits.items() for item in items
    }
    for seq in (1, 2, 3):
        undone = reviews.of_verdict("ab12", seq)[-1]
        reviews.undo(undone.id, "Ana")
    second = exported(reviews, tmp_path / "second", EarlierSplit(rows))
    before = {item.name: split for split, items in first.splits.items() for item in items}
    after = {item.name: split for split, items in second.splits.items() for item in items}
    assert after.items() <= before.items()
    assert len(after) == 37


def test_a_new_part_of_the_minute_of_a_test_part_goes_to_the_test_part(reviews: Reviews, tmp_path: Path) -> None:
    made = exported(reviews, tmp_path / "out", EarlierSplit({"somewhere/part-5": {"split": "test"}}))
    minute = {f"{seq:08}" for seq in (4, 5, 6, 7)}
    assert minute <= {Path(item.name).stem.rpartition("-")[2] for item in made.splits["test"]}


def test_a_group_that_stands_in_two_splits_is_left_out(reviews: Reviews, tmp_path: Path) -> None:
    earlier = EarlierSplit({"a/part-5": {"split": "test"}, "b/part-6": {"split": "train"}})
    made = exported(reviews, tmp_path / "out", earlier)
    assert {one.part for one in made.left_out} == {"part-4", "part-7"}
    assert "part-5" in {item.decision.part for item in made.splits["test"]}
    assert "part-6" in {item.decision.part for item in made.splits["train"]}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9), st.booleans()), min_size=1, max_size=30),
    st.dictionaries(st.integers(0, 9), st.sampled_from(["train", "val", "test", "unused"]), max_size=6),
)
def test_no_test_part_ever_comes_into_training(parts: list[tuple[int, int, bool]], earlier: dict[int, str]) -> None:
    items = [
        Item(Path(), decision(seq, f"p{part}", minute), is_bad, Picture("", ""))
        for seq, (minute, part, is_bad) in enumerate(parts)
    ]
    rows = {f"data/p{part}": {"split": split} for part, split in earlier.items()}
    made = plan(items, [], EarlierSplit(rows))
    for split, members in made.splits.items():
        for item in members:
            known = earlier.get(int(item.decision.part[1:]), "unused")
            assert known in (split, "unused")
    held = {}
    for split, members in made.splits.items():
        for item in members:
            held.setdefault(made.groups[item.name], set()).add(split)
    torn = {group for group, found in held.items() if len(found) > 1}
    assert all(
        earlier.get(int(item.decision.part[1:]), "unused") != "unused"
        for members in made.splits.values() for item in members if made.groups[item.name] in torn
    )  # fmt: skip


def decision(seq: int, part: str, minute: int) -> Decision:
    judged = Judged(Outcome.REJECT, 0.9, 0.5, "b@0", "openvino", f"2026-01-02T03:{minute:02}:00.000+00:00", 0)
    return Decision(seq, "", "Ana", "line1", "ab12", seq, part, Choice.BAD, Way.DRAWN, "", None, judged)


def test_photographs_of_the_earlier_training_come_with_their_masks_in_the_splits_of_their_run(
    reviews: Reviews, tmp_path: Path
) -> None:
    data, run = tmp_path / "data", tmp_path / "run"
    files = {"good/a.png": "train", "good/b.png": "test", "bad/scratch/c.png": "val", "good/d.png": "unused"}
    for file in (*files, "mask/scratch/c.png"):
        (data / file).parent.mkdir(parents=True, exist_ok=True)
        (data / file).write_bytes(file.encode())
    run.mkdir()
    (run / "split.csv").write_text("file,split\n" + "".join(f"{file},{split}\n" for file, split in files.items()))
    earlier = read_earlier(run)
    made = plan(*read_items([reviews.folder]), earlier)
    write(made, tmp_path / "out", read_added(data, earlier))
    listing = read_listing(tmp_path / "out")
    found = {(one.name, one.defect, one.mask and one.mask.read_bytes()) for one in listing.photographs}
    added = {entry for entry in found if "line1-" not in entry[0]}
    assert added == {
        ("train/good/a.png", None, None),
        ("test/good/b.png", None, None),
        ("val/bad/c.png", "scratch", b"mask/scratch/c.png"),
    }
    assert len(found) == 43
    (run / "split.csv").write_text("file,split\ngood/a.png,train\n")
    with pytest.raises(EdgeError, match="knows no"):
        read_added(data, read_earlier(run))
    with pytest.raises(EdgeError, match="cannot be read"):
        read_earlier(tmp_path / "nowhere")


def split_of(made, folder: Path) -> EarlierSplit:
    """The split of a training on an export, written into `folder`."""
    folder.mkdir()
    lines = [
        f"{split}/{item.label}/{item.name},{split},{made.groups[item.name]}\n"
        for split, items in made.splits.items()
        for item in items
    ]
    (folder / "split.csv").write_text("file,split,group\n" + "".join(lines))
    return read_earlier(folder)


@pytest.mark.parametrize("by", ["undo", "removal", "goods only"])
def test_a_test_part_that_is_exported_no_more_still_keeps_its_minute_in_the_test_part(
    reviews: Reviews, tmp_path: Path, by: str
) -> None:
    """Of each minute of the test part only the bad parts were decided at first; all those go, and goods are decided."""
    for seq in range(1, 41, 2):
        reviews.undo(reviews.of_verdict("ab12", seq)[-1].id, "Ana")
    earlier = split_of(exported(reviews, tmp_path / "first"), tmp_path / "run")
    tested = {item.decision.seq // 4 for item in exported(reviews, tmp_path / "again", earlier).splits["test"]}
    assert tested
    for seq in range(2, 41, 2):
        if by == "undo":
            reviews.undo(reviews.of_verdict("ab12", seq)[-1].id, "Ana")
        elif by == "removal":
            spoil(reviews.folder, f"UPDATE images SET gone = 'to make room' WHERE seq = {seq}")
    for seq in range(1, 41, 2):
        reviews.decide("ab12", seq, Choice.GOOD, "Ana")
    made = plan(*read_items([reviews.folder]), earlier, decided=read_decided([reviews.folder]))
    made = without_bad(made) if by == "goods only" else made
    assert sum(len(items) for items in made.splits.values()) == 20
    assert {item.decision.seq // 4 for item in made.splits["test"]} == tested
    assert not tested & {item.decision.seq // 4 for split in ("train", "val") for item in made.splits[split]}


def test_photographs_of_an_earlier_export_give_way_to_the_decisions_of_today(reviews: Reviews, tmp_path: Path) -> None:
    earlier = split_of(exported(reviews, tmp_path / "first"), tmp_path / "run")
    reviews.decide("ab12", 2, Choice.GOOD, "Ana")
    reviews.undo(reviews.of_verdict("ab12", 4)[-1].id, "Ana")
    decided = read_decided([reviews.folder])
    for known in (earlier, None):
        assert len(read_added(tmp_path / "first", known)) == 40
        assert read_added(tmp_path / "first", known, decided) == []
    options = ["--like", tmp_path / "run", "--with", tmp_path / "first", "--out", tmp_path / "second"]
    assert ran("review", "export", reviews.folder, *options).returncode == 0
    names = sorted(path.name for path in (tmp_path / "second").glob("*/*/*.png"))
    assert names == [f"line1-ab12-{seq:08}.png" for seq in range(1, 41) if seq != 4]
    assert [path.parent.name for path in (tmp_path / "second").glob("*/*/*-00000002.png")] == ["good"]


@pytest.mark.parametrize("column", ["station", "epoch"])
def test_a_station_or_a_run_that_is_a_path_is_refused(reviews: Reviews, tmp_path: Path, column: str) -> None:
    item = Item(Path(), replace(decision(1, "p1", 0), **{column: "../../../escaped"}), True, Picture("", ""))
    with pytest.raises(EdgeError, match=r"is no name; reviews\.db was changed"):
        plan([item], [], None)


def test_things_with_a_common_key_are_joined() -> None:
    assert joined([("a",), ("b",), ("a", "c"), ("d",), ("c", "b")]) == [0, 0, 0, 1, 0]
    assert joined([]) == []


def test_the_command_from_list_to_export(tmp_path: Path) -> None:
    verdicts = [at(scored(seq, 0.6), seq) for seq in range(1, 13)]
    verdicts += [at(scored(seq, 0.1), seq) for seq in range(13, 21)]
    folder = record_of(tmp_path / "record", verdicts)
    waiting = json.loads(ran("review", "list", folder, "--json").stdout)["undecided"]
    for one in waiting:
        choice = "bad" if one["seq"] % 3 else "good"
        done = ran("review", "decide", folder, one["part"], choice, "--by", "Ana", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["way"] == "drawn"
    assert ran("audit", folder, "--missed", "part-13", "--by", "Gate 2").returncode == 0
    last = json.loads(ran("review", "missed", folder, "part-14", "--by", "Gate 2", "--json").stdout)
    assert ran("review", "undo", folder, last["id"], "--by", "Ana").returncode == 0
    (found,) = json.loads(ran("review", "stats", folder, "--json").stdout)
    assert found["precision"]["value"] == pytest.approx(8 / 12)
    assert found["named"] == 1
    done = ran("review", "export", folder, "--out", tmp_path / "out", "--json")
    assert json.loads(done.stdout)["left_out"] == [{"part": "part-13", "why": "its picture is not kept"}]
    assert ran("review", "stats", folder).stdout.count("named as missed by the gate's people") == 1
    for arguments, said in (
        (("decide", folder, "part-1", "awful", "--by", "Ana"), "give bad, good, unsure"),
        (("decide", folder, "part-99", "bad", "--by", "Ana"), "knows no part 'part-99'"),
        (("export", folder, "--out", tmp_path / "out"), "is not an empty folder"),
        (("stats", tmp_path / "nowhere"), "holds no journal"),
    ):
        refused = ran("review", *arguments)
        assert refused.returncode == 2
        assert said in refused.stderr


def test_a_mask_that_annotations_draw_comes_as_a_picture(reviews: Reviews, tmp_path: Path) -> None:
    coco_json(tmp_path / "data")
    write(plan(*read_items([reviews.folder]), None), tmp_path / "out", read_added(tmp_path / "data", None))
    added = {one.path.name: one for one in read_listing(tmp_path / "out").splits["test"] if one.defect == "scratch"}
    drawn = [one for one in read_listing(tmp_path / "data").splits["test"] if one.is_bad]
    assert len(added) == len(drawn) == 8
    for one in drawn:
        np.testing.assert_array_equal(read_truth(added[one.path.name]), read_truth(one))
