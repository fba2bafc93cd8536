"""Networks that reconstruct a part from a narrow code, and fail on what good parts do not have."""

from abc import abstractmethod

from torch import Tensor

from train.models import Batch, Network


class Reconstruction(Network):
    """Learns only from good photographs; a network of this kind defines `reconstruct`.

    The score is the mean squared error over the frame's pixels and channels, in units of the normalised input; the map
    is the squared error averaged over channels.
    """

    learns_from = "good"

    @abstractmethod
    def reconstruct(self, image: Tensor) -> Tensor:
        """The network's reconstruction of the picture: [N, 3, S, S] → [N, 3, S, S], normalised."""

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Score [N] and map [N, S, S]; see Network."""
        image = image * mask
        error = ((self.reconstruct(image) - image) ** 2 * mask).mean(dim=1)
        return error.sum(dim=(1, 2)) / mask.sum(dim=(1, 2, 3)), error

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Mean squared error outside the padding."""
        return {"reconstruction": self(batch.image, batch.mask)[0].mean()}
