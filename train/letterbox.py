"""The training rendering of the letterbox contract, with which the exported graphs are compared.

All values stay float32: nothing is rounded to a grey level between the camera and the network.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from edge.letterbox.contract import LUMINANCE, LetterboxContract
from edge.letterbox.frame import graph_frame, seen
from edge.letterbox.geometry import Letterbox
from edge.letterbox.weights import block_side, resize_weights, two_taps

TRUTH_COVERAGE = 0.25
"""Smallest coverage by a defect for which a pixel of the letterboxed truth is a defect.

A quarter, not a half: a scratch one pixel wide in a frame reduced four times covers a quarter of the pixels that it
crosses; with a half it would vanish from the truth although the label is bad."""


def letterboxed(frame: npt.NDArray[np.uint8], contract: LetterboxContract) -> tuple[Tensor, Tensor]:
    """The network's input from a frame: `image` float32 [C, S, S] normalised, `mask` float32 [1, S, S] of 0 and 1.

    `frame` is uint8 [H, W, 3] BGR; C is the contract's channels. The mask is 1 on the frame and 0 on the padding.
    """
    return placed(shrunk(frame, contract), contract)


def shrunk(frame: npt.NDArray[np.uint8], contract: LetterboxContract) -> Tensor:
    """The inspected pixels at their letterboxed size, without padding: float32 [3, h, w] RGB or [1, h, w] grey, 0..255.

    Not rounded. Raises ValueError if the frame is not uint8 [H, W, 3], DataError if it does not contain the region.
    """
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        raise ValueError(f"a frame is uint8 [H, W, 3], not {frame.dtype} {list(frame.shape)}")
    box = contract.fit(*frame.shape[:2])
    given = np.atleast_3d(seen(graph_frame(frame, contract), contract))
    small = _filtered(
        torch.from_numpy(np.ascontiguousarray(given[:, :, ::-1].transpose(2, 0, 1))).float(), box, contract
    )
    if contract.colour == "grey" and len(small) == 3:
        grey: Tensor = torch.tensordot(torch.tensor([LUMINANCE]), small, 1)
        return grey
    return small.expand(contract.channels, -1, -1)


def placed(pixels: Tensor, contract: LetterboxContract) -> tuple[Tensor, Tensor]:
    """`shrunk` pixels centred on the padding and normalised: (`image` [C, S, S], `mask` [1, S, S])."""
    height, width = pixels.shape[1:]
    top, left = (contract.side - height) // 2, (contract.side - width) // 2
    around = (left, contract.side - width - left, top, contract.side - height - top)
    image = F.pad(pixels.float(), around, value=float(contract.fill))
    mask = F.pad(torch.ones(1, height, width), around)
    return normalised(image / 255, contract), mask


def normalised(levels: Tensor, contract: LetterboxContract) -> Tensor:
    """The network's input from RGB or grey values in 0..1: its channel order, each channel `(v - mean) / std`.

    `levels` is [..., C, S, S].
    """
    mean, std = (torch.tensor(row, device=levels.device).view(-1, 1, 1) for row in (contract.mean, contract.std))
    return (in_order_of(contract, levels) - mean) / std


def in_levels(image: Tensor, contract: LetterboxContract) -> Tensor:
    """The inverse of `normalised`: RGB or grey values in 0..1; `image` is [..., C, S, S]."""
    mean, std = (torch.tensor(row, device=image.device).view(-1, 1, 1) for row in (contract.mean, contract.std))
    return in_order_of(contract, image * std + mean)


def in_order_of(contract: LetterboxContract, levels: Tensor) -> Tensor:
    """RGB or grey channels [..., C, h, w] in the contract's channel order, or the reverse."""
    return levels.flip(-3) if contract.colour == "bgr" else levels


def letterboxed_truth(truth: npt.NDArray[np.uint8], contract: LetterboxContract) -> Tensor:
    """A ground-truth mask in letterboxed coordinates: float32 [1, S, S] of 0 and 1, 0 on the padding.

    `truth` is uint8 [H, W]; values above 127 are defect. It is resized with the picture's own filter, and is a defect
    where the coverage reaches `TRUTH_COVERAGE`. A defect too small for that keeps the pixel that it covers most, so
    that a photograph with a defect in the inspected region never gets an empty truth. The filter `bilinear` would lose
    some between its taps; here `antialias` replaces it.
    """
    box = contract.fit(*truth.shape)
    whole = contract.model_copy(update={"filter": "antialias"}) if contract.filter == "bilinear" else contract
    coverage = _filtered(torch.from_numpy(seen(truth, contract) > 127).float()[None], box, whole)
    threshold = min(TRUTH_COVERAGE, float(coverage.max()))
    small = ((coverage >= threshold) & (coverage > 0)).float()
    return F.pad(small, (box.left, box.right, box.top, box.bottom))


def _filtered(picture: Tensor, box: Letterbox, contract: LetterboxContract) -> Tensor:
    """`picture` float32 [C, H, W] at the letterbox's size [C, h, w], by the contract's filter."""
    if contract.filter == "bilinear":
        for axis, length, size in ((1, box.frame_height, box.height), (2, box.frame_width, box.width)):
            low, high, share = map(torch.from_numpy, two_taps(length, size))
            share = share.unsqueeze(1) if axis == 1 else share
            picture = picture.index_select(axis, low) * (1 - share) + picture.index_select(axis, high) * share
        return picture
    block = block_side(box.frame_height, box.frame_width, contract)
    if block == 1:
        # One axis at a time: for a result one pixel wide, torch 2.13 treats the tensor as channels-last and filters the
        # other axis wrongly, by several grey levels.
        lines = _resized(picture[None], (box.height, box.frame_width))
        return _resized(lines, (box.height, box.width))[0]
    rows = torch.from_numpy(resize_weights(box.frame_height, box.height, block))
    columns = torch.from_numpy(resize_weights(box.frame_width, box.width, block))
    whole = F.pad(picture, (0, -box.frame_width % block, 0, -box.frame_height % block))
    cells = torch.unflatten(torch.unflatten(whole, 2, (-1, block)), 1, (-1, block))  # [C, Hb, k, Wb, k]
    return rows @ (cells.sum(2).sum(3) / block**2) @ columns.T  # avg_pool2d is 1.7 times as slow


def _resized(picture: Tensor, size: tuple[int, int]) -> Tensor:
    # With a size instead of a scale factor torch derives the scale from two integers, as the graph does.
    return F.interpolate(picture, size=size, mode="bilinear", antialias=True, align_corners=False)
