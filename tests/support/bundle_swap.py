"""Two bundles with different verdicts, and a process in which one bundle replaces the other at a chosen moment.

The honest bundle scores a frame by its mean brightness. The blind bundle is unsigned and scores every frame `BLIND`.
"""

import os
import random
from pathlib import Path

import numpy as np
import onnx
import openvino as ov
from onnx import TensorProto, helper
from support.line import DEMO_BUNDLE

from edge.bundle import GOLDEN, load_bundle, seal

BLIND = 0.0
"""Score of the blind bundle; no picture of the demonstration line is so dark. The golden frame is black, so both
bundles give its score and have the same golden.npz: no self-test distinguishes them.
"""

KINDS = ("link", "replaced", "rewritten")
"""Ways in which the blind bundle replaces the honest one: the link is renamed, each file is replaced by another file,
or each file is overwritten in place.
"""

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

    new = here / f"new-{os.getpid()}"  # each child of the station comes to the event, maybe at one time

    def swap(here, kind):
        if kind == "link":
            os.symlink("blind.edge", new)
            os.rename(new, here / "current.edge")
            return
        for file in sorted((here / "blind.edge").rglob("*")):
            old = here / "honest.edge" / file.relative_to(here / "blind.edge")
            if file.is_file() and kind == "replaced":
                new.write_bytes(file.read_bytes())
                os.replace(new, old)
            elif file.is_file():
                old.write_bytes(file.read_bytes())

    sys.addaudithook(hook)
'''


def mean_bundle(path: Path, name: str, weight: float) -> Path:
    """Write a bundle into the new folder `path`. It scores a frame by its mean brightness, from 0 to `weight`."""
    (path / "openvino").mkdir(parents=True)
    onnx.save(_graph(weight), path / "model.onnx")
    ov.save_model(ov.Core().read_model(path / "model.onnx"), path / "openvino" / "model.xml", compress_to_fp16=False)
    np.savez(path / GOLDEN, count=1, frame_0=np.zeros((64, 64, 3), np.uint8), score_0=0.0)
    manifest = load_bundle(DEMO_BUNDLE).manifest
    changes = {"name": name, "map_size": None, "map_threshold": None}
    seal(path, manifest.model_copy(update=changes))
    return path


def _graph(weight: float) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Cast", ["frame"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float"], ["mean4"], keepdims=1),
        helper.make_node("Reshape", ["mean4", "one"], ["mean"]),
        helper.make_node("Mul", ["mean", "weight"], ["score"]),
    ]
    constants = [
        helper.make_tensor("one", TensorProto.INT64, [1], [1]),
        helper.make_tensor("weight", TensorProto.FLOAT, [1], [weight / 255]),
    ]
    frame = helper.make_tensor_value_info("frame", TensorProto.UINT8, [1, "height", "width", 3])
    score = helper.make_tensor_value_info("score", TensorProto.FLOAT, [1])
    graph = helper.make_graph(nodes, "mean", [frame], [score], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def swap(folder: Path, kind: str, to: str = "blind.edge") -> None:
    """Replace the bundle to which `current.edge` in `folder` points by the bundle `to`, or redirect the link to it."""
    if kind == "link":
        os.symlink(to, folder / "new")
        os.rename(folder / "new", folder / "current.edge")
        return
    files = [file for file in (folder / to).rglob("*") if file.is_file()]
    random.shuffle(files)
    for file in files:
        old = (folder / "current.edge").resolve() / file.relative_to(folder / to)
        if kind == "replaced":
            (folder / "new").write_bytes(file.read_bytes())
            os.replace(folder / "new", old)
        else:
            old.write_bytes(file.read_bytes())


def both_bundles(folder: Path) -> Path:
    """Write `honest.edge`, `blind.edge` and the link `current.edge` to the honest bundle. Returns the link."""
    mean_bundle(folder / "honest.edge", "honest", 1.0)
    mean_bundle(folder / "blind.edge", "blind", BLIND)
    (folder / "current.edge").symlink_to("honest.edge")
    trap = folder / "trap"
    trap.mkdir()
    (trap / "sitecustomize.py").write_text(TRAP)
    return folder / "current.edge"


def swapping(folder: Path, process: str, event: int, kind: str) -> dict[str, str]:
    """Environment variables with which the station or its inference child, by `process`, swaps the bundles of `folder`
    at its event number `event`.
    """
    said = {"AT": str(event), "IN": process, "FOLDER": str(folder), "KIND": kind}
    path = os.pathsep.join([str(folder / "trap"), os.environ.get("PYTHONPATH", "")])
    return os.environ | {f"SWAP_{name}": value for name, value in said.items()} | {"PYTHONPATH": path}
