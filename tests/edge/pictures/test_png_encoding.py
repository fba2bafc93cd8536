"""The PNG of a frame holds its pixels, for every decoder, and is not much larger than OpenCV's."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from edge.demo.line import DemoLine
from edge.letterbox.geometry import SMALLEST_FRAME
from edge.pictures import decode_picture
from edge.pictures.png_encoding import encode_png


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 7), (7, 1), (33, 50), (180, 320)])
def test_the_pixels_are_those_of_the_frame_for_every_decoder(height: int, width: int) -> None:
    frame = np.random.default_rng(7).integers(0, 256, (height, width, 3), np.uint8)
    data = encode_png(frame)
    assert np.array_equal(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED), frame)
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == "RGB"
        assert np.array_equal(np.asarray(image)[..., ::-1], frame)
    if min(height, width) >= SMALLEST_FRAME:
        assert np.array_equal(decode_picture(data), frame), "it checks all checksums"


def test_a_part_of_a_stack_of_frames_is_encoded() -> None:
    stack = np.random.default_rng(8).integers(0, 256, (40, 30, 3), np.uint8)
    assert np.array_equal(decode_picture(encode_png(stack[20:])), stack[20:])


def test_a_photograph_is_at_most_a_tenth_larger_than_with_opencv() -> None:
    frame = DemoLine(size=(360, 640)).render(0).frame
    assert len(encode_png(frame)) < 1.1 * len(cv2.imencode(".png", frame)[1])
