"""Photographs → trained network → bundle → running station → verdicts in another process, on a real line's parts.

EDGE_ALL_PHOTOGRAPHS=1 trains on, and checks, all photographs instead of every sixth. The shipped bundle judges all of
them in one runtime and every sixth in the other.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
from support.few_hard_frames import few_hard_frames  # noqa: F401 - a fixture
from support.line import TILE_BUNDLE, running_line

import export.cli
import train.cli
from edge.bundle import load_bundle
from edge.pictures import read_picture
from edge.verdict import Outcome, Verdict
from export.parity import reference
from export.source import trained
from train.run import load_run


def test_the_station_says_of_each_photograph_what_pytorch_says(
    tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_folder, bundle, data = tmp_path / "run", tmp_path / "tiles.edge", some_of(tiles, tmp_path / "data")
    train_options = ("--data", data, "--out", run_folder, "--set", "train.epochs=2", "--drop-leaks")
    here(monkeypatch, train.cli.main, "autoencoder-gelu", *train_options)
    here(monkeypatch, export.cli.main, run_folder, "--out", bundle)

    by_openvino = verdicts(data / "test", bundle, "openvino")
    by_onnxruntime = verdicts(data / "test", bundle, "onnxruntime")
    count = sum(1 for _ in (data / "test").glob("[bg]*/*.jpg"))
    assert [v.seq for v in by_openvino] == list(range(1, count + 1))
    assert count > 30
    assert [(v.part, v.verdict) for v in by_openvino] == [(v.part, v.verdict) for v in by_onnxruntime]

    subject, threshold = trained(load_run(run_folder)), load_bundle(bundle).artifact("openvino").threshold.value
    for first, second in zip(by_openvino, by_onnxruntime, strict=True):
        score, *_ = reference(subject, read_picture(data / "test" / first.part))
        assert first.score == pytest.approx(score, abs=1e-4)
        assert second.score == pytest.approx(score, abs=1e-4)
        assert (first.verdict is Outcome.REJECT) == (score >= threshold)

    video = write_video(tmp_path / "tiles.avi", sorted((data / "test").glob("[bg]*/*.jpg"))[:20])
    by_video = verdicts(video, bundle, "openvino")
    assert [v.seq for v in by_video] == list(range(1, 21))


def test_the_shipped_tile_bundle_does_what_it_was_measured_to_do(tiles: Path, tmp_path: Path) -> None:
    heard = verdicts(tiles / "test", TILE_BUNDLE, "openvino")
    rejected = {kind: sum(v.verdict is Outcome.REJECT for v in heard if kind in v.part) for kind in ("bad/", "good/")}
    assert [v.seq for v in heard] == list(range(1, 273))
    assert not any(v.verdict is Outcome.UNKNOWN for v in heard)
    assert rejected == {"bad/": 60, "good/": 11}, "of 79 bad and 193 good photographs"

    for v in heard[::EVERY]:
        (tmp_path / v.part).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tiles / "test" / v.part, tmp_path / v.part)
    by_onnxruntime = verdicts(tmp_path, TILE_BUNDLE, "onnxruntime")
    assert [(v.part, v.verdict) for v in by_onnxruntime] == [(v.part, v.verdict) for v in heard[::EVERY]]
    assert [v.score for v in by_onnxruntime] == pytest.approx([v.score for v in heard[::EVERY]], abs=1e-3)


EVERY = 1 if os.environ.get("EDGE_ALL_PHOTOGRAPHS") else 6


def some_of(tiles: Path, folder: Path) -> Path:
    """Copy every sixth photograph of each folder, with its mask and its row of the table."""
    header, *lines = (tiles / "parts.csv").read_text().splitlines()
    kept = {split: [line for line in lines if line.startswith(split)][EVERY // 2 :: EVERY] for split in SPLITS}
    chosen = [line for lines in kept.values() for line in lines]
    for name in (Path(line.partition(",")[0]) for line in chosen):
        mask = name.parent.with_name("mask") / f"{name.stem}.png"
        for file in (name, mask) if name.parent.name == "bad" else (name,):
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(tiles / file, folder / file)
    (folder / "parts.csv").write_text("\n".join([header, *chosen]) + "\n")
    return folder


SPLITS = [f"{split}/{label}/" for split in ("train", "val", "test") for label in ("bad", "good")]


def here(monkeypatch: pytest.MonkeyPatch, command: Callable[[], None], *arguments: object) -> None:
    """Run one of the project's commands in this process. It must succeed."""
    monkeypatch.setattr(sys, "argv", ["edge", *map(str, arguments)])
    with pytest.raises(SystemExit) as left:
        command()
    assert not left.value.code


def verdicts(source: Path, bundle: Path, backend: str) -> list[Verdict]:
    with running_line("--source", source, "--backend", backend, bundle=bundle) as line:
        assert line.to_the_end() == 0
    result = json.loads(line.stdout.splitlines()[-1])
    assert (result["accepted"], result["in_flight"]) == (len(line.verdicts), 0)
    assert not any(v.simulated for v in line.verdicts)
    return line.verdicts


def write_video(path: Path, photographs: list[Path]) -> Path:
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (320, 240))
    for photograph in photographs:
        video.write(cv2.resize(read_picture(photograph), (320, 240)))
    video.release()
    return path
