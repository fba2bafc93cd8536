"""Suggests the nearest valid name for a mistyped setting."""

import difflib

from edge.presence import Presence
from edge.sources import BeltSettings
from edge.station.config.settings import CAMERA

PARTS = {
    "camera": ("a camera", tuple(CAMERA)),
    "presence": ("presence", tuple(Presence.model_fields)),
    "belt": ("a belt", tuple(BeltSettings.__dataclass_fields__)),
}
"""Nested keys: how a message names their owner, and the keys."""


def nearest_setting(where: str) -> str:
    """The remedy for an unknown setting, as in `camera.exposure`: the nearest one of its key, or all of them."""
    owner, keys = PARTS[where.partition(".")[0]]
    near = difflib.get_close_matches(where.rpartition(".")[2].replace("-", "_"), keys, 1, 0.5)
    return f"did you mean {near[0]}?" if near else f"{owner} has {', '.join(keys)}"
