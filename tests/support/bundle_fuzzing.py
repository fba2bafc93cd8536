"""Fuzzing of bundles and configurations: invalid ones are read one after another in a process with little memory.

`python -m support.bundle_fuzzing KIND EXAMPLES FOLDER` fails if one of them takes more than one second of CPU time or
more than 500 MB, raises an error other than the project's EdgeError, or makes Python open a file outside FOLDER.
"""

import hashlib
import io
import json
import os
import resource
import signal
import sys
import traceback
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from edge.backends import Graph, load_backend
from edge.bundle import MANIFEST, MANIFEST_HASH, load_bundle, open_bundle
from edge.bundle.golden import decode_golden
from edge.errors import EdgeError
from edge.letterbox.contract import LetterboxContract
from edge.station.config.layers import effective

MOST_BYTES = 500 * 10**6
LONGEST_CPU_S = 1.0

DEMO = Path(__file__).parents[2] / "models" / "demo.edge"

SURROGATES = st.characters(codec=None, categories=None)
WORDS = st.text(max_size=20) | st.text(SURROGATES, max_size=4) | st.sampled_from(["\x1b[2J", "../x", "a" * 5000, "\0"])
NUMBERS = st.integers() | st.floats() | st.sampled_from([2**63, 2**64, -1, 1e308, 10**400])
ANYTHING = st.recursive(
    st.none() | st.booleans() | NUMBERS | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=8,
)


def changed(whole: bytes) -> st.SearchStrategy[bytes]:
    """The bytes with some of them overwritten, deleted or inserted, mostly near the beginning."""
    where = st.integers(0, min(400, len(whole))) | st.integers(0, len(whole))
    piece = st.binary(max_size=12) | st.sampled_from([b"\xff" * 9, b"\0" * 8, b"9" * 20, b"-1", b"<", b'"'])

    def edited(edits: list[tuple[int, int, bytes]]) -> bytes:
        content = bytearray(whole)
        for at, over, new in edits:
            content[at : at + over] = new
        return bytes(content)

    edit = st.tuples(where, st.integers(0, 12) | st.integers(0, len(whole)), piece)
    return st.lists(edit, min_size=1, max_size=6).map(edited) | st.binary(max_size=300)


