"""Tencent's ncnn, converted by pnnx; float32, as on most desktops."""

import importlib.util
import shutil
import subprocess
import tempfile
from pathlib import Path

from benchmarks.contestants import HOST, Infer, Setup
from benchmarks.contestants.letterboxed import letterboxed

TITLE = "ncnn"
REQUIRES = (*HOST, "ncnn==1.0.20261020", "--no-deps", "pnnx==20261020")


def load(setup: Setup) -> Infer:
    """Convert and load."""
    import ncnn

    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(setup.network, Path(folder) / "network.onnx")
        found = importlib.util.find_spec("pnnx")  # not imported: its Python part needs PyTorch
        if found is None or found.origin is None:
            raise RuntimeError("pnnx is not there")
        converter = Path(found.origin).with_name("pnnx")
        shape = f"inputshape=[1,3,{setup.side},{setup.side}]f32"
        subprocess.run([converter, "network.onnx", shape, "fp16=0"], cwd=folder, check=True, stdout=2)
        network = ncnn.Net()
        network.opt.num_threads = setup.threads
        files = [str(Path(folder) / f"network.ncnn.{kind}") for kind in ("param", "bin")]
        if network.load_param(files[0]) or network.load_model(files[1]):
            raise RuntimeError("ncnn cannot load what pnnx wrote")

    def infer(blob: object) -> float:
        with network.create_extractor() as extractor:
            extractor.input("in0", ncnn.Mat(blob[0]))  # type: ignore[index]
            failed, score = extractor.extract("out0")
            if failed:
                raise RuntimeError("ncnn gives no score")
            return float(score[0])

    return letterboxed(setup, infer)
