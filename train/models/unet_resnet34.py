"""U-Net on ResNet-34: segments defects pixel by pixel; a part with a defect is bad."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.backbones.resnet34 import ResNet34
from train.models import Batch, Network

CHANNELS = (256, 128, 64, 32, 16)
"""Channels of the decoder, from coarse to fine."""

SKIPS = (256, 128, 64, 64, 0)
"""Channels of the encoder's skip connections."""


class UnetResnet34(Network):
    """`Unet("resnet34")` of segmentation-models-pytorch, state-dict names included.

    The map is the probability of a defect at each pixel, the score the largest of them on the frame: with the
    threshold at 0.5 a part is bad if any pixel is. The side must be a multiple of 32. Ronneberger et al., "U-Net",
    2015.
    """

    learns_from = "masks"
    takes_any_size = True

    def __init__(self) -> None:
        super().__init__()
        self.encoder = ResNet34(classes=0)
        self.decoder = Decoder()
        self.segmentation_head = nn.Sequential(nn.Conv2d(CHANNELS[-1], 1, kernel_size=3, padding=1))

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Score [N] and map [N, S, S]; see Network."""
        probability = (self.logits(image, mask).sigmoid() * mask).squeeze(1)
        return probability.amax(dim=(1, 2)), probability

    def logits(self, image: Tensor, mask: Tensor) -> Tensor:
        """Logit of a defect at each pixel, [N, 1, S, S]."""
        logits: Tensor = self.segmentation_head(self.decoder(self.encoder.features(image * mask)))
        return logits

    def pretrained(self) -> tuple[nn.Module, str]:
        """The encoder."""
        return self.encoder, "resnet34"

    def loss(self, batch: Batch, *, alpha: float = 0.5) -> dict[str, Tensor]:
        """`alpha` times the pixels' cross-entropy and (1 - `alpha`) times the Dice loss of the whole batch.

        One Dice coefficient over all pixels of the batch, as segmentation-models-pytorch computes it.
        """
        logits = self.logits(batch.image, batch.mask)
        entropy = F.binary_cross_entropy_with_logits(logits, batch.truth, weight=batch.mask, reduction="sum")
        found, truth = logits.sigmoid() * batch.mask, batch.truth * batch.mask
        dice = (2 * (found * truth).sum() + 1) / (found.sum() + truth.sum() + 1)
        return {"pixels": alpha * entropy / batch.mask.sum(), "dice": (1 - alpha) * (1 - dice)}


class Decoder(nn.Module):
    """Five steps up, each doubling the size and joining the encoder's map of that size."""

    def __init__(self) -> None:
        super().__init__()
        inputs = (512, *CHANNELS[:-1])
        steps = zip(inputs, SKIPS, CHANNELS, strict=True)
        self.blocks = nn.ModuleList(DecoderBlock(below + skip, outputs) for below, skip, outputs in steps)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """From the encoder's maps, strides 2 to 32, to 16 channels at stride 1."""
        x, *skips = reversed(maps)
        for block, skip in zip(self.blocks, [*skips, None], strict=True):
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = block(x if skip is None else torch.cat([x, skip], dim=1))
        return x


class DecoderBlock(nn.Module):
    """Two 3×3 convolutions with batch normalisation and ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = _convolution(inputs, outputs)
        self.conv2 = _convolution(outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """`outputs` channels, the same size."""
        convolved: Tensor = self.conv2(self.conv1(x))
        return convolved


def _convolution(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )
