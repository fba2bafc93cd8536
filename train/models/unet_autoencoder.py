"""A U-Net that reconstructs good parts, trained with a pixel loss and a perceptual loss of an ImageNet network."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.letterbox.contract import LetterboxContract
from train.backbones import IMAGENET_MEAN, IMAGENET_STD, efficientnet_lite
from train.backbones.alexnet import AlexNet
from train.backbones.efficientnet_lite import EfficientNetLite
from train.backbones.vgg16 import Vgg16
from train.letterbox import in_levels, normalised
from train.models import Batch
from train.reconstruction import Reconstruction

SPOTS = 12
"""Number of white spots on a noisy picture."""

SPOT_RADIUS = (0.01, 0.03)
"""Smallest and largest radius of a spot, as a fraction of the side."""


class UnetAutoencoder(Reconstruction):
    """Four steps down and up with skip connections; trained on good parts only, with artificial spots if requested.

    The score is the mean squared error over the frame's pixels and channels, in units of the normalised input; the map
    is the squared error averaged over channels. The skip connections can copy their input, including defects: `spots`
    in the loss train the network to draw what a white spot hides. `judge` names the network whose features the
    perceptual loss compares; it is not trained, saved or exported. The side must be a multiple of 16, at least 32.
    Ronneberger et al., "U-Net", 2015; Johnson et al., "Perceptual losses for real-time style transfer", 2016.
    """

    def __init__(
        self,
        *,
        channels: tuple[int, int, int, int, int] = (16, 32, 64, 128, 128),
        judge: Literal["alexnet", "vgg16", "efficientnet-lite0"] = "alexnet",
    ) -> None:
        super().__init__()
        self.down = nn.ModuleList(_convolutions(i, o) for i, o in zip((3, *channels), channels, strict=False))
        above = list(zip(reversed(channels[1:]), reversed(channels[:-1]), strict=True))
        self.up = nn.ModuleList(_convolutions(below + skip, skip) for below, skip in above)
        self.draw = nn.Conv2d(channels[0], 3, kernel_size=1)
        self.judge = Judge(judge)

    def reconstruct(self, image: Tensor) -> Tensor:
        """The network's reconstruction of the picture: [N, 3, S, S], normalised."""
        skips: list[Tensor] = []
        x = image
        for layer in self.down:
            x = layer(F.max_pool2d(x, 2) if skips else x)
            skips.append(x)
        for layer, skip in zip(self.up, reversed(skips[:-1]), strict=True):
            x = layer(torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), skip], dim=1))
        drawn: Tensor = self.draw(x)
        return drawn

    def loss(self, batch: Batch, *, pixels: float = 0.6, spots: float = 0.0) -> dict[str, Tensor]:
        """`pixels` (λ) times the mean squared error and (1 - λ) times the perceptual distance, outside the padding.

        While training, a fraction `spots` of the batch is shown with white spots and must be drawn without them.
        """
        clean = batch.image * batch.mask
        seen = with_spots(clean, batch.mask, spots) if self.training and spots else clean
        drawn = self.reconstruct(seen) * batch.mask
        error = (((drawn - clean) ** 2).mean(dim=1).sum(dim=(1, 2)) / batch.mask.sum(dim=(1, 2, 3))).mean()
        terms = {"pixels": pixels * error}
        if pixels < 1:
            terms["perceptual"] = (1 - pixels) * self.judge(drawn, clean)
        return terms

    def normalised_by(self, contract: LetterboxContract) -> None:
        """Pass the normalisation to the judging network, which expects another one."""
        self.judge.sees = contract

    def pretrained(self) -> tuple[nn.Module, str]:
        """The judging network."""
        return self.judge.network, self.judge.name


class Judge:
    """Compares pictures by the features of a pretrained network; not a part of the network that it trains.

    `sees` is the contract by which its pictures are normalised; None if they are normalised as its network `expects`.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        imagenet = IMAGENET_MEAN, IMAGENET_STD
        makers: dict[str, tuple[type[AlexNet | Vgg16 | EfficientNetLite], tuple[Sequence[float], Sequence[float]]]] = {
            "alexnet": (AlexNet, imagenet),
            "vgg16": (Vgg16, imagenet),
            "efficientnet-lite0": (EfficientNetLite, (efficientnet_lite.MEAN, efficientnet_lite.STD)),
        }
        maker, (mean, std) = makers[name]
        self.network = maker(classes=0).eval().requires_grad_(False)
        self.expects = {"colour": "rgb", "mean": mean, "std": std}
        self.sees: LetterboxContract | None = None

    def __call__(self, drawn: Tensor, clean: Tensor) -> Tensor:
        """Mean squared distance of the features, each normalised over its channels; mean over layers."""
        self.network.to(drawn.device)
        pairs = zip(self._features(drawn), self._features(clean), strict=True)
        return torch.stack([((a - b) ** 2).sum(dim=1).mean() for a, b in pairs]).mean()

    def _features(self, image: Tensor) -> list[Tensor]:
        if self.sees is not None:
            image = normalised(in_levels(image, self.sees), self.sees.model_copy(update=self.expects))
        network = self.network
        maps = network.features(image) if isinstance(network, EfficientNetLite) else network.taps(image)
        return [F.normalize(features, dim=1, eps=1e-6) for features in maps]


def with_spots(image: Tensor, mask: Tensor, share: float) -> Tensor:
    """`image` [N, 3, S, S] with white spots on the frame of a random fraction `share` of the pictures.

    White is the brightest value of the whole batch. Uses torch's global random numbers.
    """
    count, _, side, _ = image.shape
    noisy = torch.rand(count, device=image.device) < share
    centres = torch.rand(count, SPOTS, 2, device=image.device) * side
    small, large = SPOT_RADIUS
    radii = (small + (large - small) * torch.rand(count, SPOTS, device=image.device)) * side
    along = torch.arange(side, device=image.device) + 0.5
    dy = (along - centres[:, :, :1])[:, :, :, None]
    dx = (along - centres[:, :, 1:])[:, :, None, :]
    spotted = (dy**2 + dx**2 <= radii[:, :, None, None] ** 2).any(dim=1, keepdim=True)
    covered = spotted & noisy[:, None, None, None] & (mask > 0)
    return torch.where(covered, image.max(), image)


def _convolutions(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before in (inputs, outputs):
        convolution = nn.Conv2d(before, outputs, kernel_size=3, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers)
