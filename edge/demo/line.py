"""The demo line: parts one after another on a belt under a camera, rendered, each with its truth. Start here.

>>> line = DemoLine(seed=0)
>>> photograph = line.render(7)
>>> photograph.frame.shape, photograph.part.code, photograph.part.truth
((720, 1280, 3), 'A000007', 'bad')
>>> [str(defect) for defect in photograph.part.defects]
['chip/strong']
"""

import cv2
import numpy as np
import numpy.typing as npt

from edge.demo.belt import lay_belt
from edge.demo.camera import mount_camera
from edge.demo.design import draw_design, plate_width
from edge.demo.part import PartPicture, draw_part
from edge.demo.rendered_line import DemoFrame, RenderedLine
from edge.demo.stamp import Pixels
from edge.demo.truth import DemoPart, Stream, plan_part, random_stream

SMALLEST, LARGEST = 16, 8192
"""Smallest and largest side of a frame, pixels."""


class DemoLine(RenderedLine):
    """The line of plates on a belt.

    `size` is (height, width) in pixels, `defect_rate` the probability that a part is bad. Apart from these, a part and
    its photograph depend only on `seed` and the part's index. The seed chooses the parts, poses, dirt and light of a
    shift; the line itself, its belt, its camera and the part's design, is the same for all seeds.

    Raises ValueError for a side outside 16..8192, a rate outside 0..1, a negative seed or index.
    """

    def __init__(self, seed: int = 0, size: tuple[int, int] = (720, 1280), defect_rate: float = 0.2) -> None:
        if not SMALLEST <= min(size) <= max(size) <= LARGEST:
            raise ValueError(f"frame of {size[1]}x{size[0]}: sides must be {SMALLEST} to {LARGEST} pixels")
        super().__init__(seed, defect_rate)
        self.size: tuple[int, int] = size
        self._design = draw_design(plate_width(size))
        self._belt = lay_belt(size)
        self._camera = mount_camera(size)

    def _plan(self, index: int) -> DemoPart:
        return plan_part(self.seed, index, self.defect_rate)

    def photograph(self, part: DemoPart) -> DemoFrame:
        """The photograph of a given part, complete, near the centre of the frame."""
        frame = np.empty((*self.size, 3), np.uint8)
        rng = random_stream(self.seed, part.index, Stream.BELT)
        self._belt.view(rng.random(), frame)
        self._belt.soil(frame, rng)
        lay_down(draw_part(self._design, part, self.seed), self.pose(part.index), frame)
        self._camera.expose(frame, self.seed, part.index)
        return DemoFrame(frame, part)

    def mask_of(self, part: DemoPart) -> Pixels:
        """Mask of the defects of a given part in its photograph: `uint8 [H, W]`, 0 or 255."""
        if not part.defects:
            return np.zeros(self.size, np.uint8)
        picture = draw_part(self._design, part, self.seed)
        height, width = self.size
        moved = np.asarray(cv2.warpAffine(picture.mask, self.pose(part.index), (width, height)), np.uint8)
        half = max(1, min(128, int(moved.max()) // 2))
        return np.where(moved >= half, 255, 0).astype(np.uint8)

    def pose(self, index: int) -> npt.NDArray[np.float64]:
        """Pose of the part: the matrix `float64 [2, 3]` from its own picture to the frame."""
        rng = random_stream(self.seed, index, Stream.POSE)
        angle = np.radians(np.clip(rng.normal(0, 1.8), -5, 5))
        scale = 1 + rng.uniform(-0.02, 0.02)
        aside = np.clip(rng.normal(0, 0.018, 2), -0.05, 0.05) * min(self.size)
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        rows, columns = self._design.blank.shape[:2]
        own_centre = np.array([(columns - 1) / 2, (rows - 1) / 2])
        centre = np.array([(self.size[1] - 1) / 2, (self.size[0] - 1) / 2]) + aside
        return np.column_stack([turn, centre - turn @ own_centre])


def lay_down(picture: PartPicture, pose: npt.NDArray[np.float64], belt: Pixels) -> None:
    """Draw a part's picture onto a belt `uint8 [H, W, 3]`, in place, with the pose `float64 [2, 3]`."""
    left, top, right, bottom = _landing(picture.pixels.shape, pose, belt.shape)
    if left >= right or top >= bottom:
        return
    local = pose - np.array([[0, 0, left], [0, 0, top]])
    landed = cv2.warpAffine(
        picture.pixels,
        local,
        (right - left, bottom - top),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(0, 0, 0, 255),
    )
    seen = cv2.cvtColor(cv2.extractChannel(landed, 3), cv2.COLOR_GRAY2BGR)
    window = belt[top:bottom, left:right]
    cv2.multiply(window, seen, dst=window, scale=1 / 255)
    cv2.add(window, cv2.cvtColor(landed, cv2.COLOR_BGRA2BGR), dst=window)


def _landing(
    picture_shape: tuple[int, ...], pose: npt.NDArray[np.float64], belt_shape: tuple[int, ...]
) -> tuple[int, int, int, int]:
    """The window of the belt (left, top, right, bottom) that a picture covers, in pixels."""
    rows, columns = picture_shape[:2]
    corners = np.array([[-1, -1, 1], [columns, -1, 1], [-1, rows, 1], [columns, rows, 1]], np.float64) @ pose.T
    (left, top), (right, bottom) = np.floor(corners.min(axis=0)), np.ceil(corners.max(axis=0)) + 1
    return (
        max(0, int(left)),
        max(0, int(top)),
        min(belt_shape[1], int(right)),
        min(belt_shape[0], int(bottom)),
    )
