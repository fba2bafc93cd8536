"""Tiles: every pixel of a large picture is seen, the map has no seams, and what is exported does the same."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor

from edge.demo.line import DemoLine
from edge.demo.lines import SPLITS
from edge.demo.photographs import write_photographs
from edge.errors import DataError, RecipeError
from export.graph import network_model
from train.fit import fit
from train.models import Batch
from train.own_network import network_of
from train.recipe import Recipe, Tiles, load_recipe
from train.tiles import Axis, Tiled

SIDE, TILE = 256, 96


def recipe(*overrides: str, name: str = "demo-line") -> Recipe:
    return load_recipe(name, [f"letterbox.side={SIDE}", f"tiles={{side={TILE}, overlap=32}}", *overrides])


def tiled(*overrides: str, name: str = "demo-line") -> Tiled:
    torch.manual_seed(0)
    network = network_of(recipe(*overrides, name=name)).eval()
    assert isinstance(network, Tiled)
    return network


def picture(side: int = SIDE, seed: int = 0) -> tuple[Tensor, Tensor]:
    mask = torch.zeros(1, 1, side, side)
    mask[..., 40 : side - 50, :] = 1
    return torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(seed)), mask


@pytest.mark.parametrize(("begin", "end", "length"), [(0, 2464, 2464), (0, 100, 512), (200, 1848, 2048), (37, 38, 96)])
@pytest.mark.parametrize(("side", "overlap"), [(96, 0), (96, 48), (64, 1)])
def test_tiles_cover_what_is_asked_and_overlap(begin: int, end: int, length: int, side: int, overlap: int) -> None:
    axis = Axis.covering(begin, end, length, Tiles(side=side, overlap=overlap))
    covered = np.zeros(length, int)
    for start in axis.starts:
        assert start % 32 == 0
        covered[start : start + side] += 1
    assert covered[begin:end].all()
    assert (covered > 0).sum() <= max(side, -(-end // 32) * 32 - begin // 32 * 32)
    assert all(before + side - after >= overlap for before, after in zip(axis.starts, axis.starts[1:], strict=False))


def test_the_map_of_a_network_that_looks_at_each_pixel_alone_is_that_of_the_whole_picture() -> None:
    network, (image, mask) = tiled(), picture()
    network.inner.forward = lambda seen, where: ((seen * where).amax((1, 2, 3)), (seen * where).amax(1)[:, ::4, ::4])  # type: ignore[method-assign]
    score, heat = network(image, mask)
    assert heat is not None
    torch.testing.assert_close(score, (image * mask).amax((1, 2, 3)))
    torch.testing.assert_close(heat, (image * mask).amax(1)[:, ::4, ::4])


def test_a_defect_anywhere_on_the_frame_changes_its_place_on_the_map() -> None:
    network, (image, mask) = tiled(), picture()
    with torch.no_grad():
        heat = network(image, mask)[1]
        for row, column in [(45, 3), (100, 95), (150, 160), (203, 253)]:
            struck = image.clone()
            struck[..., row - 2 : row + 3, column - 2 : column + 3] = 40
            marked = network(struck, mask)[1]
            assert heat is not None
            assert marked is not None
            changed = (marked - heat).abs()[0]
            assert float(changed[row // 4, column // 4]) > 0.1 * float(changed.max()) > 0


def test_neither_padding_nor_tiles_without_the_frame_count() -> None:
    network, (image, mask) = tiled(), picture()
    mask[..., 100:, :] = 0
    with torch.no_grad():
        score, heat = network(image, mask)
        noisy = network(image + 1000 * (1 - mask), mask)
        assert torch.equal(score, noisy[0])
        assert torch.equal(heat, noisy[1])
        assert (heat[:, 25:] == 0).all()
        network.inner.forward = lambda seen, where: (1 - where.amax((1, 2, 3)), None)  # type: ignore[method-assign]
        assert float(network(image, mask)[0]) == 0, "the score of an empty tile is 1"


def test_a_region_gets_tiles_only_where_it_lies() -> None:
    network = tiled("letterbox.region={top=10, left=20, height=500, width=1000}")
    assert network.rows.starts == (64, 96)
    assert network.columns.starts == (0, 64, 96, 160)


@pytest.mark.parametrize("name", ["demo-line", "patchcore", "densenet121-letterbox"])
def test_exported_graph_gives_pytorchs_score_and_map(name: str) -> None:
    network, (image, mask) = tiled("model.weights=random", name=name), picture()
    if network.learns_by == "statistics":
        network.gather(Batch(image, mask, torch.zeros(1), torch.zeros_like(mask), torch.ones(1)))
        network.conclude()
    with torch.no_grad():
        expected = [one.numpy() for one in network(image, mask) if one is not None]
    session = onnxruntime.InferenceSession(network_model(network, 3, SIDE).SerializeToString())
    given = session.run(None, {"image": image.numpy(), "mask": mask.numpy()})
    assert len(given) == len(expected)
    for found, wanted in zip(given, expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)


def test_a_tile_is_bad_where_its_truth_is() -> None:
    network, (image, mask) = tiled(), picture()
    truth = torch.zeros_like(mask)
    truth[..., 100, 5] = 1
    (tiles,) = network.batches(Batch(image, mask, torch.ones(1), truth, torch.ones(1)))
    seen = sum(start <= 100 < start + TILE for start in network.rows.starts)
    assert 0 < int(tiles.label.sum()) == seen < len(tiles.label)
    assert (tiles.label == tiles.truth.amax((1, 2, 3))).all()
    assert (tiles.mask.amax((1, 2, 3)) > 0).all()


@pytest.mark.parametrize("name", ["demo-line", "patchcore"])
def test_a_training_with_tiles_makes_a_run(tmp_path: Path, name: str) -> None:
    lines = {split: DemoLine(number, (120, 200), 0.5) for number, split in enumerate(SPLITS)}
    write_photographs(tmp_path / "data", lines, dict.fromkeys(SPLITS, 12))
    settings = ["train.epochs=1", "train.batch=4", "tiles={side=64, overlap=16}", "letterbox.side=128"]
    small = ["model.bank=50"] if name == "patchcore" else []
    run = fit(name, load_recipe(name, [*settings, *small]), tmp_path / "data", tmp_path / "run")
    assert run is not None
    assert isinstance(run.network, Tiled)
    assert run.record.metrics["test"].overlap is not None


def test_what_is_not_a_number_in_one_tile_is_no_score() -> None:
    network, (image, mask) = tiled(), picture()
    image[..., 60, 5] = torch.nan
    with torch.no_grad():
        score, _ = network(image, mask)
        session = onnxruntime.InferenceSession(network_model(network, 3, SIDE).SerializeToString())
        found = session.run(None, {"image": image.numpy(), "mask": mask.numpy()})[0]
    assert score.isnan().all()
    assert np.isnan(found).all()


def test_networks_that_know_places_are_refused() -> None:
    with pytest.raises(RecipeError, match="tiles are many places in one; patchcore"):
        tiled("model.weights=random", name="padim")


def test_a_bad_picture_without_truth_teaches_nothing() -> None:
    network, (image, mask) = tiled(), picture()
    bad = Batch(image, mask, torch.ones(1), torch.zeros_like(mask), torch.ones(1))
    assert not list(network.batches(bad))
    assert float(sum(network.loss(bad).values())) == 0


def test_photographs_without_masks_are_refused(tmp_path: Path) -> None:
    lines = {split: DemoLine(number, (60, 100), 0.5) for number, split in enumerate(SPLITS)}
    write_photographs(tmp_path / "data", lines, dict.fromkeys(SPLITS, 20))
    for mask in (tmp_path / "data" / "train" / "mask").iterdir():
        mask.unlink()
    with pytest.raises(DataError, match=r"in train/ and val/ without a mask: which tiles show"):
        fit("inspector", recipe(name="inspector"), tmp_path / "data", tmp_path / "run")


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("letterbox.side=96", "letterbox.side must be larger"),
        ("letterbox.side=250", "a multiple of 32"),
        ("tiles={side=96, overlap=60}", "at most half"),
        ("tiles={side=100}", "multiple of 32"),
        ("train.sides=[128, 256]", "leave them out"),
        ("augment.enlarge=10", "leave them out"),
        ("tiles={side=32, overlap=16}", "must be at least 64"),
    ],
)
def test_what_cannot_be_is_refused(setting: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        recipe(setting)
