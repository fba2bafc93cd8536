"""A bundle that differs from the exported one never runs."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.line import DEMO_BUNDLE

from edge.backends import RUNTIMES, check_golden, check_static, load_backend, load_from
from edge.bundle import GOLDEN, MANIFEST, MANIFEST_HASH, SCHEMA_VERSION, load_bundle, seal
from edge.bundle.shipped import found_bundle
from edge.errors import BundleError

FILES = sorted(p.relative_to(DEMO_BUNDLE).as_posix() for p in DEMO_BUNDLE.rglob("*") if p.is_file())


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DEMO_BUNDLE, tmp_path / "copy.edge"))


@pytest.mark.parametrize("name", FILES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=8, deadline=None)
@given(data=st.data())
def test_one_changed_byte_in_any_file_is_refused_by_name(bundle: Path, name: str, data: st.DataObject) -> None:
    original = (bundle / name).read_bytes()
    changed = bytearray(original)
    changed[data.draw(st.integers(0, len(original) - 1))] ^= data.draw(st.integers(1, 255))
    (bundle / name).write_bytes(changed)
    with pytest.raises(BundleError, match=MANIFEST if name == MANIFEST_HASH else name):
        load_bundle(bundle)
    (bundle / name).write_bytes(original)
    load_bundle(bundle)


def test_a_missing_file_and_a_strange_one_are_refused(bundle: Path) -> None:
    (bundle / "strange.bin").write_bytes(b"")
    with pytest.raises(BundleError, match=r"strange\.bin is not in the manifest"):
        load_bundle(bundle)
    (bundle / "strange.bin").unlink()
    (bundle / GOLDEN).unlink()
    with pytest.raises(BundleError, match=r"golden\.npz is missing"):
        load_bundle(bundle)


def test_a_link_in_a_bundle_is_refused_whatever_it_points_to(bundle: Path) -> None:
    (bundle / GOLDEN).rename(bundle.parent / "elsewhere.npz")
    (bundle / GOLDEN).symlink_to(bundle.parent / "elsewhere.npz")
    with pytest.raises(BundleError, match=r"golden\.npz is a link"):
        load_bundle(bundle)


def test_a_newer_schema_is_named_with_the_remedy(bundle: Path) -> None:
    manifest = json.loads((bundle / MANIFEST).read_text()) | {"schema_version": SCHEMA_VERSION + 1}
    write_manifest(bundle, json.dumps(manifest))
    with pytest.raises(BundleError, match=r"bundle schema \d is newer than \d.*update edge-inspect"):
        load_bundle(bundle)


def test_an_older_schema_is_named_with_the_remedy(bundle: Path) -> None:
    write_manifest(bundle, '{"schema_version": 1}')
    with pytest.raises(BundleError, match=r"bundle schema 1 is older than \d.*export the bundle again"):
        load_bundle(bundle)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"schema_version": "x"}', '{"schema_version": 2}', "null"])
def test_a_manifest_that_is_none_is_one_clear_error(bundle: Path, content: str) -> None:
    write_manifest(bundle, content)
    with pytest.raises(BundleError) as caught:
        load_bundle(bundle)
    assert "\n" not in str(caught.value)


def test_an_artifact_outside_the_hashed_files_is_refused(bundle: Path) -> None:
    manifest = json.loads((bundle / MANIFEST).read_text())
    manifest["artifacts"]["onnxruntime"]["path"] = "../elsewhere.onnx"
    write_manifest(bundle, json.dumps(manifest))
    with pytest.raises(BundleError, match="no hash for"):
        load_bundle(bundle)


def write_manifest(bundle: Path, content: str) -> None:
    (bundle / MANIFEST).write_text(content)
    digest = hashlib.sha256(content.encode()).hexdigest()
    (bundle / MANIFEST_HASH).write_text(f"{digest}  {MANIFEST}\n")


@pytest.mark.parametrize("name", RUNTIMES)
def test_golden_frames_agree_on_this_machine(name: str) -> None:
    bundle = load_bundle(DEMO_BUNDLE)
    assert check_golden(bundle, load_from(bundle, name, 2)) <= bundle.artifact(name).golden_tolerance


@pytest.mark.parametrize("name", RUNTIMES)
@pytest.mark.parametrize("what", ["score_1", "map_0"])
def test_a_golden_frame_that_disagrees_is_named_with_its_difference(bundle: Path, name: str, what: str) -> None:
    with np.load(bundle / GOLDEN) as arrays:
        changed = dict(arrays)
    changed[what] = changed[what] + 0.01
    np.savez_compressed(bundle / GOLDEN, **changed)
    sealed = seal(bundle, load_bundle(DEMO_BUNDLE).manifest)
    with pytest.raises(BundleError, match=rf"golden frame {what[-1]} \(\d+×\d+\).*0\.01"):
        check_golden(sealed, load_from(sealed, name, 2))


@pytest.mark.parametrize("name", RUNTIMES)
@pytest.mark.parametrize("shape", [(720, 1280), (333, 97), (16, 16)])
def test_the_static_variant_scores_as_the_graph_for_any_size(name: str, shape: tuple[int, int]) -> None:
    bundle = load_bundle(DEMO_BUNDLE)
    assert check_static(bundle, load_from(bundle, name, 2), load_from(bundle, name, 2, shape), shape) <= 1e-5


@pytest.mark.parametrize("name", RUNTIMES)
def test_an_artifact_that_is_no_model_is_one_clear_error(tmp_path: Path, name: str) -> None:
    path = tmp_path / ("model.xml" if name == "openvino" else "model.onnx")
    path.write_bytes(b"not a model")
    with pytest.raises(BundleError, match="cannot load it") as caught:
        load_backend(name, path, 1, load_bundle(DEMO_BUNDLE).manifest.letterbox)
    assert "\n" not in str(caught.value)


def test_shipped_bundle_is_found_by_its_name_unless_a_folder_is_called_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_bundle(found_bundle(Path("demo"))).manifest.name == "demo"
    for other in ("no-such-thing", ".", "/", "", "demo.onnx"):
        assert found_bundle(Path(other)) == Path(other)
    assert found_bundle(tmp_path / "demo") == tmp_path / "demo"
    Path("demo").mkdir()
    assert found_bundle(Path("demo")) == Path("demo")


@pytest.mark.parametrize("given", ["solar.egde", "solar", "./solar.edg", "lines/sollar.edge"])
def test_a_bundle_that_is_missing_is_answered_with_the_nearest_one_beside_it(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("solar.edge", "lines/solar.edge", "lines/sollar.edg"):
        Path(name).mkdir(parents=True)
    for folder in (Path("solar.edge"), Path("lines/solar.edge")):
        (folder / MANIFEST).write_text("{}")
    near = str(Path(given).with_name("solar.edge"))
    with pytest.raises(BundleError, match=rf"no shipped bundle has that name; did you mean {near}\?$"):
        load_bundle(Path(given))
    with pytest.raises(BundleError, match=r"no shipped bundle has that name$"):
        load_bundle(Path("tiles.edge"))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def places(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The path of every place in a JSON value, as a tuple of keys."""
    if isinstance(value, dict):
        return [path, *(p for key, inner in value.items() for p in places(inner, (*path, key)))]
    if isinstance(value, list):
        return [path, *(p for index, inner in enumerate(value) for p in places(inner, (*path, index)))]
    return [path]


