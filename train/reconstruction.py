"""Networks that draw a part again from a narrow code: what they cannot draw, good parts do not have."""

from abc import abstractmethod

from torch import Tensor

from train.models import Batch, Network


class Reconstruction(Network):
    """Learns from good photographs alone; a network of this kind is its `reconstruct`.

    The score is the mean squared error over the frame's pixels and channels, in units of the normalised input; the
    map is the squared error averaged over channels.
    """

    learns_from = "good"

    @abstractmethod
    def reconstruct(self, image: Tensor) -> Tensor:
        """The picture as the network would have drawn it: [N, 3, S, S] → [N, 3, S, S], normalised."""

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Score [N] and map [N, S, S]; see Network."""
        image = image * mask
        error = ((self.reconstruct(image) - image) ** 2 * mask).mean(dim=1)
        return error.sum(dim=(1, 2)) / mask.sum(dim=(1, 2, 3)), error

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Mean squared error outside the padding."""
        return {"reconstruction": self(batch.image, batch.mask)[0].mean()}
