"""How a key of a station is given on the command line, if its type alone does not determine that."""

from dataclasses import dataclass

KEY_VALUE = "KEY=VALUE"
"""The placeholder of a flag that sets one key of a table and may be repeated."""


@dataclass(frozen=True)
class Flag:
    """Annotation of a field of `Settings`.

    `metavar` stands for the value in the help. `off` is the help of `--no-KEY`, which sets the key to false; a boolean
    key has `--KEY` and `--no-KEY` without it. With `is_table` the flag takes KEY=VALUE, once for each key of the table.
    """

    metavar: str | None = None
    off: str | None = None
    is_table: bool = False
