"""DenseNet-121 with one output: whether the part is bad, from the whole picture."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.models import Batch, Network

DEPTHS = (6, 12, 24, 16)
GROWTH = 32
STRIDE = 32
"""Input pixels per cell of the last feature map, in each direction."""

BLACK = (-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225)
"""Black in ImageNet's normalisation: the value of the padding."""


class DenseNet121(Network):
    """torchvision's densenet121, state-dict names included, with a classifier of one output.

    The padding is part of the picture for this network, as black: pooling covers the whole square, so that a long part
    and a square one differ beyond their own pixels. The score is the probability of a bad part. The map, with one cell
    per 32×32 pixels, is the class activation map: the classifier applied to each cell alone, as a probability. After
    global average pooling it equals Grad-CAM, and needs no gradient. The side must be a multiple of 32. Huang et al.,
    "Densely connected convolutional networks", 2017; Zhou et al., "Learning deep features for discriminative
    localization", 2016.
    """

    learns_from = "labels"
    takes_any_size = True

    black: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential()
        self.features.add_module("conv0", nn.Conv2d(3, 64, kernel_size=7, stride=2, padding=3, bias=False))
        self.features.add_module("norm0", nn.BatchNorm2d(64))
        self.features.add_module("relu0", nn.ReLU())
        self.features.add_module("pool0", nn.MaxPool2d(kernel_size=3, stride=2, padding=1))
        channels = 64
        for index, depth in enumerate(DEPTHS, 1):
            self.features.add_module(f"denseblock{index}", DenseBlock(depth, channels))
            channels += depth * GROWTH
            if index < len(DEPTHS):
                self.features.add_module(f"transition{index}", Transition(channels))
                channels //= 2
        self.features.add_module("norm5", nn.BatchNorm2d(channels))
        self.classifier = nn.Linear(channels, 1)
        self.register_buffer("black", torch.tensor(BLACK).view(1, 3, 1, 1), persistent=False)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Score [N] and map [N, S/32, S/32]; see Network."""
        cells = self.cells(image, mask)
        frame = F.max_pool2d(mask, STRIDE).squeeze(1)
        return cells.mean(dim=(1, 2)).sigmoid(), cells.sigmoid() * frame

    def cells(self, image: Tensor, mask: Tensor) -> Tensor:
        """The classifier's logit of each cell, [N, S/32, S/32]; their mean is the logit of the picture."""
        features = F.relu(self.features(torch.where(mask > 0, image, self.black)))
        return F.conv2d(features, self.classifier.weight[:, :, None, None], self.classifier.bias).squeeze(1)

    def pretrained(self) -> tuple[nn.Module, str]:
        """Everything except the classifier."""
        return self, "densenet121"

    def loss(self, batch: Batch, *, pos_weight: float = 1.0) -> dict[str, Tensor]:
        """Cross-entropy of the label, with `pos_weight` times the weight of a good photograph for a bad one."""
        logits = self.cells(batch.image, batch.mask).mean(dim=(1, 2))
        weight = logits.new_tensor(pos_weight)
        return {"label": F.binary_cross_entropy_with_logits(logits, batch.label, pos_weight=weight)}


class DenseLayer(nn.Module):
    """`GROWTH` new channels from all previous ones, through a bottleneck."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, 4 * GROWTH, kernel_size=1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * GROWTH)
        self.conv2 = nn.Conv2d(4 * GROWTH, GROWTH, kernel_size=3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Only the new channels."""
        new: Tensor = self.conv2(F.relu(self.norm2(self.conv1(F.relu(self.norm1(x))))))
        return new


class DenseBlock(nn.Module):
    """Layers, each with all previous outputs as its input."""

    def __init__(self, depth: int, inputs: int) -> None:
        super().__init__()
        for index in range(depth):
            self.add_module(f"denselayer{index + 1}", DenseLayer(inputs + index * GROWTH))

    def forward(self, x: Tensor) -> Tensor:
        """The input's channels and the new ones."""
        for layer in self.children():
            x = torch.cat([x, layer(x)], dim=1)
        return x


class Transition(nn.Module):
    """Half the channels at half the size."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(inputs)
        self.conv = nn.Conv2d(inputs, inputs // 2, kernel_size=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs/2, h/2, w/2]."""
        return F.avg_pool2d(self.conv(F.relu(self.norm(x))), 2)
