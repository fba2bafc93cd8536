"""The letterbox in the exported graph, against an oracle that shares no code with it."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import openvino as ov
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from edge.backends.openvino_letterbox import use_fast_letterbox
from edge.contract import LetterboxContract
from edge.geometry import letterbox
from export.letterbox_graph import letterbox_model
from train.letterbox import letterboxed

Array = npt.NDArray[Any]
CONTRACTS = [
    LetterboxContract(side=64, fill=9, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), filter=name, mode=mode)
    for name, mode in (("antialias", "letterbox"), ("box", "letterbox"), ("antialias", "stretch"))
]
LEVEL = 1 / (255 * 0.224)
"""One grey level, normalised."""

FAILS_IN_FLOATS = [(h, w) for h in (299, 301, 598) for w in (150, 299, 1196)]
EXTREMES = [(16, 16), (16, 4096), (4096, 16), (4096, 4096), (4095, 4093), (17, 19), (63, 64), (65, 64), (720, 1280)]


def oracle(frame: Array, contract: LetterboxContract) -> Array:
    """Letterbox in float64 with dense weights, straight from the definition."""
    box = letterbox(*frame.shape[:2], contract.side, contract.is_stretched)
    block = max(1, max(frame.shape[:2]) // contract.side) if contract.filter == "box" else 1
    rows, columns = (
        triangle(n, size, block) for n, size in ((frame.shape[0], box.height), (frame.shape[1], box.width))
    )
    small = np.stack([rows @ frame[:, :, c].astype(np.float64) @ columns.T for c in (2, 1, 0)])
    image = np.full((3, contract.side, contract.side), float(contract.fill))
    image[:, box.top : box.top + box.height, box.left : box.left + box.width] = small
    mean, std = (np.reshape(v, (3, 1, 1)) for v in (contract.mean, contract.std))
    return (image / 255 - mean) / std


def triangle(length: int, size: int, block: int) -> Array:
    """Weight of each pixel for each output: that of its block; even a short one is centred like a whole one."""
    centres = (np.arange(size) + 0.5) * length / size
    pixels = (np.arange(length) // block + 0.5) * block
    distance = np.abs(pixels - centres[:, None]) / max(block, length / size)
    weights = np.maximum(0, 1 - distance)
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module", params=CONTRACTS, ids=lambda contract: f"{contract.mode} {contract.filter}")
def contract(request: pytest.FixtureRequest) -> LetterboxContract:
    return request.param


@pytest.fixture(scope="module")
def runtimes(contract: LetterboxContract, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("letterbox") / "letterbox.onnx"
    onnx.save(letterbox_model(contract), path)
    session = ort.InferenceSession(str(path))
    compiled = ov.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return {
        "onnxruntime": lambda frame: session.run(["image", "mask"], {"frame": frame[None]}),
        "openvino": lambda frame: [compiled([frame[None]])[name] for name in ("image", "mask")],
    }


def noise(height: int, width: int) -> Array:
    return np.random.default_rng(height * 5000 + width).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize(("height", "width"), FAILS_IN_FLOATS + EXTREMES)
def test_noise_of_awkward_sizes_is_letterboxed_exactly(
    runtimes: dict[str, Any], contract: LetterboxContract, runtime: str, height: int, width: int
) -> None:
    check(runtimes[runtime], noise(height, width), contract)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@settings(max_examples=40, deadline=None)
@given(height=st.integers(16, 1500), width=st.integers(16, 1500))
def test_noise_of_any_size_is_letterboxed_exactly(
    runtimes: dict[str, Any], contract: LetterboxContract, runtime: str, height: int, width: int
) -> None:
    check(runtimes[runtime], noise(height, width), contract)


def check(run: Any, frame: Array, contract: LetterboxContract) -> None:
    image, mask = run(frame)
    assert np.abs(image[0] - oracle(frame, contract)).max() < 0.005 * LEVEL
    box = letterbox(*frame.shape[:2], contract.side, contract.is_stretched)
    expected = np.zeros((contract.side, contract.side))
    expected[box.top : box.top + box.height, box.left : box.left + box.width] = 1
    assert np.array_equal(mask[0, 0], expected)


@pytest.mark.parametrize(("height", "width"), [*FAILS_IN_FLOATS, *EXTREMES, (1081, 1923)])
def test_the_letterbox_of_a_fixed_size_is_exact(contract: LetterboxContract, height: int, width: int) -> None:
    core = ov.Core()
    model = core.read_model(letterbox_model(contract).SerializeToString())
    model.reshape({"frame": [1, height, width, 3]})
    before = len(model.get_ops())
    use_fast_letterbox(model, (height, width), contract)
    assert len(model.get_ops()) < before / 2, "the graph's own letterbox is gone"
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    check(lambda frame: list(compiled([frame[None]]).values()), noise(height, width), contract)


@pytest.mark.parametrize(("height", "width"), [*FAILS_IN_FLOATS, *EXTREMES])
def test_training_letterboxes_as_the_oracle_does(contract: LetterboxContract, height: int, width: int) -> None:
    frame = noise(height, width)
    image, _ = letterboxed(frame, contract)
    assert np.abs(image.numpy() - oracle(frame, contract)).max() < 0.005 * LEVEL


def test_a_stretched_frame_fills_the_square_and_takes_no_blocks() -> None:
    _, mask = letterboxed(noise(40, 200), LetterboxContract(side=64, mode="stretch"))
    assert mask.all()
    assert letterbox(40, 200, 64, stretch=True).to_frame(64, 64) == (200, 40)
    with pytest.raises(ValueError, match="mode stretch has the filter antialias"):
        LetterboxContract(side=64, mode="stretch", filter="box")


def test_every_filter_and_mode_is_tested_here() -> None:
    for field in ("filter", "mode"):
        known = get_args(LetterboxContract.model_fields[field].annotation)
        assert {getattr(contract, field) for contract in CONTRACTS} == set(known)


def test_a_scratch_one_pixel_wide_survives_a_large_frame(runtimes: dict[str, Any], contract: LetterboxContract) -> None:
    frame = np.zeros((2048, 2448, 3), np.uint8)
    frame[:, 1201] = 255
    for run in runtimes.values():
        image, _ = run(frame)
        grey = (image[0] * np.reshape(contract.std, (3, 1, 1)) + np.reshape(contract.mean, (3, 1, 1))) * 255
        assert grey[:, 32].max() > 5, "a filter that is not antialiased does not see it"


def test_openvino_still_ignores_antialias_of_a_resize(tmp_path: Path) -> None:
    """Why the graph has no Resize. When this fails, OpenVINO has mended it and the graph may become simpler."""
    node = helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], mode="linear", antialias=1)
    value = helper.make_tensor_value_info
    sizes = helper.make_tensor("sizes", TensorProto.INT64, [4], [1, 1, 36, 64])
    graph = helper.make_graph(
        [node], "resize", [value("x", TensorProto.FLOAT, [1, 1, 720, 1280])],
        [value("y", TensorProto.FLOAT, [1, 1, 36, 64])], [sizes],
    )  # fmt: skip
    path = tmp_path / "resize.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    frame = noise(720, 1280)[None, None, :, :, 0].astype(np.float32)
    exact = ort.InferenceSession(str(path)).run(None, {"x": frame})[0]
    naive = ov.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([frame])["y"]
    assert np.abs(naive - exact).max() > 50
