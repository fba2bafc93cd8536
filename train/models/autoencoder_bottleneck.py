"""A convolutional autoencoder with a narrow code: 4×4 cells of 16 numbers must suffice for a good part."""

from torch import Tensor, nn

from train.reconstruction import Reconstruction


class AutoencoderBottleneck(Reconstruction):
    """Convolutions 16-32-64 with max-pooling, a 1×1 bottleneck of 16, transposed convolutions up; sigmoid.

    Made for 32×32 pixels with values in 0..1. The side must be a multiple of 8.
    """

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(*_down(3, 16), *_down(16, 32), *_down(32, 64), nn.Conv2d(64, 16, kernel_size=1))
        self.decoder = nn.Sequential(_up(16, 64), nn.ReLU(), _up(64, 32), nn.ReLU(), _up(32, 3), nn.Sigmoid())

    def reconstruct(self, image: Tensor) -> Tensor:
        """The network's reconstruction of the picture: [N, 3, S, S], 0..1."""
        reconstruction: Tensor = self.decoder(self.encoder(image))
        return reconstruction


def _down(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, kernel_size=3, padding=1), nn.ReLU(), nn.MaxPool2d(2)


def _up(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(inputs, outputs, kernel_size=2, stride=2)
