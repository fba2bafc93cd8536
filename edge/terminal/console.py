"""Tables and progress bars on a terminal: the console of rich, in which what others named steers nothing."""

from collections.abc import Iterable
from typing import IO

from rich.console import Console as RichConsole
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment

from edge.terminal.output import Output, harmless


class Console(RichConsole):
    """Writes out what is not printable in every text; the escape sequences of rich itself pass."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments of something to show, made harmless."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else harmless(text), style, control)

    @property
    def file(self) -> IO[str]:
        """Where it is written, past what makes the texts of everybody else harmless."""
        file = super().file
        return _AsItIs(file) if isinstance(file, Output) else file  # type: ignore[return-value]

    @file.setter
    def file(self, new_file: IO[str]) -> None:
        self._file = new_file


class _AsItIs:
    """A standard file whose reader gets every character."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self.write = output.write_as_it_is

    def __getattr__(self, name: str) -> object:
        return getattr(self._output, name)
