"""The cache of compiled models: only in folders that no other user can write, and separate for each graph."""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.bundle_swap import BLIND, mean_bundle
from support.line import DEMO_BUNDLE, ran

import edge.machine
from edge.backends import load_from
from edge.bundle import load_bundle
from edge.machine import cache_folder, private_folder

FRAME = np.full((64, 64, 3), 128, np.uint8)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    edge.machine._say_unused.cache_clear()
    monkeypatch.setenv("EDGE_CACHE", str(tmp_path / "above" / "cache"))
    return tmp_path / "above" / "cache"


def test_a_cache_is_made_for_its_owner_alone(cache: Path) -> None:
    assert cache_folder() == cache
    assert cache.stat().st_mode & 0o777 == 0o700
    assert private_folder("openvino/a") == cache / "openvino" / "a"


SHARED: list[Callable[[Path], None]] = [
    lambda cache: cache.chmod(0o777),
    lambda cache: cache.chmod(0o1777),
    lambda cache: cache.chmod(0o770),
    lambda cache: cache.parent.chmod(0o777),
    lambda cache: os.chown(cache, 12345, 12345),
    lambda cache: os.chown(cache.parent, 12345, 12345),
]


@pytest.mark.parametrize("share", SHARED)
def test_a_cache_that_somebody_else_may_write_to_is_not_used_and_this_is_said_once(
    cache: Path, share: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    if os.geteuid() != 0 and share in SHARED[-2:]:
        pytest.skip("only root gives files away")
    cache.mkdir(parents=True)
    share(cache)
    assert [cache_folder(), cache_folder(), private_folder("openvino/a")] == [None] * 3
    (said,) = caplog.messages
    assert "is not used" in said
    assert "EDGE_CACHE" in said
    load_from(load_bundle(DEMO_BUNDLE), "openvino", 1)
    assert list(cache.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_compiled_model_that_another_user_put_into_the_cache_is_not_used(
    cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    load_from(load_bundle(DEMO_BUNDLE), "openvino", 1)
    (blob,) = (cache / "openvino").glob("*/*.blob")
    os.chown(blob, 12345, 12345)
    assert private_folder(f"openvino/{blob.parent.name}") is None
    assert "belongs to another user" in caplog.text


def test_a_shared_cache_is_one_line_of_a_command_that_works_without_it(cache: Path) -> None:
    cache.mkdir(parents=True)
    cache.chmod(0o777)
    done = ran("verify", DEMO_BUNDLE, "--backend", "openvino", "--threads", 1)
    assert done.returncode == 0
    (said,) = done.stderr.splitlines()
    assert f"cache {cache} is not used" in said


def test_what_one_bundle_left_in_the_cache_is_never_taken_for_another(cache: Path, tmp_path: Path) -> None:
    """OpenVINO finds a compiled model by a hash that another graph can match. The strongest attack of an unsigned
    bundle that ran on the machine is to leave its own compiled model under the file names of the signed bundle's model.
    """
    honest = mean_bundle(tmp_path / "honest.edge", "honest", 1.0)
    blind = mean_bundle(tmp_path / "blind.edge", "blind", BLIND)
    load_from(load_bundle(honest), "openvino", 1)
    (first,) = (cache / "openvino").glob("*/*.blob")
    load_from(load_bundle(blind), "openvino", 1)
    (second,) = set((cache / "openvino").glob("*/*.blob")) - {first}
    assert first.parent != second.parent
    shutil.copy(second, second.parent / first.name)
    assert load_from(load_bundle(honest), "openvino", 1).infer(FRAME).score == pytest.approx(128 / 255, abs=1e-4)
    shutil.copy(second, first)  # only the owner can do this, and then it works: the folder's mode is the protection
    assert load_from(load_bundle(honest), "openvino", 1).infer(FRAME).score == pytest.approx(BLIND)


def test_while_another_process_compiles_the_same_graph_the_cache_is_left_to_it(cache: Path, tmp_path: Path) -> None:
    """OpenVINO 2026.4 fails if two processes write one compiled model at once, as two products of one line do."""
    bundle = load_bundle(mean_bundle(tmp_path / "honest.edge", "honest", 1.0))
    load_from(bundle, "openvino", 1)
    (blob,) = (cache / "openvino").glob("*/*.blob")
    blob.unlink()
    with (blob.parent / "lock").open("w") as others:
        fcntl.flock(others, fcntl.LOCK_EX)
        assert load_from(bundle, "openvino", 1).infer(FRAME).score == pytest.approx(128 / 255, abs=1e-4)
        assert not blob.exists()
    load_from(bundle, "openvino", 1)
    assert blob.exists()


def test_a_cache_that_cannot_be_written_does_not_keep_a_model_from_loading(cache: Path, tmp_path: Path) -> None:
    bundle = load_bundle(mean_bundle(tmp_path / "honest.edge", "honest", 1.0))
    load_from(bundle, "openvino", 1)
    (blob,) = (cache / "openvino").glob("*/*.blob")
    blob.unlink()
    blob.mkdir()  # in its place: OpenVINO can neither read nor write it
    assert load_from(bundle, "openvino", 1).infer(FRAME).score == pytest.approx(128 / 255, abs=1e-4)
