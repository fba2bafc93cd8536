"""Progress bars of an export: one for each stage, named after it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.markup import escape
from rich.progress import Progress

from edge.terminal.console import Console

Stage = Callable[[str, int], Callable[[], None]]
"""Called with what begins and the steps in it; returns what to call after each step."""


@contextmanager
def stages(console: Console) -> Iterator[Stage]:
    """What to call at the beginning of each stage; the bars go away in the end, and are not drawn but on a terminal."""
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:

        def begin(what: str, steps: int):  # type: ignore[no-untyped-def]
            task = progress.add_task(escape(what), total=steps)
            return lambda: progress.advance(task)

        yield begin
