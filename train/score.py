"""Scores photographs with a network exactly as the exported graphs will: one rendering, evaluation mode, float32."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from edge.letterbox.contract import LetterboxContract
from train.data.photographs import Photograph
from train.data.rendered import Rendered, in_order

BATCH = 8


def score_photographs(
    network: nn.Module,
    contract: LetterboxContract,
    photographs: Sequence[Photograph],
    advance: Callable[[], None] = lambda: None,
) -> npt.NDArray[np.float32]:
    """The score of each photograph: float32 [N], higher is worse. `advance` is called after each photograph."""
    return np.array([score for score, _ in scores_and_maps(network, contract, photographs, advance)], np.float32)


@torch.inference_mode()
def scores_and_maps(
    network: nn.Module,
    contract: LetterboxContract,
    photographs: Sequence[Photograph],
    advance: Callable[[], None] = lambda: None,
) -> Iterator[tuple[float, npt.NDArray[np.float32] | None]]:
    """The score of each photograph and its map, float32 [h, w] in letterboxed coordinates, if the network has one."""
    network.eval()
    for batch in in_order(Rendered(photographs, contract, exact=True), BATCH):
        scores, maps, *_ = network(batch.image, batch.mask)
        for index, score in enumerate(scores.tolist()):
            yield score, None if maps is None else maps[index].numpy()
            advance()
