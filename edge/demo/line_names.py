"""The names of the demo lines, without what draws them."""

from typing import Literal, TypeAlias, get_args

LineName: TypeAlias = Literal["plates", "codes", "pour"]
LINE_NAMES: tuple[LineName, ...] = get_args(LineName)
