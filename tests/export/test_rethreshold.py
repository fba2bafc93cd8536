"""edge-export rethreshold: a bundle with another threshold, from decisions on parts that the bundle itself judged."""

import json
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.reviewed import record_of, scored

from edge.backends import load_from
from edge.bundle import Bundle, load_bundle, seal
from edge.bundle.shipped import shipped_bundle
from edge.demo.lines import open_line
from edge.frame import Frame
from edge.review import Choice, Kind, ReviewError, Reviews, Way
from edge.review.candidates import read_judgement
from edge.verdict import Verdict
from export.rethreshold import check_transfer, transferred, turned_by
from export.rethreshold_page import remarks

LOW = 0.02
"""A threshold that rejects too much: the demo line's good parts score up to about 0.6."""

PARTS = 90
ARTIFACT = "openvino"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The shipped bundle with a threshold that rejects too much."""
    path = tmp_path_factory.mktemp("bundle") / "eager.edge"
    shutil.copytree(shipped_bundle("demo.edge"), path)
    manifest = load_bundle(path).manifest
    artifacts = {
        name: one.model_copy(update={"threshold": one.threshold.model_copy(update={"value": LOW})})
        for name, one in manifest.artifacts.items()
    }
    return seal(path, manifest.model_copy(update={"artifacts": artifacts}))


Judged = tuple[list[Verdict], list[Frame], dict[int, bool]]


@pytest.fixture(scope="module")
def judged(bundle: Bundle) -> Judged:
    """Rendered parts as the bundle judges them, their frames, and which are bad."""
    rendered, backend = open_line("plates", seed=5, defect_rate=0.4, size=(180, 320)), load_from(bundle, ARTIFACT, 1)
    verdicts: list[Verdict] = []
    frames, truths = [], {}
    for seq in range(1, PARTS + 1):
        photograph = rendered.render(seq)
        made = scored(seq, float(backend.infer(photograph.frame).score), threshold=LOW)
        verdicts.append(made.model_copy(update={"bundle": bundle.label, "backend": ARTIFACT}))
        frames.append(photograph.frame)
        truths[seq] = photograph.part.truth == "bad"
    return verdicts, frames, truths


@pytest.fixture(scope="module")
def line(judged: Judged, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[int, bool]]:
    """The record of these parts, every good kept, and which parts are bad."""
    verdicts, frames, truths = judged
    return record_of(tmp_path_factory.mktemp("line") / "record", verdicts, every=1, frames=frames), truths


@pytest.fixture
def records(line: tuple[Path, dict[int, bool]], tmp_path: Path) -> Path:
    """A copy of that record in which the queue was reviewed, all of it."""
    folder = shutil.copytree(line[0], tmp_path / "records")
    review(folder, line[1])
    return folder


def review(folder: Path, truths: dict[int, bool], most: int = PARTS) -> None:
    reviews = Reviews(folder)
    for kind in (Kind.REJECT, Kind.GOOD):
        for part in reviews.undecided(kind, most):
            choice = Choice.BAD if truths[part.seq] else Choice.GOOD
            reviews.decide(*part.key, choice, "Ana", way=Way.DRAWN)


def rethreshold(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from export.cli import main; main()", "rethreshold", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_bundle_with_another_threshold_its_reason_its_data_and_its_proof(
    bundle: Bundle, records: Path, tmp_path: Path
) -> None:
    out, reason = tmp_path / "calm.edge", "false rejects since the new lamp"
    done = rethreshold(
        bundle.path,
        "--reviewed",
        records,
        "--threshold",
        "specificity=0.95",
        "--reason",
        reason,
        "--out",
        out,
        "--json",
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    new = load_bundle(out)
    threshold = new.artifact(ARTIFACT).threshold
    assert (said["old"], said["new"]) == (LOW, threshold.value)
    assert threshold.value > LOW
    assert said["after"]["specificity"]["value"] >= 0.95 > said["before"]["specificity"]["value"]
    assert "specificity at_least=0.95 on reviewed parts" in threshold.strategy
    assert new.manifest.provenance["rethreshold reason"] == reason
    assert new.manifest.provenance["rethreshold of"] == bundle.digest
    assert new.manifest.provenance["rethreshold decisions sha256"] == said["decisions"]["sha256"]
    assert said["proof"]["pictures scored again"] == PARTS
    assert said["proof"]["largest difference from the record"] < 1e-4
    assert all(one["verdicts that differ"] == 0 for one in said["proof"]["artifacts"].values())
    assert new.content("model.onnx") == bundle.content("model.onnx")
    assert not (out / "manifest.sig").exists()
    assert "false rejects since the new lamp" in (out / "rethreshold.html").read_text()


def test_a_promise_is_kept_by_the_lower_limit_of_the_reviewed_parts_or_refused(
    bundle: Bundle, records: Path, tmp_path: Path
) -> None:
    out = tmp_path / "calm.edge"
    more = ("--reason", "a trial", "--out", out, "--json")
    strategy = "false-rejects-with-confidence"
    done = rethreshold(bundle.path, "--reviewed", records, "--threshold", f"{strategy}=0.2,0.9", *more)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["how"] == f"{strategy} at_most=0.2 confidence=0.9"
    assert said["after"]["specificity"]["value"] > 0.8 > said["before"]["specificity"]["value"]
    assert f"{strategy} at_most=0.2 confidence=0.9" in load_bundle(out).artifact(ARTIFACT).threshold.strategy
    more = ("--reason", "a trial", "--out", tmp_path / "other.edge")
    done = rethreshold(bundle.path, "--reviewed", records, "--threshold", f"{strategy}=0.01,0.99", *more)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "It takes at least 459 reviewed good parts" in line


def test_reviewed_unknowns_are_no_part_of_the_thresholds_and_of_their_proof(
    bundle: Bundle, judged: Judged, tmp_path: Path
) -> None:
    verdicts, frames, truths = judged
    bad = [frame for one, frame in zip(verdicts, frames, strict=True) if truths[one.seq]][:20]
    unknowns = [
        scored(seq, None).model_copy(update={"bundle": bundle.label, "backend": ARTIFACT})
        for seq in range(PARTS + 1, PARTS + 1 + len(bad))
    ]
    folder = record_of(tmp_path / "record", [*verdicts, *unknowns], 1, [*frames, *bad])
    review(folder, truths)
    for part in Reviews(folder).undecided(Kind.UNKNOWN):
        Reviews(folder).decide(*part.key, Choice.BAD, "Ana", way=Way.DRAWN)
    options = ["--threshold", "specificity=0.95", "--reason", "a trial", "--out", tmp_path / "x.edge", "--json"]
    done = rethreshold(bundle.path, "--reviewed", folder, *options)
    assert done.returncode == 0, done.stderr
    proof = json.loads(done.stdout)["proof"]
    assert proof["pictures scored again"] == PARTS
    assert all(one["verdicts that differ"] == 0 for one in proof["artifacts"].values())
    threshold = load_bundle(tmp_path / "x.edge").artifact(ARTIFACT).threshold
    bads = sum(truths.values())
    assert f"{PARTS - bads} good, {bads} bad" in threshold.data
    assert (threshold.recall.count, threshold.specificity.count) == (bads, PARTS - bads)


def test_an_artifact_that_gives_too_many_parts_another_verdict_gets_no_threshold() -> None:
    scores = [number / 100 for number in range(100)]
    change = SimpleNamespace(threshold=0.5, judgement=SimpleNamespace(artifact="openvino"))
    for swapped, is_refused in ((1, False), (5, True)):
        others = [1 - score if 50 - swapped <= number < 50 + swapped else score for number, score in enumerate(scores)]
        parts = [SimpleNamespace(score=score, is_bad=score >= 0.5) for score in scores]
        again = SimpleNamespace(parts=parts, scores={"openvino": scores, "onnx": others})
        values = transferred(change, again)
        assert turned_by(change, again, values)["openvino"] == 0
        refusal = pytest.raises(
            ReviewError, match=r"^onnx gives .* of 100 reviewed parts another verdict than openvino"
        )
        with refusal if is_refused else nullcontext():
            check_transfer(change, again, values)


def test_an_artifact_that_does_not_see_the_few_bad_parts_gets_no_threshold() -> None:
    """10 bad parts of 500 are 2 %: fewer than the verdicts that may differ."""
    scores = [number / 1000 for number in range(490)] + [0.6 + number / 100 for number in range(10)]
    change = SimpleNamespace(threshold=0.5, judgement=SimpleNamespace(artifact="openvino"))
    parts = [SimpleNamespace(score=score, is_bad=score > 0.5) for score in scores]
    blind = SimpleNamespace(parts=parts, scores={"openvino": scores, "onnx": [*scores[:490], *scores[200:210]]})
    with pytest.raises(ReviewError, match=r"^onnx gives 290 of 500 reviewed parts another verdict than openvino"):
        check_transfer(change, blind, transferred(change, blind))
    with pytest.raises(ReviewError, match=r"^onnx passes 10 bad parts that openvino rejects at 0.5; choose another"):
        check_transfer(change, blind, {"openvino": 0.5, "onnx": 0.5})


def test_an_artifact_rejects_every_bad_part_that_is_rejected_on_the_line() -> None:
    """The nearest verdicts would pass one bad part; a lower threshold passes none and rejects two goods more."""
    scores = [number / 1000 for number in range(490)] + [0.6 + number / 100 for number in range(10)]
    change = SimpleNamespace(threshold=0.5, judgement=SimpleNamespace(artifact="openvino"))
    parts = [SimpleNamespace(score=score, is_bad=score > 0.5) for score in scores]
    again = SimpleNamespace(parts=parts, scores={"openvino": scores, "onnx": [*scores[:490], 0.4875, *scores[491:]]})
    values = transferred(change, again)
    assert 0.487 < values["onnx"] < 0.4875
    assert turned_by(change, again, values) == {"openvino": 0, "onnx": 2}
    check_transfer(change, again, values)


def test_the_remarks_name_the_verdicts_that_could_not_be_sampled(tmp_path: Path) -> None:
    """The first run keeps no goods."""
    folder = record_of(tmp_path, [scored(seq, 0.9 if seq <= 30 else 0.1, "aa") for seq in range(1, 61)], every=0)
    record_of(folder, [scored(seq, 0.9 if seq <= 30 else 0.1, "bb") for seq in range(1, 61)], every=1)
    reviews = Reviews(folder)
    for kind in (Kind.REJECT, Kind.GOOD):
        for part in reviews.undecided(kind, 25):
            reviews.decide(*part.key, Choice.GOOD, "Ana", way=Way.DRAWN)
    said = remarks(read_judgement([folder], "part@0123456789ab"))
    assert said[0].startswith("25 of 60 rejects and 25 of 30 goods are reviewed at random")
    assert said[1].startswith("30 goods had no picture when the sample was drawn: the values take them to be like the")


def test_without_a_threshold_the_table_is_printed_and_nothing_is_written(bundle: Bundle, records: Path) -> None:
    done = rethreshold(bundle.path, "--reviewed", records)
    assert done.returncode == 0, done.stderr
    assert "nothing is written" in done.stderr
    assert " old " in done.stdout
    assert f"From {LOW:.5g}" not in done.stdout or "reviewed parts support a threshold" in done.stdout


def refused(done: subprocess.CompletedProcess[str], said: str) -> None:
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert said in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_decisions_on_another_model_are_refused(records: Path) -> None:
    refused(rethreshold("demo", "--reviewed", records), "are of another model than demo@")


def test_too_few_reviewed_parts_are_refused(bundle: Bundle, line: tuple[Path, dict[int, bool]], tmp_path: Path) -> None:
    folder = shutil.copytree(line[0], tmp_path / "few")
    review(folder, line[1], most=5)
    refused(rethreshold(bundle.path, "--reviewed", folder), "which says nothing; review 20 of one kind at least")


def test_a_threshold_that_no_reviewed_part_supports_is_refused(bundle: Bundle, records: Path, tmp_path: Path) -> None:
    for value, said in (("2", "the highest score of a reviewed reject"), ("0.0000001", "of which")):
        out = tmp_path / "other.edge"
        options = ["--threshold", value, "--reason", "a trial", "--out", out]
        refused(rethreshold(bundle.path, "--reviewed", records, *options), said)
        assert not out.exists()


def test_a_score_that_the_bundle_does_not_give_is_refused(bundle: Bundle, judged: Judged, tmp_path: Path) -> None:
    verdicts, frames, truths = judged
    first = next(place for place, one in enumerate(verdicts) if LOW < (one.score or 0) < 0.5)
    moved = verdicts[first].model_copy(update={"score": (verdicts[first].score or 0) + 0.05})
    folder = record_of(tmp_path / "record", [*verdicts[:first], moved, *verdicts[first + 1 :]], 1, frames)
    review(folder, truths)
    options = ["--threshold", "specificity=0.9", "--reason", "a trial", "--out", tmp_path / "x.edge"]
    refused(rethreshold(bundle.path, "--reviewed", folder, *options), "the record is of another model")


def test_threshold_reason_and_out_go_together(bundle: Bundle, records: Path, tmp_path: Path) -> None:
    refused(rethreshold(bundle.path, "--reviewed", records, "--threshold", "0.5"), "--reason is missing")


def test_pytorch_is_not_loaded(bundle: Bundle, records: Path) -> None:
    arguments = ["edge-export", "rethreshold", str(bundle.path), "--reviewed", str(records)]
    code = f"""
import sys
from export.cli import main
sys.argv = {arguments!r}
try:
    main()
except SystemExit as end:
    sys.exit(3 if "torch" in sys.modules else end.code)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
