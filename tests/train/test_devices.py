"""A training on several devices: the work of each process, the refusals, and the same result as on one device."""

import csv
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import pytest
import torch

import train.cli
from edge.errors import RecipeError
from train.data.photographs import Photograph
from train.data.rendered import Shares, Shuffled
from train.devices import Devices

MakeData = Callable[..., Path]

CPU = ("--accelerator", "cpu")
COMMAND = Path(sys.executable).with_name("edge-train")
"""The installed script, from which the further processes of a training are started."""


def shuffled(count: int, bad_share: float | None = None) -> Shuffled:
    photographs = [Photograph(Path(f"{n}.png"), f"{n}.png", "good" if n % 3 else "bad") for n in range(count)]
    return Shuffled(photographs, 5, bad_share)


@pytest.mark.parametrize("bad_share", [None, 0.5])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_the_shares_of_all_processes_are_the_batches_of_one(count: int, bad_share: float | None) -> None:
    whole = list(Shares(shuffled(50, bad_share), 8))
    parts = [list(Shares(shuffled(50, bad_share), 8, rank, count)) for rank in range(count)]
    assert [[*chain(*shares)] for shares in zip(*parts, strict=True)] == whole
    assert [len(batch) for batch in whole] == [8] * 6
    if bad_share is None:
        assert len({index for batch in whole for index in batch}) == 48


@pytest.mark.parametrize("photographs", [7, 16, 18])
def test_a_network_that_learns_by_statistics_gets_every_photograph_once(photographs: int) -> None:
    shares = Shares(shuffled(photographs), 8, takes_all=True)
    batches = list(shares)
    assert len(batches) == len(shares)
    assert sorted(chain(*batches)) == list(range(photographs))


def test_another_epoch_has_another_order() -> None:
    sampler = shuffled(16)
    first = list(Shares(sampler, 8))
    sampler.set_epoch(1)
    assert list(Shares(sampler, 8)) != first


@pytest.mark.parametrize(
    ("environment", "devices", "rank"),
    [
        ({}, Devices(devices=2), 0),
        ({"LOCAL_RANK": "1"}, Devices(devices=2), 1),
        ({"LOCAL_RANK": "1", "NODE_RANK": "2"}, Devices(devices=4, nodes=3), 9),
        ({"LOCAL_RANK": "1", "GROUP_RANK": "1"}, Devices(devices=2, nodes=2), 3),
        ({"RANK": "5", "LOCAL_RANK": "1"}, Devices(devices=4, nodes=2), 5),
        ({"SLURM_PROCID": "3"}, Devices(devices=2, nodes=2), 3),
        ({"RANK": "5", "SLURM_PROCID": "3"}, Devices(), 0),
    ],
)
def test_a_process_knows_its_rank(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], devices: Devices, rank: int
) -> None:
    for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert devices.rank == rank


@pytest.mark.parametrize(
    ("devices", "batch", "learns_by", "says"),
    [
        (Devices(accelerator="abacus"), 16, "steps", "no accelerator 'abacus' on this machine"),
        (Devices(strategy="telepathy", devices=2), 16, "steps", "no strategy 'telepathy'"),
        (Devices(strategy="fsdp", devices=2), 16, "steps", "no strategy 'fsdp' with whole weights"),
        (Devices(devices=3), 16, "steps", "train.batch = 16 cannot be divided among 3 devices"),
        (Devices(nodes=2), 16, "statistics", "padim takes no steps that devices could share"),
    ],
)
def test_what_cannot_be_shared_is_refused(devices: Devices, batch: int, learns_by: str, says: str) -> None:
    def check() -> None:
        devices.check_machine()
        devices.check_recipe(batch, learns_by, "padim")

    with pytest.raises(RecipeError, match=says):
        check()


def edge_train(arguments: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> str:
    """What edge-train prints in this process, on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(sys, "argv", ["edge-train", *arguments])
    with pytest.raises(SystemExit) as left:
        train.cli.main()
    torch.set_num_threads(before)
    said = capfd.readouterr()
    assert not left.value.code, said.err
    return said.out


def test_two_processes_learn_what_one_learns(
    make_data: MakeData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    data = make_data(train=(16, 0), val=(6, 6), test=(6, 6))
    still = [f"augment.{key}=0" for key in ("flip_horizontal", "flip_vertical", "rotate", "blur", "erase")]
    sets = [f"--set={one}" for one in ("train.epochs=3", "train.batch=8", "augment.enlarge=0", *still)]
    rows = []
    for count in (1, 2):
        out = tmp_path / str(count)
        arguments = ["autoencoder-gelu", f"--data={data}", f"--out={out}", *sets, f"--devices={count}", *CPU]
        if count == 1:
            printed = edge_train(arguments, monkeypatch, capfd)
        else:
            done = subprocess.run(
                [COMMAND, *arguments], capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
            )
            assert done.returncode == 0, done.stderr
            printed = done.stdout
        assert printed.count("is kept") == 1, "one process reports"
        with (out / "history.csv").open() as lines:
            rows.append([{name: float(value) for name, value in row.items()} for row in csv.DictReader(lines)])
    one, two = rows
    assert len(one) == len(two) == 3
    for epoch, other in zip(one, two, strict=True):
        assert other == pytest.approx(epoch, rel=2e-3)