def test_a_key_of_a_manifest_that_would_move_a_terminal_is_written_out(bundle: Path) -> None:
    fields = load_bundle(DEMO_BUNDLE).manifest.model_dump(mode="json") | {"refused": {"a\rb": None}}
    write_manifest(bundle, json.dumps(fields))
    with pytest.raises(BundleError, match=r"refused\.a\\rb = null: must be text"):
        load_bundle(bundle)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
@given(data=st.data())
def test_a_manifest_with_anything_anywhere_is_read_or_refused_in_one_line(bundle: Path, data: st.DataObject) -> None:
    original = load_bundle(DEMO_BUNDLE).manifest.model_dump(mode="json")
    where, what = data.draw(st.sampled_from(places(original)[1:])), data.draw(ANYTHING)
    inner = original
    for key in where[:-1]:
        inner = inner[key]
    inner[where[-1]] = what
    write_manifest(bundle, json.dumps(original))
    said = ""
    try:
        load_bundle(bundle).golden()
    except BundleError as error:
        said = str(error)
    assert len(said.splitlines()) <= 1
    assert len(said) < 2000


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(content=st.binary(max_size=200), cut=st.integers(0, 10_000), name=st.sampled_from([GOLDEN, "model.onnx"]))
def test_a_file_of_anything_with_the_right_hash_is_refused_in_one_line(
    bundle: Path, content: bytes, cut: int, name: str
) -> None:
    whole = (DEMO_BUNDLE / name).read_bytes()
    (bundle / name).write_bytes(whole[: cut % len(whole)] + content)
    found = seal(bundle, load_bundle(DEMO_BUNDLE).manifest)
    with pytest.raises(BundleError) as caught:
        check_golden(found, load_from(found, "onnxruntime", 1))
    assert len(str(caught.value).splitlines()) == 1
