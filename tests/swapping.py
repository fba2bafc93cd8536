"""Two bundles whose verdicts cannot be confused, and a process in which one takes the other's place at a chosen moment.

The honest bundle is the demonstration's. The blind one, which nobody signed, scores every frame `BLIND`.
"""

import os
import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper
from running import DEMO_BUNDLE

from edge.bundle import GOLDEN, load_bundle, seal

BLIND = 0.0078125
"""Of two binary digits, so that it is the same in every runtime; below the demonstration's threshold."""

KINDS = ("link", "replaced", "rewritten")
"""How the blind bundle comes to lie where the honest one was: the link renamed, each file replaced by another, each
file written over in place."""

TRAP = '''
"""Puts the blind bundle in place of the honest one at the event SWAP_AT of this process, if SWAP_IN names it."""
import os, sys
from pathlib import Path

told = os.environ.get("SWAP_AT")
is_child = "spawn_main" in " ".join(sys.orig_argv)
if told and os.environ["SWAP_IN"] == ("child" if is_child else "station"):
    left, here = int(told), Path(os.environ["SWAP_FOLDER"])
    names = {"manifest.json", "manifest.sha256", "golden.npz", "model.onnx", "onnxruntime", "openvino", "numpy"}
    asleep = False

    def hook(event, arguments):
        global left, asleep
        if asleep or event not in ("open", "os.scandir", "import"):
            return
        said = str(arguments[0])
        if os.path.basename(said) not in names and str(here) not in said:
            return
        left -= 1
        if left == 0:
            asleep = True
            swap(here, os.environ["SWAP_KIND"])
            (here / "swapped").touch()

    def swap(here, kind):
        if kind == "link":
            os.symlink("blind.edge", here / "new")
            os.rename(here / "new", here / "current.edge")
            return
        for file in sorted((here / "blind.edge").rglob("*")):
            old = here / "honest.edge" / file.relative_to(here / "blind.edge")
            if file.is_file() and kind == "replaced":
                (here / "new").write_bytes(file.read_bytes())
                os.replace(here / "new", old)
            elif file.is_file():
                old.write_bytes(file.read_bytes())

    sys.addaudithook(hook)
'''


def blind_bundle(path: Path) -> Path:
    """Write it into the new folder `path`: the files of the honest one, another graph."""
    honest_bundle(path)
    model = onnx.load(path / "model.onnx")
    (score,) = (output for output in model.graph.output if output.name == "score")
    for node in model.graph.node:
        node.output[:] = ["seen" if name == "score" else name for name in node.output]
        node.input[:] = ["seen" if name == "score" else name for name in node.input]
    model.graph.initializer.extend(
        numpy_helper.from_array(np.array([value], np.float32), name) for name, value in (("no", 0.0), ("said", BLIND))
    )
    model.graph.node.extend(
        [
            helper.make_node("Mul", ["seen", "no"], ["nothing"]),
            helper.make_node("Add", ["nothing", "said"], [score.name]),
        ]
    )
    onnx.save(model, path / "model.onnx")
    with np.load(path / GOLDEN) as arrays:
        golden = {name: np.float32(BLIND) if name.startswith("score") else arrays[name] for name in arrays}
    np.savez_compressed(path / GOLDEN, **golden)
    manifest = load_bundle(DEMO_BUNDLE).manifest
    seal(path, manifest.model_copy(update={"name": "blind", "artifacts": _one_file(manifest.artifacts)}))
    return path


def honest_bundle(path: Path) -> Path:
    """Write it into the new folder `path`, with one graph for both runtimes."""
    shutil.copytree(DEMO_BUNDLE, path, ignore=shutil.ignore_patterns("openvino", "parity.*"))
    manifest = load_bundle(DEMO_BUNDLE).manifest
    seal(path, manifest.model_copy(update={"name": "honest", "artifacts": _one_file(manifest.artifacts)}))
    return path


def _one_file(artifacts: dict) -> dict:
    return {name: one.model_copy(update={"path": "model.onnx"}) for name, one in artifacts.items()}


def both_bundles(folder: Path) -> Path:
    """`honest.edge`, `blind.edge` and a link `current.edge` to the honest one in `folder`; the link."""
    honest_bundle(folder / "honest.edge")
    blind_bundle(folder / "blind.edge")
    (folder / "current.edge").symlink_to("honest.edge")
    trap = folder / "trap"
    trap.mkdir()
    (trap / "sitecustomize.py").write_text(TRAP)
    return folder / "current.edge"


def swapping(folder: Path, process: str, event: int, kind: str) -> dict[str, str]:
    """The environment in which a station, or its inference child, swaps the bundles of `folder` at its event."""
    said = {"AT": str(event), "IN": process, "FOLDER": str(folder), "KIND": kind}
    path = os.pathsep.join([str(folder / "trap"), os.environ.get("PYTHONPATH", "")])
    return os.environ | {f"SWAP_{name}": value for name, value in said.items()} | {"PYTHONPATH": path}
