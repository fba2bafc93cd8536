"""Statistics of the training photographs: their computation, and their addition to an existing bundle."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.line import DEMO_BUNDLE

from edge.backends import check_golden, load_from
from edge.bundle import MANIFEST, MANIFEST_HASH, SIGNATURES, InputStatistics, load_bundle, seal
from edge.bundle.input_distance import InputDistance
from edge.demo.lines import split_lines
from edge.demo.photographs import write_photographs
from edge.letterbox.contract import LetterboxContract
from edge.photographs.fingerprint import fingerprint, hash_photographs
from edge.photographs.listing import read_listing
from edge.photographs.photograph import read_photograph
from edge.pictures.features import FEATURES, RESOLUTION
from edge.terminal.progress import SILENT
from export.input_statistics import FEWEST, LEAST_LIMIT, features_of, good_scores, input_statistics, learn
from train.data.photographs import list_photographs

Export = Callable[..., int | str]
CONTRACT = LetterboxContract(side=320)
COUNT = len(FEATURES)


def correlated(count: int, seed: int) -> np.ndarray:
    """Correlated features float64 [count, 14] of a line, whose spread is large compared with their resolution."""
    mixed = np.random.default_rng(0).normal(size=(COUNT, COUNT))
    scale = 20 * np.array([*RESOLUTION.values()])
    return np.random.default_rng(seed).normal(size=(count, COUNT)) @ mixed * scale


def distances(found: InputStatistics, features: np.ndarray) -> np.ndarray:
    comparison = InputDistance(found, CONTRACT)
    return np.array([comparison.of_features(one).distance for one in features])


def covariance(found: InputStatistics) -> np.ndarray:
    whitening = np.array([[*row, *[0.0] * (COUNT - len(row))] for row in found.whitening])
    return np.linalg.inv(whitening.T @ whitening)


@pytest.mark.parametrize("held_out", [150, 1000])
def test_about_one_further_picture_in_a_hundred_is_beyond_the_limit(held_out: int) -> None:
    shares = []
    for seed in range(12):
        found = learn(CONTRACT, correlated(400, seed), correlated(held_out, 100 + seed), "x")
        shares.append((distances(found, correlated(500, 200 + seed)) > found.limit).mean())
        assert found.beyond <= 0.01 * held_out
    assert 0.003 < np.mean(shares) < 0.013


def test_the_range_of_scores_is_that_of_good_photographs_only() -> None:
    found = good_scores("onnxruntime", [*np.linspace(0, 1, 101), 50.0, 60.0], [False] * 101 + [True] * 2)
    assert found is not None
    assert (found.artifact, found.count, found.low, found.median, found.high) == ("onnxruntime", 101, 0.05, 0.5, 0.95)
    assert good_scores("onnxruntime", [0.0] * FEWEST, [True] + [False] * (FEWEST - 1)) is None


def test_with_few_held_out_photographs_the_limit_is_the_largest_distance() -> None:
    held_out = correlated(30, 7)
    found = learn(CONTRACT, correlated(400, 1), held_out, "x")
    assert found.limit == pytest.approx(distances(found, held_out).max(), abs=1e-3)
    assert (found.beyond, found.held_out) == (0, 30)
    assert found.strategy == "split conformal, at most 0.032 of further pictures beyond"


def test_many_photographs_shrink_hardly_and_few_shrink_much() -> None:
    of_few, of_many = (learn(CONTRACT, correlated(count, 1), correlated(50, 2), "x") for count in (FEWEST, 5000))
    assert of_many.shrinkage < 0.01 < 0.1 < of_few.shrinkage < 1
    expected = np.corrcoef(correlated(20_000, 3).T)
    assert np.abs(covariance(of_many) - expected).max() < 0.1


def test_fewer_photographs_than_features_still_give_a_distance() -> None:
    found = learn(CONTRACT, correlated(COUNT - 4, 1), correlated(50, 2), "x")
    assert np.linalg.eigvalsh(covariance(found)).min() > 0.01


def test_photographs_that_are_all_the_same_leave_room_for_noise() -> None:
    same = np.tile(correlated(1, 1), (40, 1))
    found = learn(CONTRACT, same, same, "x")
    assert found.limit == LEAST_LIMIT
    resolution = np.array([*RESOLUTION.values()])
    assert distances(found, same[:1] + 0.9 * resolution)[0] < found.limit < distances(found, same[:1] + 2 * resolution)


def test_a_direction_in_which_the_photographs_do_not_differ_counts_most() -> None:
    trained = correlated(400, 1)
    trained[:, 1] = trained[:, 0] / 40  # contrast follows brightness
    found = learn(CONTRACT, trained, trained[:50], "x")
    along, against = (trained.mean(axis=0) + np.eye(COUNT)[0] * 40 + np.eye(COUNT)[1] * one for one in (1, -1))
    assert distances(found, against[None]) > 3 * distances(found, along[None])


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parts of the demonstration line, FEWEST in each of train, val and test."""
    folder = tmp_path_factory.mktemp("rendered") / "data"
    write_photographs(folder, split_lines("plates", size=(180, 320)), dict.fromkeys(("train", "val", "test"), FEWEST))
    return folder


