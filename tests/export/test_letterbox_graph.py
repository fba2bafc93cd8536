"""The letterbox in the exported graph, compared with an oracle that shares only the position of the box with it."""

from functools import cache
from typing import Any, get_args

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import openvino as ov
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from torch.nn import functional as F

from edge.backends.runtimes.openvino_letterbox import use_fast_letterbox
from edge.errors import DataError
from edge.letterbox.contract import LetterboxContract, RegionOfInterest
from edge.letterbox.geometry import letterbox
from export.letterbox_graph import letterbox_model
from train.letterbox import letterboxed

Array = npt.NDArray[Any]
MODES = [("antialias", "letterbox"), ("box", "letterbox"), ("bilinear", "letterbox")] + [
    (name, "stretch") for name in ("antialias", "bilinear")
]
COLOURS = [(frame, colour) for frame in ("bgr", "grey") for colour in ("rgb", "bgr", "grey")]
CONTRACTS = [
    LetterboxContract(side=64, fill=9, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), filter=name, mode=mode)
    for name, mode in MODES
]
LEVEL = 1 / (255 * 0.224)
"""One grey level, normalised."""

FAILS_IN_FLOATS = [(h, w) for h in (299, 301, 598) for w in (150, 299, 1196)]
EXTREMES = [(16, 16), (16, 4096), (4096, 16), (4095, 4093), (17, 19), (63, 64), (65, 64), (720, 1280)]
WHOLE_FACTOR_AND_PADDING = [(320, 640), (640, 320), (320, 576)]