def places(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The path of every place in a JSON value, as a tuple of keys."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, one in inner for found in places(one, (*path, key)))]


# ------------------------------------------------------------------------------------------------------- examples

Tried = tuple[st.SearchStrategy[Any], Callable[[Any, Path], None]]


def manifests() -> Tried:
    """A manifest with one value replaced by any other, or with changed bytes."""
    original = (DEMO / MANIFEST).read_bytes()

    def replaced(told: tuple[tuple[str | int, ...], Any]) -> bytes:
        (*keys, last), value = told
        whole = inner = json.loads(original)
        for key in keys:
            inner = inner[key]
        inner[last] = value
        return json.dumps(whole).encode()

    where = st.sampled_from(places(json.loads(original))[1:])
    nested = st.integers(1, 10**5).map(lambda depth: b'{"schema_version":' + b"[" * depth)

    def tried(content: bytes, folder: Path) -> None:
        (folder / MANIFEST).write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        (folder / MANIFEST_HASH).write_text(f"{digest}  {MANIFEST}\n")
        bundle = open_bundle(folder)
        assert len(bundle.label) < 300
        bundle.label.encode()
        bundle.golden()

    return st.tuples(where, ANYTHING).map(replaced) | changed(original) | nested, tried


def golden_files() -> Tried:
    """A zip file of arrays with arbitrary headers."""
    header = st.fixed_dictionaries(
        {
            "descr": st.sampled_from(["|u1", "<f4", "<f8", "<i8", "|O", "<U9", "|V0", ">f8"]) | WORDS,
            "fortran_order": st.booleans(),
            "shape": st.lists(st.sampled_from([0, 1, 3, 16, 64, 8192, 10**6, 2**40, -1]), max_size=4).map(tuple),
        }
    ).map(lambda told: np.lib.format.magic(1, 0) + _short(repr(told).encode()))
    array = st.builds(lambda begin, size: begin + b"\0" * size, header, st.sampled_from([0, 1, 8, 768, 12288, 2**18]))
    names = st.sampled_from(["count", "frame_0", "score_0", "map_0", "frame_1", "score_1"])
    kinds = st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
    drawn = st.builds(_zipped, st.dictionaries(names, array, max_size=6), kinds)
    sound = io.BytesIO()
    np.savez_compressed(sound, count=1, frame_0=np.zeros((32, 32, 3), np.uint8), score_0=0.5, map_0=np.ones((4, 4)))
    return drawn | changed(sound.getvalue()), lambda content, folder: [decode_golden(folder, content), None][1]


def _short(text: bytes) -> bytes:
    return len(text).to_bytes(2, "little") + text


def _zipped(arrays: dict[str, bytes], kind: int) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", kind) as archive:
        for name, array in arrays.items():
            archive.writestr(f"{name}.npy", array)
    return content.getvalue()


CONTRACT = LetterboxContract(side=16)


def onnx_files() -> Tried:
    """The ONNX file of a graph of a few nodes, with changed bytes."""
    whole = (Path(sys.argv[3]) / "tiny.onnx").read_bytes()
    path = Path("model.onnx")
    return changed(whole), lambda content, _: [load_backend("onnxruntime", Graph(path, content), 1, CONTRACT), None][1]


def openvino_files() -> Tried:
    """OpenVINO's files of the same graph, with changed bytes in one of them."""
    xml, weights = ((Path(sys.argv[3]) / f"tiny.{suffix}").read_bytes() for suffix in ("xml", "bin"))
    path = Path("model.xml")
    both = st.tuples(changed(xml), st.just(weights)) | st.tuples(st.just(xml), changed(weights))
    return both, lambda told, _: [load_backend("openvino", Graph(path, *told), 1, CONTRACT), None][1]


def configurations() -> Tried:
    """A station's configuration file with changed bytes, deeply nested values or random content."""
    sound = b'source = "demo"\nbudget_ms = 250\nrequire = ["a"]\n[camera]\ngain_db = 2\n[[stations]]\nstation = "a"\n'
    nested = st.integers(1, 10**5).map(lambda depth: b"source = " + b"[" * depth)

    def tried(content: bytes, folder: Path) -> None:
        (folder / "station.toml").write_bytes(content)
        effective(folder / "station.toml", {})

    return changed(sound) | nested | st.binary(max_size=300), tried


KINDS = {
    "manifest": manifests,
    "golden": golden_files,
    "onnx": onnx_files,
    "openvino": openvino_files,
    "toml": configurations,
}


# ----------------------------------------------------------------------------------------------------------- limits


def main(kind: str, examples: int, folder: Path) -> None:
    """Try `examples` examples of `kind` in `folder`."""
    work = folder / "work.edge"
    tried = KINDS[kind]()
    load_bundle(work)
    if kind in ("onnx", "openvino"):
        sound = {"onnx": lambda: Graph.read(folder / "tiny.onnx"), "openvino": lambda: Graph.read(folder / "tiny.xml")}
        runtime = {"onnx": "onnxruntime"}.get(kind, kind)
        load_backend(runtime, sound[kind](), 1, CONTRACT)  # the runtime opens its own files before the checks begin
    fuzz(kind, tried, examples, folder, work)


def fuzz(kind: str, what: Tried, examples: int, folder: Path, work: Path) -> None:
    """Try `examples` examples in the folder `work`, inside `folder`, and print the result. The process exits if an
    example violates a limit.
    """
    strategy, tried = what
    refused = 0
    watched = False

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if watched and event in ("open", "sqlite3.connect") and isinstance(arguments[0], str | bytes):
            path = os.path.realpath(os.fsdecode(arguments[0]).removeprefix("file://").partition("?")[0])
            is_ours = path.startswith((str(folder), sys.prefix, sys.base_prefix, str(Path(__file__).parents[2])))
            assert is_ours or "/" not in os.fsdecode(arguments[0]), f"opened {arguments[0]!r}"

    def late(*_: object) -> None:
        raise AssertionError(f"longer than {LONGEST_CPU_S} s")

    sys.addaudithook(watch)
    signal.signal(signal.SIGPROF, late)
    resource.setrlimit(resource.RLIMIT_DATA, (2 * MOST_BYTES, 2 * MOST_BYTES))  # the peak is compared at the end

    @settings(
        max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck),
        phases=[Phase.generate], print_blob=False,
    )  # fmt: skip
    @given(strategy)
    def each(told: Any) -> None:
        nonlocal refused, watched
        signal.setitimer(signal.ITIMER_PROF, LONGEST_CPU_S)
        said, watched = "", True
        try:
            tried(told, work)
        except EdgeError as error:
            refused += 1
            said = str(error)
        except Exception as error:
            raise AssertionError(f"{traceback.format_exc()[-1500:]}\n{error!r:.300}\n{told!r:.300}") from None
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            watched = False
        assert len(said.splitlines()) <= 1, said[:3000]
        assert len(said) < 2000, said[:3000]

    try:
        each()
    except BaseException:
        sys.exit(traceback.format_exc()[:4000])
    told_by_kernel = Path("/proc/self/status").read_text()  # ru_maxrss is inherited from the parent process
    peak = int(told_by_kernel.partition("VmHWM:")[2].split()[0]) * 1024
    assert peak < MOST_BYTES, peak
    print(json.dumps({"kind": kind, "examples": examples, "refused": refused, "peak_mb": round(peak / 1e6)}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
