"""edge-verify checks a bundle on this machine with golden frames and labelled photographs, and names what is wrong."""

import io
import json
import re
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
import pytest
from support.line import DEMO_BUNDLE, TILE_BUNDLE

from edge.bundle import load_bundle, seal
from edge.cli.verify import main
from edge.demo.lines import split_lines
from edge.demo.photographs import write_photographs
from edge.photographs.photograph import Photograph
from edge.report.heat import map_in_frame
from edge.verify.findings import findings, flips
from edge.verify.scoring import Seen, choose_photographs

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dozen rendered parts, split test, with masks and parts.csv."""
    folder = tmp_path_factory.mktemp("photographs") / "data"
    write_photographs(folder, split_lines("plates", 5, (360, 640)), {"val": 1, "test": 11})
    return folder


@pytest.fixture
def data(photographs: Path, tmp_path: Path) -> Path:
    """A copy of the photographs that the test may damage."""
    return Path(shutil.copytree(photographs, tmp_path / "data"))


@pytest.fixture(scope="module")
def verified(photographs: Path) -> dict[str, Any]:
    """The result of edge-verify for the demonstration bundle on these photographs."""
    done = verify(DEMO_BUNDLE, "--data", photographs, "--json")
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


def verify(*arguments: object) -> Done:
    """Run the command in this process: importing the runtimes takes longer than most of the tests' own work."""
    out, err = io.StringIO(), io.StringIO()
    argv = ["edge-verify", "--threads", "1", *map(str, arguments)]
    said = redirect_stdout(out), redirect_stderr(err)
    with mock.patch.object(sys, "argv", argv), said[0], said[1], pytest.raises(SystemExit) as left:
        main()
    assert isinstance(left.value.code, int)
    return Done(left.value.code, out.getvalue(), err.getvalue())