def oracle(frame: Array, contract: LetterboxContract) -> Array:
    """The letterbox in float64 with dense weights, from its definition; the frame is [H, W, 3] BGR or [H, W]."""
    if contract.region is not None:
        top, left, height, width = contract.region.model_dump().values()
        frame = frame[top : top + height, left : left + width]
    box = letterbox(*frame.shape[:2], contract.side, contract.mode == "stretch")
    block = max(1, max(frame.shape[:2]) // contract.side) if contract.filter == "box" else 1
    rows, columns = (
        triangle(n, size, block, contract.filter == "bilinear")
        for n, size in ((frame.shape[0], box.height), (frame.shape[1], box.width))
    )
    blue, green, red = (frame[:, :, c].astype(np.float64) if frame.ndim == 3 else frame for c in range(3))
    channels = [red, green, blue] if contract.colour == "rgb" else [blue, green, red]
    if contract.colour == "grey":
        channels = [0.299 * red + 0.587 * green + 0.114 * blue]
    small = np.stack([rows @ channel @ columns.T for channel in channels])
    image = np.full((len(channels), contract.side, contract.side), float(contract.fill))
    image[:, box.top : box.top + box.height, box.left : box.left + box.width] = small
    mean, std = (np.reshape(v, (-1, 1, 1)) for v in (contract.mean, contract.std))
    return (image / 255 - mean) / std


def triangle(length: int, size: int, block: int, is_two_taps: bool) -> Array:
    """Weight of each pixel for each output: the weight of its block. A short block is centred like a whole one."""
    centres = (np.arange(size) + 0.5) * length / size
    if is_two_taps:
        centres = centres.clip(0.5, length - 0.5)
    pixels = (np.arange(length) // block + 0.5) * block
    distance = np.abs(pixels - centres[:, None]) / (1 if is_two_taps else max(block, length / size))
    weights = np.maximum(0, 1 - distance)
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module", params=CONTRACTS, ids=lambda contract: f"{contract.mode} {contract.filter}")
def contract(request: pytest.FixtureRequest) -> LetterboxContract:
    return request.param


@pytest.fixture(scope="module")
def runtimes(contract: LetterboxContract) -> dict[str, Any]:
    return running(contract)


def running(contract: LetterboxContract) -> dict[str, Any]:
    """The graph in both runtimes: functions from a frame to image and mask."""
    model = letterbox_model(contract).SerializeToString()
    session = ort.InferenceSession(model)
    compiled = ov.Core().compile_model(ov.Core().read_model(model), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return {
        "onnxruntime": lambda frame: session.run(["image", "mask"], {"frame": frame[None]}),
        "openvino": lambda frame: [compiled([frame[None]])[name] for name in ("image", "mask")],
    }


def running_fixed(contract: LetterboxContract, shape: tuple[int, int]) -> Any:
    """The static variant in OpenVINO."""
    core = ov.Core()
    model = core.read_model(letterbox_model(contract).SerializeToString())
    model.reshape({"frame": [1, *shape, 3][: len(model.input("frame").partial_shape)]})
    before = {op.get_friendly_name() for op in model.get_ops()}
    use_fast_letterbox(model, shape, contract)
    left = {op.get_type_name() for op in model.get_ops() if op.get_friendly_name() in before}
    assert left == {"Parameter", "Result"}, "the graph's own letterbox is gone"
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda frame: list(compiled([frame[None]]).values())


def noise(height: int, width: int, frame: str = "bgr") -> Array:
    shape = (height, width, 3)[: 2 if frame == "grey" else 3]
    return np.random.default_rng(height * 5000 + width).integers(0, 256, shape, dtype=np.uint8)


awkward = cache(noise)
"""Noise of the awkward sizes, drawn once for all renderings."""


@cache
def exactly(contract: LetterboxContract, height: int, width: int) -> Array:
    """The oracle's result for noise of this size, computed once for all renderings."""
    return oracle(awkward(height, width), contract)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize(("height", "width"), FAILS_IN_FLOATS + EXTREMES)
def test_noise_of_awkward_sizes_is_letterboxed_exactly(
    runtimes: dict[str, Any], contract: LetterboxContract, runtime: str, height: int, width: int
) -> None:
    check(runtimes[runtime], awkward(height, width), contract, exactly(contract, height, width))


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@settings(max_examples=20, deadline=None)
@given(height=st.integers(16, 1000), width=st.integers(16, 1000))
def test_noise_of_any_size_is_letterboxed_exactly(
    runtimes: dict[str, Any], contract: LetterboxContract, runtime: str, height: int, width: int
) -> None:
    check(runtimes[runtime], noise(height, width), contract)


def check(run: Any, frame: Array, contract: LetterboxContract, exact: Array | None = None) -> None:
    image, mask = run(frame)
    level = 1 / (255 * min(contract.std))
    assert np.abs(image[0] - (oracle(frame, contract) if exact is None else exact)).max() < 0.005 * level
    box = contract.fit(*frame.shape[:2])
    expected = np.zeros((contract.side, contract.side))
    expected[box.top : box.top + box.height, box.left : box.left + box.width] = 1
    assert np.array_equal(mask[0, 0], expected)


def in_training(contract: LetterboxContract) -> Any:
    """The rendering of the training; a grey camera's frame is given as in a station, with three equal channels."""

    def run(frame: Array) -> tuple[Array, Array]:
        image, mask = letterboxed(frame if frame.ndim == 3 else np.dstack([frame] * 3), contract)
        return image[None].numpy(), mask[None].numpy()

    return run


@pytest.mark.parametrize(("height", "width"), [*FAILS_IN_FLOATS, *EXTREMES, *WHOLE_FACTOR_AND_PADDING, (1081, 1923)])
def test_the_letterbox_of_a_fixed_size_is_exact(contract: LetterboxContract, height: int, width: int) -> None:
    run = running_fixed(contract, (height, width))
    check(run, awkward(height, width), contract, exactly(contract, height, width))


@pytest.mark.parametrize(("height", "width"), [*FAILS_IN_FLOATS, *EXTREMES])
def test_training_letterboxes_as_the_oracle_does(contract: LetterboxContract, height: int, width: int) -> None:
    check(in_training(contract), awkward(height, width), contract, exactly(contract, height, width))


@st.composite
def contracts(draw: st.DrawFn) -> LetterboxContract:
    """Contracts with every combination of filter, mode, frame and colour, and with regions of any position and size."""
    (name, mode), (frame, colour) = draw(st.sampled_from(MODES)), draw(st.sampled_from(COLOURS))
    edges, sides, shares = st.integers(0, 300), st.integers(16, 500), st.floats(0.1, 1)
    region = st.fixed_dictionaries({"top": edges, "left": edges, "height": sides, "width": sides})
    channels = 1 if colour == "grey" else 3
    return LetterboxContract(
        side=draw(st.integers(16, 96)),
        fill=draw(st.integers(0, 255)),
        filter=name,
        mode=mode,
        frame=frame,
        colour=colour,
        region=draw(st.none() | region),  # type: ignore[arg-type]
        mean=tuple(draw(shares) for _ in range(channels)),
        std=tuple(draw(shares) for _ in range(channels)),
    )


@settings(max_examples=25, deadline=None)
@given(contract=contracts(), height=st.integers(16, 500), width=st.integers(16, 500))
def test_whatever_the_contract_all_renderings_are_exact(contract: LetterboxContract, height: int, width: int) -> None:
    height, width = contract.holding(height, width)
    frame = noise(height, width, contract.frame)
    for run in (*running(contract).values(), running_fixed(contract, (height, width)), in_training(contract)):
        check(run, frame, contract)


@pytest.mark.parametrize("colours", COLOURS, ids="-".join)
@pytest.mark.parametrize("filter_", ["antialias", "box", "bilinear"])
def test_every_camera_and_every_network_see_the_right_channels(filter_: str, colours: tuple[str, str]) -> None:
    frame, colour = colours
    contract = LetterboxContract(side=32, filter=filter_, frame=frame, colour=colour)  # type: ignore[arg-type]
    picture = noise(97, 140, frame)
    for run in (*running(contract).values(), running_fixed(contract, (97, 140)), in_training(contract)):
        check(run, picture, contract)


def test_bilinear_is_that_of_opencv_and_of_torch() -> None:
    frame = noise(211, 307)
    contract = LetterboxContract(side=64, filter="bilinear", mode="stretch", colour="bgr", std=(1 / 255,) * 3)
    image, _ = letterboxed(frame, contract)
    by_opencv = cv2.resize(frame.astype(np.float32), (64, 64), interpolation=cv2.INTER_LINEAR)
    by_torch = F.interpolate(torch.from_numpy(frame).permute(2, 0, 1)[None].float(), (64, 64), mode="bilinear")
    assert np.abs(image.numpy() - by_opencv.transpose(2, 0, 1)).max() < 0.01, "grey levels"
    assert (image - by_torch[0]).abs().max() < 0.01


def test_grey_is_the_luminance_of_opencv_not_rounded() -> None:
    frame = noise(32, 32)
    image, _ = letterboxed(frame, LetterboxContract(side=32, colour="grey", std=(1 / 255,)))
    apart = image[0].numpy() - cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
    assert 0.3 < np.abs(apart).max() < 0.52


@pytest.mark.parametrize("filter_", ["antialias", "box", "bilinear"])
def test_a_frame_that_does_not_hold_the_region_gets_no_picture_from_the_graph(filter_: str) -> None:
    region = RegionOfInterest(top=40, left=60, height=50, width=100)
    contract = LetterboxContract(side=32, filter=filter_, region=region)  # type: ignore[arg-type]
    for run in running(contract).values():
        check(run, noise(90, 160), contract)
        for shape in ((89, 160), (90, 159), (30, 200), (200, 60)):
            with pytest.raises(Exception, match=r".+"):
                run(noise(*shape))
            with pytest.raises(DataError, match=f"{shape[1]}×{shape[0]} does not hold the region of 100×50 pixels"):
                letterboxed(noise(*shape), contract)


def test_a_stretched_frame_fills_the_square_and_takes_no_blocks() -> None:
    _, mask = letterboxed(noise(40, 200), LetterboxContract(side=64, mode="stretch"))
    assert mask.all()
    assert letterbox(40, 200, 64, stretch=True).to_frame(64, 64) == (200, 40)


def test_every_filter_and_mode_and_colour_is_tested_here() -> None:
    tested = {
        "filter": {name for name, _ in MODES}, "mode": {mode for _, mode in MODES},
        "frame": {frame for frame, _ in COLOURS}, "colour": {colour for _, colour in COLOURS},
    }  # fmt: skip
    for field, there in tested.items():
        assert there == set(get_args(LetterboxContract.model_fields[field].annotation))


def test_a_scratch_one_pixel_wide_survives_a_large_frame_unless_the_filter_is_bilinear(
    runtimes: dict[str, Any], contract: LetterboxContract
) -> None:
    frame = np.zeros((2048, 2448, 3), np.uint8)
    frame[:, 1201] = 255
    for run in runtimes.values():
        image, _ = run(frame)
        grey = (image[0] * np.reshape(contract.std, (3, 1, 1)) + np.reshape(contract.mean, (3, 1, 1))) * 255
        assert bool(grey[:, 32].max() > 5) is (contract.warning is None), (
            "the filter of which people are warned is blind"
        )


def naive_letterbox(contract: LetterboxContract, height: int, width: int) -> bytes:
    """The obvious implementation as ONNX for frames of one size: an antialiased Resize, then padding."""
    box = letterbox(height, width, contract.side)
    constants = {
        "sizes": np.array([1, 3, box.height, box.width]),
        "pads": np.array([0, 0, box.top, box.left, 0, 0, box.bottom, box.right]),
        "rgb": np.array([2, 1, 0]),
        "full": np.float32(255),
    }
    nodes = [
        helper.make_node("Cast", ["frame"], ["levels"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["levels"], ["bgr"], perm=[0, 3, 1, 2]),
        helper.make_node("Gather", ["bgr", "rgb"], ["planes"], axis=1),
        helper.make_node(
            "Resize", ["planes", "", "", "sizes"], ["small"], mode="linear", antialias=1, exclude_outside=1
        ),
        helper.make_node("Pad", ["small", "pads"], ["padded"]),
        helper.make_node("Div", ["padded", "full"], ["image"]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "naive", [value("frame", TensorProto.UINT8, [1, height, width, 3])],
        [value("image", TensorProto.FLOAT, [1, 3, contract.side, contract.side])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    content: bytes = model.SerializeToString()
    return content


def test_openvino_silently_ignores_antialias_of_a_resize_and_our_graph_does_not_need_it() -> None:
    """The reason why the graph has no Resize. The check of the project's own graph holds whatever OpenVINO does."""
    contract, frame = LetterboxContract(side=64), noise(720, 1280)
    exact, naive = oracle(frame, contract), naive_letterbox(contract, 720, 1280)
    for run in (*running(contract).values(), running_fixed(contract, (720, 1280))):
        assert np.abs(run(frame)[0][0] - exact).max() * 255 < 0.005, "ours, in grey levels"
    by_onnxruntime = ort.InferenceSession(naive).run(None, {"frame": frame[None]})[0][0]
    assert np.abs(by_onnxruntime - exact).max() * 255 < 0.01, "the naive graph itself is right"
    compiled = ov.Core().compile_model(ov.Core().read_model(naive), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    off = np.abs(compiled([frame[None]])["image"][0] - exact).max() * 255
    assert off > 50, (
        f"OpenVINO {ov.__version__} is only {off:.3g} grey levels off in an antialiased Resize: it has been mended, "
        "and where this version is the oldest allowed, export/letterbox_graph.py may become one Resize"
    )
