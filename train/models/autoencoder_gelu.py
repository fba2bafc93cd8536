"""A small convolutional autoencoder with GELU: what it cannot reconstruct, it has not seen in good parts."""

from torch import Tensor, nn

from train.models import Batch, Network


class AutoencoderGelu(Network):
    """Three strided convolutions down, three transposed ones up; made for 32×32 pixels, trained on good parts only.

    The score is the mean squared error over the frame's pixels and channels, in units of the normalised input; the
    map is the squared error averaged over channels. The side must be a multiple of 8.
    """

    learns_from = "good"

    def __init__(self, *, channels: tuple[int, int, int] = (16, 32, 64)) -> None:
        super().__init__()
        a, b, c = channels
        self.encoder = nn.Sequential(_down(3, a), nn.GELU(), _down(a, b), nn.GELU(), _down(b, c), nn.GELU())
        self.decoder = nn.Sequential(_up(c, b), nn.GELU(), _up(b, a), nn.GELU(), _up(a, 3))

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Score [N] and map [N, S, S]; see Network."""
        error = self.squared_error(image, mask)
        score = error.sum(dim=(1, 2)) / mask.sum(dim=(1, 2, 3))
        return score, error

    def reconstruct(self, image: Tensor) -> Tensor:
        """The picture as the network would have drawn it: [N, 3, S, S], normalised."""
        return self.decoder(self.encoder(image))

    def squared_error(self, image: Tensor, mask: Tensor) -> Tensor:
        """Squared error of the reconstruction, mean over channels, 0 on the padding: [N, S, S]."""
        image = image * mask
        return (((self.reconstruct(image) - image) ** 2).mean(dim=1, keepdim=True) * mask).squeeze(1)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Mean squared error outside the padding."""
        score, _ = self(batch.image, batch.mask)
        return {"reconstruction": score.mean()}


def _down(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel_size=3, stride=2, padding=1)


def _up(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(inputs, outputs, kernel_size=3, stride=2, padding=1, output_padding=1)
