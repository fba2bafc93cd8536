"""The kind of a defect: probabilities from features of the encoder where the map shows the defect."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

OUTSIDE = 1e4
"""What the logits of padding are lower by, so that their share is 0."""


class KindHead(nn.Module):
    """softmax(W x + b) over the kinds that were learnt; without any until `learn`.

    x are the features of `located`. Everything is a buffer: no gradient reaches the network from here, and its score
    is the same with and without kinds. `names` are the kinds' names in UTF-8, separated by zeros.
    """

    learnt_sizes = ("weight", "bias", "names")
    weight: Tensor
    bias: Tensor
    names: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(0))  # [kinds, features]
        self.register_buffer("bias", torch.zeros(0))  # [kinds]
        self.register_buffer("names", torch.zeros(0, dtype=torch.uint8))

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds in the order of the probabilities; empty before `learn`."""
        text = bytes(self.names.tolist()).decode(errors="replace")
        return tuple(text.split("\0")) if text else ()

    def learn(self, kinds: Sequence[str], weight: Tensor, bias: Tensor) -> None:
        """Tell these kinds apart, by weights float32 [kinds, features] and bias float32 [kinds]; without any, none."""
        self.weight, self.bias = weight.float(), bias.float()
        self.names = torch.tensor([*"\0".join(kinds).encode()], dtype=torch.uint8)

    def forward(self, features: Tensor) -> Tensor:
        """`features` [N, features] → probabilities [N, kinds].

        A product with few numbers, written as a sum: matrix products are layers, which an export compares and rounds.
        """
        logits = (features.unsqueeze(1) * self.weight).sum(dim=2) + self.bias
        return logits.softmax(dim=1)

    def _load_from_state_dict(self, state: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        for name in self.learnt_sizes:
            empty = getattr(self, name).new_zeros(0)
            state.setdefault(prefix + name, empty)  # weights from before there were kinds
            setattr(self, name, torch.empty_like(state[prefix + name], device=empty.device))
        super()._load_from_state_dict(state, prefix, *rest)


def located(maps: Sequence[Tensor], cells: Tensor, mask: Tensor) -> Tensor:
    """Features where the map shows the defect, [N, ΣC]: the mean of each of `maps`, weighted by the odds of a defect.

    `maps` [N, C, S/s, S/s] with strides s that divide S, `cells` are logits of a defect [N, 1, S/c, S/c] with c at most
    s, `mask` [N, 1, S, S] of 0 and 1. Padding has no weight.
    """
    frame = F.max_pool2d(mask, mask.shape[-1] // cells.shape[-1])
    logits = cells - OUTSIDE * (1 - frame)
    pooled = []
    for one in maps:
        highest = F.max_pool2d(logits, logits.shape[-1] // one.shape[-1])
        share = highest.flatten(1).softmax(dim=1).unsqueeze(1)
        pooled.append((one.flatten(2) * share).sum(dim=2))
    return torch.cat(pooled, dim=1)
