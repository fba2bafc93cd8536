"""A checkpoint of a network of this package is exported without a training run, or refused with the reason."""

import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from edge.bundle import load_bundle, sha256
from edge.errors import RecipeError
from edge.letterbox.contract import LetterboxContract
from edge.pictures import read_picture
from export.checkpoint import subject_of
from export.parity import reference
from export.source import Evidence, SubjectError
from train.letterbox import letterboxed
from train.models import Batch, Network, build_network
from train.recipe import load_recipe

Export = Callable[..., int | str]


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for label in ("good", "bad"):
        (tmp_path / "parts" / "val" / label).mkdir(parents=True)
        for index in range(3):
            picture = rng.integers(0, 256 if label == "bad" else 40, (90, 120, 3), dtype=np.uint8)
            cv2.imwrite(str(tmp_path / "parts" / "val" / label / f"{index}.png"), picture)
    return tmp_path / "parts"


def saved(name: str, file: Path) -> Network:
    """A freshly initialised network, whose checkpoint is written to `file`."""
    torch.manual_seed(5)
    network = build_network(name, {}).eval()
    if file.suffix == ".safetensors":
        save_file(network.state_dict(), file)
    else:
        torch.save({"model": network.state_dict(), "epoch": 7, "best_val": 0.9}, file)
    return network


def test_the_bundle_of_a_checkpoint_says_what_its_network_says(parts: Path, tmp_path: Path, export: Export) -> None:
    file = tmp_path / "best.pt"
    network = saved("autoencoder-gelu", file)
    arguments = ["--checkpoint", file, "--recipe", "autoencoder-gelu", "--data", parts]
    overrides = ["--set", "letterbox.fill=9", "--threshold", "balanced"]
    assert export(*arguments, *overrides, "--out", tmp_path / "best.edge") == 0
    bundle = load_bundle(tmp_path / "best.edge")
    assert bundle.manifest.letterbox.fill == 9
    assert bundle.manifest.provenance["checkpoint sha256"] == sha256(file)
    threshold = bundle.artifact("openvino").threshold
    assert (threshold.strategy, threshold.recall.count, threshold.specificity.count) == ("balanced", 3, 3)
    for golden in bundle.golden():
        image, mask = letterboxed_by(bundle.manifest.letterbox, golden.frame)
        with torch.no_grad():
            assert golden.score == pytest.approx(float(network(image, mask)[0]), abs=1e-6)


def test_a_safetensors_file_gives_the_same_weights(tmp_path: Path) -> None:
    for suffix in (".pt", ".safetensors"):
        state = saved("autoencoder-gelu", file := tmp_path / f"best{suffix}").state_dict()
        loaded = subject_of(file, "autoencoder-gelu", load_recipe("autoencoder-gelu"), 0.5, Evidence())
        found = loaded.network.state_dict()
        assert found.keys() == state.keys()
        assert all(torch.equal(value, found[key]) for key, value in state.items())
        assert loaded.origin["checkpoint sha256"] == sha256(file)


def letterboxed_by(contract: LetterboxContract, frame: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    image, mask = letterboxed(frame, contract)
    return image[None], mask[None]


@pytest.mark.parametrize(("network", "recipe"), [("densenet121", "densenet121-letterbox"), ("unet-resnet34",) * 2])
def test_the_experiments_networks_load_with_the_letterbox_of_their_recipe(
    parts: Path, tmp_path: Path, network: str, recipe: str
) -> None:
    expected, loaded = saved(network, tmp_path / "best.pt"), load_recipe(recipe)
    subject = subject_of(tmp_path / "best.pt", recipe, loaded, 0.5, Evidence())
    assert subject.contract == loaded.letterbox
    state = expected.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in subject.network.state_dict().items())
    score, where, _ = reference(subject, read_picture(parts / "val" / "bad" / "0.png"))
    assert 0 < score < 1
    assert where is not None


def test_a_checkpoint_of_another_network_says_which_keys_differ(refused: Callable[..., str], tmp_path: Path) -> None:
    saved("autoencoder-gelu", tmp_path / "best.pt")
    arguments = ["--checkpoint", tmp_path / "best.pt", "--recipe", "densenet121-letterbox", "--threshold", "0.5"]
    said = refused(*arguments)
    assert "best.pt does not fit densenet121, the network of recipe densenet121-letterbox: it lacks " in said
    assert " more; has " in said


