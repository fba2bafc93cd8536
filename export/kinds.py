"""A network that tells kinds of defects apart, with the kinds as a third output."""

from torch import Tensor, nn

from train.models import Network


class WithKinds(nn.Module):
    """`network` with the probabilities of its kinds: (`score`, `map`, `kind` float32 [kinds], of one picture)."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """As `Network.forward`, and the kinds. Of several pictures only score and map are meant."""
        score, where, features = self.network.judged(image, mask)
        head = self.network.tells_kinds
        assert head is not None
        assert features is not None
        return score, where, head(features).flatten()


def with_kinds(network: Network) -> tuple[nn.Module, tuple[str, ...]]:
    """What is exported of a network, and the kinds of defects that it tells apart; itself if it tells none."""
    head = network.tells_kinds
    kinds = () if head is None else head.kinds
    return (WithKinds(network).eval() if kinds else network), kinds
