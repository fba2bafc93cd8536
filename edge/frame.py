"""The type of a frame. This module loads no numpy: the supervisor of a station imports it too."""

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Frame: TypeAlias = npt.NDArray[np.uint8]
    """One picture, `uint8 [height, width, 3]` BGR, C-contiguous; of a grey camera also `uint8 [height, width]`."""
else:
    Frame = Any
