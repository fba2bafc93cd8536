"""The page's words: a TOML file for each language in `edge/page/languages`, or in a folder of the user's."""

import tomllib
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from edge.errors import ConfigError

OWN = Path(__file__).with_name("languages")
FALLBACK = "en"


class Words:
    """The words of a language. A word that it lacks is taken from the fallback."""

    def __init__(self, language: str, table: Mapping[str, str], fallback: "Words | None" = None) -> None:
        """`table` maps dotted keys to text, in which `{name}` stands for a value."""
        self.language = language
        self._table, self._fallback = table, fallback

    def __call__(self, key: str, **values: object) -> str:
        """The text of a key with its values. Raises KeyError if no language has it."""
        text = self.find(key)
        if text is None:
            raise KeyError(key)
        return text.format_map({name: str(value) for name, value in values.items()}) if values else text

    def find(self, key: str) -> str | None:
        """The text of a key without values; None if no language has it."""
        if key in self._table:
            return self._table[key]
        return self._fallback.find(key) if self._fallback else None

    @property
    def keys(self) -> Iterable[str]:
        """The keys that this language has itself."""
        return self._table.keys()

    @cached_property
    def _marks(self) -> tuple[str, str]:
        return self("number.decimal"), self("number.group")

    def number(self, value: float | None, digits: int = 0) -> str:
        """A number as people of this language write it; a dash for None."""
        if value is None:
            return "–"
        decimal, group = self._marks
        return f"{value:,.{digits}f}".replace(",", "\0").replace(".", decimal).replace("\0", group)

    def percent(self, part: int, whole: int, digits: int = 1) -> str:
        """A share in percent; a dash of nothing."""
        return "–" if not whole else f"{self.number(100 * part / whole, digits)} %"

    def clock(self, time: str | datetime, seconds: bool = True) -> str:
        """Local time of day of a moment, given as ISO 8601; the text itself if it is no moment."""
        try:
            moment = datetime.fromisoformat(time) if isinstance(time, str) else time
        except ValueError:
            return str(time)
        return moment.astimezone().strftime("%H:%M:%S" if seconds else "%H:%M")

    def date(self, time: str | datetime) -> str:
        """Local date and time of a moment, given as ISO 8601."""
        try:
            moment = datetime.fromisoformat(time) if isinstance(time, str) else time
        except ValueError:
            return str(time)
        return moment.astimezone().strftime(self("number.date"))


class Languages:
    """All languages, by their code."""

    def __init__(self, folder: Path | None = None) -> None:
        """Read the project's files and those of `folder`. Raises ConfigError if one is invalid."""
        tables: dict[str, dict[str, str]] = {}
        for place in (OWN, folder):
            for path in sorted(place.glob("*.toml")) if place else ():
                tables.setdefault(path.stem, {}).update(_read(path))
        if folder is not None and not folder.is_dir():
            raise ConfigError(f"{folder}: no such folder of words")
        fallback = Words(FALLBACK, tables.pop(FALLBACK))
        self._languages = {FALLBACK: fallback}
        self._languages |= {code: Words(code, table, fallback) for code, table in sorted(tables.items())}

    @property
    def codes(self) -> list[str]:
        """Codes of the languages, as in `de`."""
        return [*self._languages]

    def __getitem__(self, code: str) -> Words:
        """The words of a language, or the fallback."""
        return self._languages.get(code) or self._languages[FALLBACK]

    def wanted(self, cookie: str | None, accepted: str) -> Words:
        """The words for a browser: the language that was chosen, else the first that it accepts."""
        if cookie in self._languages:
            return self._languages[cookie]
        for part in accepted.split(",")[:20]:
            code = part.partition(";")[0].strip().lower().partition("-")[0]
            if code in self._languages:
                return self._languages[code]
        return self._languages[FALLBACK]


def _read(path: Path) -> dict[str, str]:
    try:
        return dict(_flat("", tomllib.loads(path.read_text())))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} is no file of words: {error}") from error


def _flat(prefix: str, table: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(f"{prefix}{key}.", value)
        elif isinstance(value, str):
            yield f"{prefix}{key}", value
        else:
            raise ValueError(f"{prefix}{key} is no text")