def refused(*arguments: object) -> str:
    done = verify(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("error: ")
    return done.stderr


def with_threshold(value: float, path: Path) -> Path:
    """The demonstration bundle, sealed with another threshold."""
    shutil.copytree(DEMO_BUNDLE, path)
    manifest = load_bundle(path).manifest
    for name, artifact in manifest.artifacts.items():
        threshold = artifact.threshold.model_copy(update={"value": value})
        manifest.artifacts[name] = artifact.model_copy(update={"threshold": threshold})
    seal(path, manifest)
    return path


def test_golden_frames_pass_in_every_runtime() -> None:
    done = verify(DEMO_BUNDLE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("passed") == 2
    assert "openvino" in done.stdout
    assert "onnxruntime" in done.stdout


def test_photographs_that_the_model_was_not_made_for_are_doubted(verified: dict[str, Any], tmp_path: Path) -> None:
    assert not [note for note in verified["data"]["notes"] if "guessing" in note]
    rng = np.random.default_rng(3)
    for label in ("good", "bad"):
        (tmp_path / "others" / label).mkdir(parents=True)
        for number in range(8):
            picture = rng.integers(0, 256, (80, 120, 3), dtype=np.uint8)
            cv2.imwrite(str(tmp_path / "others" / label / f"{number}.png"), picture)
    done = verify(DEMO_BUNDLE, "--data", tmp_path / "others", "--json")
    assert done.returncode == 0, done.stderr
    doubts = [note for note in json.loads(done.stdout)["data"]["notes"] if "guessing" in note]
    assert [note.partition(" ")[0] for note in doubts] == ["onnxruntime", "openvino"]
    assert "do they show the part of the bundle?" in doubts[0]


def test_a_changed_artifact_fails_by_name(tmp_path: Path) -> None:
    spoilt = Path(shutil.copytree(DEMO_BUNDLE, tmp_path / "spoilt.edge"))
    with (spoilt / "model.onnx").open("r+b") as file:
        file.seek(1000)
        file.write(b"!")
    done = verify(spoilt, "--json")
    assert done.returncode == 1
    assert "model.onnx does not match its SHA-256" in done.stderr
    assert json.loads(done.stdout)["passed"] is False


def test_an_artifact_that_scores_otherwise_fails_alone(tmp_path: Path) -> None:
    other = Path(shutil.copytree(DEMO_BUNDLE, tmp_path / "other.edge"))
    (other / "model.onnx").write_bytes(b"no graph")
    seal(other, load_bundle(DEMO_BUNDLE).manifest)
    done = verify(other, "--json")
    assert done.returncode == 1
    passed = {check["backend"]: check["passed"] for check in json.loads(done.stdout)["checks"]}
    assert passed == {"onnxruntime": False, "openvino": True}
    assert done.stderr.startswith("FAILED: ")
    assert len(done.stderr.splitlines()) == 1


def test_figures_are_those_of_the_scores_that_stand_beside_them(verified: dict[str, Any]) -> None:
    for backend, said in verified["artifacts"].items():
        scored = [(one["scores"][backend], one["label"] == "bad") for one in verified["photographs"]]
        counts = said["figures"]["confusion"]
        assert counts["tp"] == sum(bad and score >= verified["thresholds"][backend] for score, bad in scored)
        assert counts["fp"] == sum(not bad and score >= verified["thresholds"][backend] for score, bad in scored)
        assert sum(counts.values()) == len(scored) == 11
        recall = said["figures"]["recall"]
        assert recall["low"] < recall["value"] <= recall["high"]
        assert said["latency"]["p50_ms"] <= said["latency"]["p99_ms"]
        assert said["by_part"]["parts"] == 11
        assert sum(kind["trials"] for kind in said["kinds"].values()) == recall["trials"]
        assert 0.2 < said["overlap"]["dice"] < 1
        assert said["overlap"]["photographs"] == recall["trials"]
    assert verified["data"]["split"] == "test"


def test_dice_compares_the_map_with_the_truth_where_it_lies(verified: dict[str, Any], photographs: Path) -> None:
    from edge.backends import load_from
    from edge.pictures import read_picture

    one = next(one for one in verified["photographs"] if one["dice"])
    bundle = load_bundle(DEMO_BUNDLE)
    output = load_from(bundle, "openvino", 1).infer(read_picture(photographs / one["name"]))
    truth = cv2.imread(str(photographs / "test" / "mask" / f"{Path(one['name']).stem}.png"), 0) > 0
    assert output.map is not None
    assert bundle.manifest.map_threshold is not None
    level = bundle.manifest.map_threshold.value
    found = map_in_frame(output.map, bundle.manifest.letterbox, *truth.shape) >= level
    assert one["dice"]["openvino"] == pytest.approx(2 * (found & truth).sum() / (found.sum() + truth.sum()), abs=1e-3)
    turned = np.rot90(truth, 2)
    assert 2 * (found & turned).sum() / (found.sum() + turned.sum()) < one["dice"]["openvino"] / 2


def test_a_threshold_too_high_names_every_miss_and_shows_it(photographs: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    high = with_threshold(2.0, tmp_path / "high.edge")
    done = verify(high, "--data", photographs, "--html", page)
    assert done.returncode == 0, done.stderr
    bad = sorted(path.name for path in (photographs / "test" / "bad").iterdir())
    html = page.read_text(encoding="utf-8")
    for name in bad:
        assert name in done.stdout
        assert f"photograph, defect outlined of test/bad/{name}" in html
    assert f"{len(bad)} of {len(bad)} bad photographs missed, none of {11 - len(bad)} good ones rejected" in html
    assert html.count("data:image/jpeg") == 2 * len(bad)
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", html)


def test_a_threshold_too_low_names_every_false_reject(photographs: Path, tmp_path: Path) -> None:
    done = verify(with_threshold(-1.0, tmp_path / "low.edge"), "--data", photographs, "--json")
    for said in json.loads(done.stdout)["artifacts"].values():
        assert sorted(Path(name).name for name in said["false_rejects"]) == sorted(
            path.name for path in (photographs / "test" / "good").iterdir()
        )
        assert said["misses"] == []


def test_a_threshold_between_two_artifacts_scores_is_a_flip(
    verified: dict[str, Any], photographs: Path, tmp_path: Path
) -> None:
    apart = next(one for one in verified["photographs"] if len(set(one["scores"].values())) == 2)
    bundle = with_threshold(max(apart["scores"].values()), tmp_path / "between.edge")
    assert "photographs that the artifacts judge differently: 1" in verify(bundle, "--data", photographs).stdout
    found = json.loads(verify(bundle, "--data", photographs, "--json").stdout)["flips"]
    assert {"name": apart["name"], "label": apart["label"], "scores": apart["scores"]} in found


def test_parts_photographed_often_are_counted_once() -> None:
    seen = [
        Seen(
            Photograph(Path(f"{part}-{view}"), f"{part}-{view}", label, details={"part": part}),
            {"a": score},
            {"a": 1.0},
        )
        for part, label, score in (("p", "bad", 0.9), ("q", "bad", 0.1), ("r", "good", 0.2))
        for view in range(4)
    ]
    said = findings(seen, "a", 0.5, None)
    assert said.by_part is not None
    assert said.by_part.whole_parts is not None
    assert said.by_part.whole_parts.confusion.model_dump() == {"tp": 1, "fn": 1, "tn": 1, "fp": 0}
    assert said.by_part.recall.high - said.by_part.recall.low > said.figures.recall.high - said.figures.recall.low
    assert flips(seen, {"a": 0.5}) == []


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda data: (data / "test/good/part-000099.jpg").write_text("text"), "1 of 12 photographs cannot be used"),
        (lambda data: (data / "test/good/notes.txt").write_text("text"), "notes.txt"),
        (lambda data: next((data / "test/bad").iterdir()).write_bytes(b""), "the file is empty"),
        (lambda data: shutil.rmtree(data / "test"), "split 'test' holds no photographs; there are val (1)"),
        (lambda data: [shutil.rmtree(data / split) for split in ("val", "test")], "in no layout known here"),
        (
            lambda data: cv2.imwrite(str(next((data / "test/mask").iterdir())), np.zeros((80, 90), np.uint8)),
            "(mask is 90×80, photograph 640×360)",
        ),
    ],
)
def test_photographs_that_cannot_be_judged_are_counted_and_named(data: Path, spoil: Any, says: str) -> None:
    spoil(data)
    assert says in refused(DEMO_BUNDLE, "--data", data)