def learned(data: Path) -> InputStatistics | None:
    splits = read_listing(data).splits
    return input_statistics(CONTRACT, splits["train"], splits["val"], data.name, SILENT.begin)


def test_rendered_photographs_are_like_those_of_their_line_and_noise_is_not(rendered: Path) -> None:
    found = learned(rendered)
    assert found is not None
    bad = sum(p.is_bad for p in list_photographs(rendered, "train"))
    assert found.data == f"training photographs of data: {FEWEST - bad} good, {bad} bad"
    own = distances(found, features_of(CONTRACT, list_photographs(rendered, "test")))
    assert (own > found.limit).mean() < 0.3
    noise = np.random.default_rng(0).integers(0, 256, (180, 320, 3), dtype=np.uint8)
    changed = (noise, 255 - read_photograph(list_photographs(rendered, "test")[0]))
    comparison = InputDistance(found, CONTRACT)
    assert all(comparison.measure_frame(frame).distance > 2 * found.limit for frame in changed)


def test_too_few_photographs_give_no_statistics(rendered: Path, tmp_path: Path) -> None:
    for split in ("train", "val"):
        fewer = Path(shutil.copytree(rendered, tmp_path / split))
        list_photographs(fewer, split)[0].path.unlink()
        assert learned(fewer) is None


# ------------------------------------------------------------------------------------------------ an existing bundle


@pytest.fixture
def older(rendered: Path, tmp_path: Path) -> Path:
    """A signed bundle without statistics whose provenance names the rendered photographs."""
    path = Path(shutil.copytree(DEMO_BUNDLE, tmp_path / "older.edge"))
    manifest, listing = load_bundle(path).manifest, read_listing(rendered)
    bad = sum(photograph.is_bad for photograph in listing.splits["val"])
    artifacts = {
        name: replaced(artifact, "threshold", count_of(artifact.threshold, FEWEST - bad, bad))
        for name, artifact in manifest.artifacts.items()
    }
    origin = {"data sha256": fingerprint(hash_photographs(listing.photographs)), "data": "data"}
    changes = {"input_statistics": None, "artifacts": artifacts, "provenance": manifest.provenance | origin}
    seal(path, manifest.model_copy(update=changes))
    (path / SIGNATURES).write_text(f"ed25519 {'0' * 64} {'0' * 128}\n")
    return path


def replaced(model, key, value):  # type: ignore[no-untyped-def]
    return model.model_copy(update={key: value})


def count_of(threshold, good, bad):  # type: ignore[no-untyped-def]
    """The threshold, as if chosen on this number of good and bad photographs."""
    specificity, recall = (
        replaced(rate, "count", n) for rate, n in ((threshold.specificity, good), (threshold.recall, bad))
    )
    return threshold.model_copy(update={"specificity": specificity, "recall": recall})