@pytest.mark.parametrize(("chosen", "level"), [([], 1), (["--weights-key", "model"], 0)])
def test_averaged_weights_are_exported_unless_others_are_asked_for(
    tmp_path: Path, export: Export, capsys: pytest.CaptureFixture[str], chosen: list[str], level: int
) -> None:
    file, states = tmp_path / "best.pt", []
    for seed in (5, 6):
        torch.manual_seed(seed)
        states.append(build_network("autoencoder-gelu", {}).state_dict())
    torch.save({"model": states[0], "model_ema": states[1]}, file)
    arguments = ["--checkpoint", file, "--recipe", "autoencoder-gelu", "--threshold", "0.5", *chosen]
    assert export(*arguments, "--out", tmp_path / "best.edge") == 0
    names = ["model", "model_ema"]
    taken = f"weights of {file}: {names[level]}, not {names[1 - level]} (--weights-key takes another)"
    assert taken in capsys.readouterr().err.splitlines()
    bundle = load_bundle(tmp_path / "best.edge")
    assert bundle.manifest.provenance["checkpoint key"] == names[level]
    network = build_network("autoencoder-gelu", {}).eval()
    network.load_state_dict(states[level])
    golden = bundle.golden()[0]
    with torch.no_grad():
        expected = float(network(*letterboxed_by(bundle.manifest.letterbox, golden.frame))[0])
    assert golden.score == pytest.approx(expected, abs=1e-6)


def test_a_network_of_one_side_is_loaded_and_another_side_is_said(tmp_path: Path) -> None:
    torch.manual_seed(5)
    network = build_network("padim", {"dimensions": 4})
    mask = torch.ones(4, 1, 64, 64)
    seen = Batch(torch.rand(4, 3, 64, 64), mask, torch.zeros(4), torch.zeros_like(mask), torch.ones(4))
    network.gather(seen)
    network.conclude()
    torch.save({"model": network.state_dict()}, tmp_path / "best.pt")
    own, other = (load_recipe("padim", ["model.dimensions=4", f"letterbox.side={side}"]) for side in (64, 96))
    loaded = subject_of(tmp_path / "best.pt", "padim", own, 0.5, Evidence()).network
    assert torch.equal(loaded.mean, network.mean)
    with pytest.raises(RecipeError, match=r"letterbox\.side = 96: the network cannot take it \(.*\); try 64"):
        subject_of(tmp_path / "best.pt", "padim", other, 0.5, Evidence())


def test_only_the_encoder_is_not_enough(tmp_path: Path) -> None:
    state = build_network("unet-resnet34", {}).encoder.state_dict()
    torch.save(state, tmp_path / "resnet34.pth")
    with pytest.raises(RecipeError, match="it lacks"):
        subject_of(tmp_path / "resnet34.pth", "unet-resnet34", load_recipe("unet-resnet34"), 0.5, Evidence())


class Evil:
    """An object whose pickle executes code."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.mark),)


def test_no_pickle_is_executed(refused: Callable[..., str], tmp_path: Path) -> None:
    torch.save({"model": Evil(tmp_path / "executed")}, tmp_path / "evil.pt")
    arguments = ["--recipe", "autoencoder-gelu", "--threshold", "0.5"]
    assert "evil.pt cannot be read" in refused("--checkpoint", tmp_path / "evil.pt", *arguments)
    assert not (tmp_path / "executed").exists()
    torch.load(tmp_path / "evil.pt", weights_only=False)
    assert (tmp_path / "executed").exists(), "the trap works"


def test_a_damaged_safetensors_file_is_one_line(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"garbage garbage")
    arguments = ["--recipe", "autoencoder-gelu", "--threshold", "0.5"]
    assert "w.safetensors cannot be read" in refused("--checkpoint", tmp_path / "w.safetensors", *arguments)


def test_a_recipe_that_normalises_by_its_data_needs_the_numbers(tmp_path: Path) -> None:
    recipe = load_recipe("unet-autoencoder-perceptual")
    with pytest.raises(SubjectError, match=r"normalises by its training photographs, which .* does not tell: give"):
        subject_of(tmp_path / "any.pt", "unet-autoencoder-perceptual", recipe, 0.5, Evidence())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--recipe", "densenet"], "no recipe 'densenet'; there are"),
        ([], "--checkpoint needs the --recipe of its network; there are"),
        (["--recipe", "padim"], "on labelled photographs: give --data, or a number as --threshold"),
        (["--recipe", "padim", "--output", "score=x"], "--output goes with --onnx, not with --checkpoint"),
        (["--recipe", "padim", "--set", "letterbox.sise=3"], "unknown key 'letterbox.sise'"),
    ],
)
def test_what_does_not_fit_is_one_line(refused: Callable[..., str], arguments: list[str], says: str) -> None:
    assert says in refused("--checkpoint", "best.pt", *arguments)


def test_photographs_without_validation_are_one_line(refused: Callable[..., str], parts: Path, tmp_path: Path) -> None:
    (parts / "val").rename(parts / "test")
    saved("autoencoder-gelu", tmp_path / "best.pt")
    arguments = ["--checkpoint", tmp_path / "best.pt", "--recipe", "autoencoder-gelu", "--data", parts]
    assert "has no validation photographs: put some into val/" in refused(*arguments)


def test_photographs_that_cannot_be_read_are_one_line(refused: Callable[..., str], parts: Path, tmp_path: Path) -> None:
    (parts / "val" / "bad" / "1.png").write_bytes(b"no picture")
    saved("autoencoder-gelu", tmp_path / "best.pt")
    arguments = ["--checkpoint", tmp_path / "best.pt", "--recipe", "autoencoder-gelu", "--data", parts]
    assert "1 of 6 photographs cannot be used" in refused(*arguments)
