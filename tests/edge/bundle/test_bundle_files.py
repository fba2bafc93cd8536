"""Bundle files that are not regular files, too large, or much larger after decoding: refused at once, in one line."""

import io
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from support.line import DEMO_BUNDLE, ran
from support.tiny_graph import tiny_graph

from edge.backends import check_golden, load_from
from edge.bundle import GOLDEN, MANIFEST, MANIFEST_HASH, MOST_FILES, SIGNATURES, load_bundle, open_bundle, seal
from edge.errors import BundleError

FRAME = np.zeros((64, 64, 3), np.uint8)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DEMO_BUNDLE, tmp_path / "copy.edge"))


def refused(bundle: Path) -> str:
    """The one line with which edge-verify refuses the bundle, within a minute."""
    done = ran("verify", bundle, "--threads", 1, "--backend", "onnxruntime")
    assert done.returncode in (1, 2), done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


@pytest.mark.parametrize("name", [MANIFEST, MANIFEST_HASH, SIGNATURES, GOLDEN, "model.onnx", "openvino/model.bin"])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_a_fifo_a_folder_or_a_device_in_place_of_a_file_is_refused_at_once(
    bundle: Path, name: str, make: Callable[[Path], None]
) -> None:
    if (make, name) == (os.mkdir, SIGNATURES):
        pytest.skip("an empty folder is no signature, and none is asked for")
    (bundle / name).unlink(missing_ok=True)
    make(bundle / name)
    assert name in refused(bundle)


@pytest.mark.parametrize(("name", "size"), [("model.onnx", 10**12), (MANIFEST, 10**11), (SIGNATURES, 10**10)])
def test_a_sparse_file_of_any_size_is_refused_by_its_length(bundle: Path, name: str, size: int) -> None:
    (bundle / name).touch()
    os.truncate(bundle / name, size)
    with pytest.raises(BundleError, match=f"it has {size} bytes, the limit is"):
        load_bundle(bundle, NOBODY)  # type: ignore[arg-type]


class _Nobody:
    def check(self, *_: object) -> str:
        return ""


NOBODY = _Nobody()
"""A trust with which signatures are read, and every bundle is accepted."""


def test_more_files_than_a_bundle_has_are_refused_before_they_are_read(bundle: Path) -> None:
    for number in range(MOST_FILES):
        (bundle / f"{number}").touch()
    with pytest.raises(BundleError, match=f"more than {MOST_FILES} files"):
        load_bundle(bundle)


@pytest.mark.parametrize("content", [b'{"schema_version": 2, "name": ' + b"[" * 10**6, b"9" * 10**6])
def test_a_manifest_that_nests_or_counts_without_end_is_refused(bundle: Path, content: bytes) -> None:
    (bundle / MANIFEST).write_bytes(content)
    with pytest.raises(BundleError):
        load_bundle(bundle)
    assert "manifest" in refused(bundle)


def bomb(path: Path, shape: tuple[int, ...], declared: int | None = None) -> None:
    """Write a golden file of a few MB with a frame of zeros of this shape."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, value in (("count", np.array(1)), ("score_0", np.array(0.5))):
            content = io.BytesIO()
            np.save(content, value)
            archive.writestr(f"{name}.npy", content.getvalue())
        with archive.open("frame_0.npy", "w", force_zip64=True) as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
            left = int(np.prod(shape)) if declared is None else declared
            while left > 0:
                file.write(bytes(min(left, 2**20)))
                left -= 2**20


@pytest.mark.parametrize(("shape", "declared"), [((20_000, 20_000, 3), None), ((10**6, 10**6, 3), 768)])
def test_golden_frames_that_decode_to_more_than_their_limit_take_no_memory(
    bundle: Path, shape: tuple[int, ...], declared: int | None
) -> None:
    bomb(bundle / GOLDEN, shape, declared)
    seal(bundle, load_bundle(DEMO_BUNDLE).manifest)
    code = (
        "import re, sys, pathlib; from edge.bundle import load_bundle; from edge.errors import BundleError\n"
        "import numpy\n"
        "try: load_bundle(pathlib.Path(sys.argv[1])).golden()\n"
        "except BundleError: print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])"
    )
    done = subprocess.run([sys.executable, "-c", code, bundle], capture_output=True, text=True, timeout=60)
    assert int(done.stdout) < 300_000, "KiB; 60,000 of them are Python with numpy and pydantic"


GOLDENS = {
    "floats": {"count": 1, "frame_0": FRAME.astype(float), "score_0": 0.5},
    "no rows": {"count": 1, "frame_0": FRAME[:0], "score_0": 0.5},
    "grey": {"count": 1, "frame_0": FRAME[:, :, 0], "score_0": 0.5},
    "no number": {"count": 1, "frame_0": FRAME, "score_0": np.nan},
    "words": {"count": 1, "frame_0": FRAME, "score_0": "a"},
    "deep map": {"count": 1, "frame_0": FRAME, "score_0": 0.1, "map_0": np.zeros((1, 2, 3))},
    "two counts": {"count": np.array([1, 2]), "frame_0": FRAME, "score_0": 0.1},
    "fewer than none": {"count": -1},
    "more than there are": {"count": 2**40, "frame_0": FRAME, "score_0": 0.1},
}


@pytest.mark.parametrize("arrays", GOLDENS.values(), ids=GOLDENS)
def test_golden_frames_that_are_none_are_one_line(bundle: Path, arrays: dict[str, np.ndarray]) -> None:
    np.savez(bundle / GOLDEN, **arrays)
    sealed = seal(bundle, load_bundle(DEMO_BUNDLE).manifest)
    with pytest.raises(BundleError) as caught:
        check_golden(sealed, load_from(sealed, "onnxruntime", 1))
    assert "golden" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def with_external_weights(path: Path, outside: Path) -> None:
    """Write a graph whose largest tensor is in another file."""
    model = onnx.load(path)
    tensor = max(model.graph.initializer, key=lambda one: len(one.raw_data))
    outside.write_bytes(tensor.raw_data)
    told = {"location": os.path.relpath(outside, path.parent), "offset": "0", "length": str(len(tensor.raw_data))}
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in told.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    path.write_bytes(model.SerializeToString())


def hidden_in_a_branch(path: Path, outside: Path) -> None:
    """Write a graph with a tensor in another file, inside a branch graph that is an attribute of a node."""
    with_external_weights(path, outside)
    inner = onnx.load(path, load_external_data=False)
    node = helper.make_node("If", ["yes"], ["x"], then_branch=inner.graph, else_branch=inner.graph)
    model = tiny_graph()
    model.graph.node.append(node)
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("hide", [with_external_weights, hidden_in_a_branch])
def test_a_graph_with_weights_in_another_file_is_refused_by_both_runtimes(
    bundle: Path, backend: str, hide: Callable[[Path, Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bundle)  # a runtime that loads from bytes searches there
    hide(bundle / "model.onnx", bundle / "outside.bin")
    (bundle / "outside.bin").rename(bundle.parent / "outside.bin")
    manifest = load_bundle(DEMO_BUNDLE).manifest
    artifacts = {name: one.model_copy(update={"path": "model.onnx"}) for name, one in manifest.artifacts.items()}
    sealed = seal(bundle, manifest.model_copy(update={"artifacts": artifacts}))
    with pytest.raises(BundleError, match="its weights lie in another file"):
        load_from(sealed, backend, 1)


def foreign(path: Path) -> None:
    """Write a graph with an operation that only its author's library implements."""
    model = tiny_graph()
    model.graph.node.append(helper.make_node("Evil", ["frame"], ["x"], domain="evil.so"))
    model.opset_import.append(helper.make_opsetid("evil.so", 1))
    onnx.save(model, path)


