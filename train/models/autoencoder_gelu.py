"""A small convolutional autoencoder with GELU: it cannot reconstruct what good parts lack."""

from torch import Tensor, nn

from train.reconstruction import Reconstruction


class AutoencoderGelu(Reconstruction):
    """Three strided convolutions down, three transposed ones up; made for 32×32 pixels, trained on good parts only.

    The side must be a multiple of 8.
    """

    def __init__(self, *, channels: tuple[int, int, int] = (16, 32, 64)) -> None:
        super().__init__()
        a, b, c = channels
        self.encoder = nn.Sequential(_down(3, a), nn.GELU(), _down(a, b), nn.GELU(), _down(b, c), nn.GELU())
        self.decoder = nn.Sequential(_up(c, b), nn.GELU(), _up(b, a), nn.GELU(), _up(a, 3))

    def reconstruct(self, image: Tensor) -> Tensor:
        """The network's reconstruction of the picture: [N, 3, S, S], normalised."""
        reconstruction: Tensor = self.decoder(self.encoder(image))
        return reconstruction


def _down(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel_size=3, stride=2, padding=1)


def _up(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(inputs, outputs, kernel_size=3, stride=2, padding=1, output_padding=1)
