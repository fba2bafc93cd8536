"""The names of the inference runtimes: each is a file in edge/backends/runtimes."""

from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

RUNTIMES = tuple(
    sorted(
        file.stem
        for file in (Path(__file__).parent / "backends" / "runtimes").glob("*.py")
        if file.stem.isalnum()  # names with an underscore are parts of a runtime
    )
)


def versions() -> dict[str, str]:
    """Installed versions of the runtimes that are Python packages, and of this project."""
    found = {}
    for name in (*RUNTIMES, "edge-inspect"):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


if TYPE_CHECKING:
    RuntimeName: TypeAlias = str
else:
    RuntimeName = Literal[RUNTIMES]
    """One of RUNTIMES, for pydantic to check."""