def test_a_bundle_gains_statistics_and_nothing_else_changes(
    older: Path, rendered: Path, tmp_path: Path, export: Export, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export("--bundle", older, "--data", rendered, "--out", tmp_path / "new.edge") == 0
    said = capsys.readouterr().err
    assert f"input statistics of training photographs of data: {FEWEST} " not in said
    assert "input statistics of training photographs of data: " in said
    assert "older.edge do not hold for" in said
    before, after = load_bundle(older), load_bundle(tmp_path / "new.edge")
    assert after.manifest.input_statistics == learned(rendered)
    assert before.manifest.files == after.manifest.files
    differing = {"input_statistics", "provenance"}
    assert before.manifest.model_dump(exclude=differing) == after.manifest.model_dump(exclude=differing)
    added = after.manifest.provenance.items() - before.manifest.provenance.items()
    assert {key for key, _ in added} == {"input statistics"}
    names = {p.relative_to(after.path).as_posix() for p in after.path.rglob("*") if p.is_file()}
    assert names == {*after.manifest.files, MANIFEST, MANIFEST_HASH}, "the signature was of another manifest"
    for name in after.manifest.artifacts:
        assert check_golden(after, load_from(after, name, 1)) <= after.artifact(name).golden_tolerance


def test_the_statistics_are_printed_as_json(
    older: Path, rendered: Path, tmp_path: Path, export: Export, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export("--bundle", older, "--data", rendered, "--out", tmp_path / "new.edge", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["input_statistics"]["held_out"] == FEWEST
    assert "sign it again" in said["warning"]


def test_other_photographs_than_those_of_the_bundle_are_refused(
    older: Path, rendered: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    other = Path(shutil.copytree(rendered, tmp_path / "other"))
    photograph = list_photographs(other, "train")[0]
    cv2.imwrite(str(photograph.path), 255 - read_photograph(photograph))
    said = refused("--bundle", older, "--data", other)
    assert f"the photographs in {other} are not the ones that {older} was made from (data, " in said


def test_photographs_that_the_run_left_out_are_asked_for(
    older: Path, rendered: Path, tmp_path: Path, export: Export, refused: Callable[..., str]
) -> None:
    manifest = load_bundle(older).manifest
    bad = sum(photograph.is_bad for photograph in list_photographs(rendered, "val"))
    artifacts = {
        name: replaced(one, "threshold", count_of(one.threshold, FEWEST - bad + 1, bad))
        for name, one in manifest.artifacts.items()
    }
    seal(older, manifest.model_copy(update={"artifacts": artifacts}))
    said = refused("--bundle", older, "--data", rendered)
    assert f"was made with {FEWEST - bad + 1} good and {bad} bad validation photographs" in said
    assert "give split.csv of its run as --split" in said
    moved = next(photograph.name for photograph in list_photographs(rendered, "test") if not photograph.is_bad)
    rows = [f"{p.name},{'val' if p.name == moved else split}" for split, p in every(rendered)]
    (tmp_path / "split.csv").write_text("\n".join(["file,split", *rows]) + "\n")
    split = ("--split", tmp_path / "split.csv")
    assert export("--bundle", older, "--data", rendered, *split, "--out", tmp_path / "n.edge") == 0
    found = load_bundle(tmp_path / "n.edge").manifest.input_statistics
    assert found is not None
    assert found.held_out == FEWEST + 1


def every(data: Path):  # type: ignore[no-untyped-def]
    return [(split, one) for split, members in read_listing(data).splits.items() for one in members]


def test_a_foreign_bundle_takes_the_photographs_that_it_is_given(
    older: Path, rendered: Path, tmp_path: Path, export: Export
) -> None:
    manifest = load_bundle(older).manifest
    origin = {"model": "model.onnx", "data": "data", "data sha256": "0" * 64}
    seal(older, manifest.model_copy(update={"provenance": origin}))
    assert export("--bundle", older, "--data", rendered, "--out", tmp_path / "new.edge") == 0
    assert load_bundle(tmp_path / "new.edge").manifest.input_statistics == learned(rendered)


def test_what_does_not_go_with_a_bundle_is_refused_in_one_line(
    older: Path, rendered: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    assert "--bundle needs the photographs" in refused("--bundle", older)
    for option in (["--threshold", "0.5"], ["--half"], ["--simulated"], ["--no-photographs"], ["--one-file"]):
        said = refused("--bundle", older, "--data", rendered, *option)
        assert said.startswith(f"error: {option[0]} goes with "), said
    assert "--split goes with --bundle" in refused(tmp_path, "--split", tmp_path / "split.csv")
    few = Path(shutil.copytree(rendered, tmp_path / "few"))
    shutil.rmtree(few / "val")
    manifest = load_bundle(older).manifest
    seal(older, manifest.model_copy(update={"provenance": {}}))
    said = refused("--bundle", older, "--data", few)
    assert f"has {FEWEST} training and 0 validation photographs; statistics need at least {FEWEST} of each" in said


def test_an_exported_run_has_statistics_of_its_training_photographs(tmp_path: Path) -> None:
    from test_pack import untrained

    from export.pack import export_subject

    data = tmp_path / "data"
    write_photographs(data, split_lines("plates", size=(90, 160)), {"train": FEWEST, "val": 2 * FEWEST})
    subject = replace(untrained(data), knows_training=True)
    manifest = export_subject(subject, tmp_path / "model.edge", SILENT.begin).manifest
    found, scores = manifest.input_statistics, manifest.good_scores
    assert found is not None
    splits = read_listing(data).splits
    assert found == input_statistics(subject.contract, splits["train"], splits["val"], "data", SILENT.begin)
    assert scores is not None
    assert scores.count == sum(not photograph.is_bad for photograph in splits["val"])
    assert scores.low <= scores.median <= scores.high
