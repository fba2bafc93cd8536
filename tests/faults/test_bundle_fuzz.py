"""Untrusted files are read, or refused in one line, quickly, in little memory. EDGE_FUZZ_EXAMPLES is their number."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import openvino as ov
import pytest
from support.line import DEMO_BUNDLE, TESTS_PATH
from support.records import with_image
from support.sealed import line_of, seal, small_blocks
from support.tiny_graph import tiny_graph

from edge.verdict import Outcome

EXAMPLES = int(os.environ.get("EDGE_FUZZ_EXAMPLES", 60))
SHARE = 2000
"""Examples per process: hypothesis stores the examples it has tried, 30 MB per thousand, which count as memory too."""

KINDS = ["manifest", "golden", "onnx", "openvino", "toml"]
RECORD_KINDS = ["journal", "rows", "blocks", "gate_log", "sidecar", "certificate", "keys", "keystore", "png", "tiff"]


@pytest.mark.parametrize("kind", RECORD_KINDS)
def test_records_keys_and_photographs_of_strangers_are_read_or_refused_quickly_in_little_memory(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_image(tmp_path / "record")
    small_blocks(monkeypatch, 1)
    line_of(tmp_path / "record", [Outcome.GOOD, Outcome.REJECT, Outcome.UNKNOWN], "cd34")
    seal(tmp_path / "record")
    for begun in range(0, EXAMPLES, SHARE):
        refused = fuzzed("record_fuzzing", kind, min(SHARE, EXAMPLES - begun), tmp_path)
        assert refused > min(SHARE, EXAMPLES - begun) // 4, "what is tried is no longer hostile"


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_stranger_wrote_is_read_or_refused_quickly_in_little_memory(kind: str, tmp_path: Path) -> None:
    onnx.save(tiny_graph(), tmp_path / "tiny.onnx")
    ov.save_model(ov.Core().read_model(tmp_path / "tiny.onnx"), tmp_path / "tiny.xml")
    refused = sum(refused_of(kind, min(SHARE, EXAMPLES - begun), tmp_path) for begun in range(0, EXAMPLES, SHARE))
    assert refused > EXAMPLES // 4, "what is tried is no longer hostile"


def refused_of(kind: str, examples: int, folder: Path) -> int:
    """Number of bundles that were refused, of `examples` bundles tried in a separate process."""
    shutil.rmtree(folder / "work.edge", ignore_errors=True)
    shutil.copytree(DEMO_BUNDLE, folder / "work.edge")
    return fuzzed("bundle_fuzzing", kind, examples, folder)


def fuzzed(program: str, kind: str, examples: int, folder: Path) -> int:
    """Number of refused examples, of `examples` examples of this kind that the program tried."""
    done = subprocess.run(
        [sys.executable, "-m", f"support.{program}", kind, str(examples), folder],
        capture_output=True, text=True, cwd=folder,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "EDGE_CACHE": "/proc/none", "PYTHONPATH": TESTS_PATH},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    (said,) = done.stdout.splitlines()
    return int(json.loads(said)["refused"])