def test_masks_are_surveyed_and_read_as_one_says(verified: dict[str, Any], photographs: Path) -> None:
    survey = verified["data"]["survey"]
    bad = len(list((photographs / "test" / "bad").iterdir()))
    assert (survey["splits"]["test"]["masks"], survey["splits"]["test"]["empty_masks"]) == (bad, 0)
    assert survey["masks"]["meaning"] == "nonzero"
    said = refused(DEMO_BUNDLE, "--data", photographs, "--masks", "inverted")
    assert f"{bad} of 11 photographs cannot be used: test/bad/" in said


def test_a_folder_without_photographs_and_one_without_splits(data: Path, tmp_path: Path) -> None:
    (tmp_path / "empty" / "good").mkdir(parents=True)
    assert "hold no photographs" in refused(DEMO_BUNDLE, "--data", tmp_path / "empty")
    assert "has no splits" in refused(DEMO_BUNDLE, "--data", data / "test", "--split", "val")
    assert len(choose_photographs(data / "test", None).photographs) == 11


def test_what_else_a_person_gets_wrong_is_one_line(tmp_path: Path) -> None:
    assert "no such folder" in refused(tmp_path / "nosuch.edge")
    assert "no such data folder" in refused(DEMO_BUNDLE, "--data", tmp_path / "nosuch")
    assert "--masks needs photographs: give --data" in refused(DEMO_BUNDLE, "--masks", "half")
    assert "--html needs photographs: give --data" in refused(DEMO_BUNDLE, "--html", tmp_path / "page.html")
    assert "no artifact 'tensorrt'; the bundle has onnxruntime" in refused(DEMO_BUNDLE, "--backend", "tensorrt")


def test_without_scikit_learn_golden_frames_are_checked_and_data_names_the_extra(photographs: Path) -> None:
    without = "import sys; sys.modules['sklearn'] = None; from edge.cli.verify import main; main()"
    start = [sys.executable, "-c", without, str(DEMO_BUNDLE), "--threads", "1"]
    done = subprocess.run(start, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    done = subprocess.run([*start, "--data", str(photographs)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    expected = "error: --data needs scikit-learn, which is not installed: pip install 'edge-inspect[verify]'\n"
    assert done.stderr == expected


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: how the page looks in a browser is not tested")
def test_a_browser_shows_the_page_and_nothing_hangs_over_its_edge(photographs: Path, tmp_path: Path) -> None:
    page, picture = tmp_path / "page.html", tmp_path / "page.png"
    verify(with_threshold(2.0, tmp_path / "high.edge"), "--data", photographs, "--html", page)
    quiet = ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    plain = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--hide-scrollbars"]
    options = [*quiet, f"--user-data-dir={tmp_path / 'profile'}", "--window-size=500,9000"]
    subprocess.run(
        [*plain, *options, f"--screenshot={picture}", page.as_uri()], check=True, capture_output=True, timeout=60
    )
    shown = cv2.imread(str(picture))
    paper = shown[0, 0]
    assert (shown[:, -4:] == paper).all(), "something is wider than the page"
    assert ((shown != paper).any(axis=(1, 2))).mean() > 0.1


def test_photographs_of_another_line_are_said_to_be_unlike_the_training_photographs(
    photographs: Path, verified: dict[str, Any], tmp_path: Path
) -> None:
    own = verified["data"]["out_of_distribution"]
    assert own["photographs"] == 11
    assert own["unlike"] <= 1
    page = tmp_path / "page.html"
    done = verify(TILE_BUNDLE, "--backend", "onnxruntime", "--data", photographs, "--html", page)
    lines = [text for text in done.stdout.splitlines() if "unlike" in text]
    trained = "those that the bundle was trained on"
    said = rf"11 of 11 photographs are unlike {trained} \(median distance \d\d\.\d, limit \d\.\d\)"
    assert len(lines) == 1
    assert re.fullmatch(f"warning: {said}", lines[0])
    assert re.search(rf'<p class="failed">{said}', page.read_text())


def test_each_photograph_has_its_distance(verified: dict[str, Any]) -> None:
    distances = sorted(one["distance"] for one in verified["photographs"])
    assert verified["data"]["out_of_distribution"]["median_distance"] == distances[5]
    assert distances[0] > 0


def test_a_bundle_without_statistics_says_nothing_of_unlike_photographs(photographs: Path, tmp_path: Path) -> None:
    older = Path(shutil.copytree(DEMO_BUNDLE, tmp_path / "older.edge"))
    seal(older, load_bundle(older).manifest.model_copy(update={"input_statistics": None}))
    done = verify(older, "--backend", "onnxruntime", "--data", photographs, "--html", tmp_path / "page.html")
    assert done.returncode == 0
    assert "unlike" not in done.stdout + (tmp_path / "page.html").read_text()
    said = json.loads(verify(older, "--backend", "onnxruntime", "--data", photographs, "--json").stdout)
    assert said["data"]["out_of_distribution"] is None
    assert {one["distance"] for one in said["photographs"]} == {None}
