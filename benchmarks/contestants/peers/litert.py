"""Google's LiteRT (TensorFlow Lite) with XNNPACK, converted by onnx2tf."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.contestants import Infer, Setup
from benchmarks.contestants.letterboxed import letterboxed

TITLE = "LiteRT"
REQUIRES = ("onnx2tf==1.29.24", "ai-edge-litert==2.1.0")


TRIED = "calibration_image_sample_data_20x128x128x3_float32.npy"
"""Pictures with which onnx2tf tests its result; it would download them. Their content does not matter."""


def load(setup: Setup) -> Infer:
    """Convert to float32 and load; pictures are transposed to channels last, as onnx2tf expects."""
    from ai_edge_litert.interpreter import Interpreter

    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / TRIED, np.zeros((20, 128, 128, 3), np.float32))
        convert = [str(Path(sys.executable).with_name("onnx2tf")), "-i", setup.network, "-o", folder, "-n"]
        subprocess.run(convert, cwd=folder, check=True, stdout=2)
        (file,) = Path(folder).glob("*_float32.tflite")
        interpreter = Interpreter(str(file), num_threads=setup.threads)
    interpreter.allocate_tensors()
    (picture,) = interpreter.get_input_details()
    score = next(one for one in interpreter.get_output_details() if np.prod(one["shape"]) == 1)

    def infer(blob: npt.NDArray[np.float32]) -> float:
        interpreter.set_tensor(picture["index"], blob.transpose(0, 2, 3, 1))
        interpreter.invoke()
        return float(interpreter.get_tensor(score["index"]).ravel()[0])

    return letterboxed(setup, infer)