def renamed(path: Path) -> None:
    """Write a graph whose input has another name."""
    model = tiny_graph()
    model.graph.input[0].name = model.graph.node[0].input[0] = "picture"
    onnx.save(model, path)


def failing(path: Path) -> None:
    """Write a graph that fails on every frame."""
    model = tiny_graph()
    model.graph.initializer.append(helper.make_tensor("seven", TensorProto.INT64, [1], [7]))
    model.graph.node.insert(1, helper.make_node("Reshape", ["float", "seven"], ["seven floats"]))
    model.graph.node[2].input[0] = "seven floats"
    onnx.save(model, path)


@pytest.mark.parametrize("write", [foreign, renamed, failing, lambda path: path.write_bytes(b"\x20\0\0\0ORTM" * 9)])
def test_a_graph_that_is_none_of_ours_is_one_line(bundle: Path, write: Callable[[Path], None]) -> None:
    write(bundle / "model.onnx")
    seal(bundle, load_bundle(DEMO_BUNDLE).manifest)
    assert "onnxruntime" in refused(bundle)


@pytest.mark.parametrize(
    ("old", "new"),
    [('version="opset1"', 'version="extension"'), ('offset="0"', 'offset="99999999999"'), ("<net", "\0<net")],
)
def test_an_openvino_graph_that_is_none_of_ours_is_one_line(bundle: Path, old: str, new: str) -> None:
    xml = (bundle / "openvino" / "model.xml").read_text()
    (bundle / "openvino" / "model.xml").write_text(xml.replace(old, new))
    sealed = seal(bundle, load_bundle(DEMO_BUNDLE).manifest)
    with pytest.raises(BundleError, match="openvino") as caught:
        load_from(sealed, "openvino", 1)
    assert len(str(caught.value).splitlines()) == 1


def test_what_was_opened_stays_the_same_when_its_link_leads_elsewhere(bundle: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(bundle, tmp_path / "other.edge"))
    seal(other, load_bundle(other).manifest.model_copy(update={"name": "other"}))
    (tmp_path / "current.edge").symlink_to(bundle)
    opened = open_bundle(tmp_path / "current.edge")
    (tmp_path / "current.edge").unlink()
    (tmp_path / "current.edge").symlink_to(other)
    assert opened.content("model.onnx") == (DEMO_BUNDLE / "model.onnx").read_bytes()
    assert (opened.path.name, opened.folder) == ("current.edge", bundle)


def test_what_was_held_is_not_read_again_and_what_was_released_is_hashed_again(bundle: Path) -> None:
    held = load_bundle(bundle, holds=True)
    for name in ("model.onnx", GOLDEN):
        (bundle / name).write_bytes(b"something else")
    check_golden(held, load_from(held, "onnxruntime", 1))
    held.release()
    with pytest.raises(BundleError, match=r"golden\.npz does not match its SHA-256"):
        held.golden()
    with pytest.raises(BundleError, match=r"model\.onnx does not match its SHA-256"):
        load_from(held, "onnxruntime", 1)
