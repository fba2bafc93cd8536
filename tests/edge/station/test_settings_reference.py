"""The settings of a station are described alike as flags, as keys, in the help and on the reference page."""

import re

import pytest
from support.line import ROOT, ran

from edge.station.config.reference import page
from edge.station.config.settings import Settings, about, default_text, flag, info_of

PAGE = ROOT / "docs" / "reference" / "settings.md"


def bare(text: str) -> str:
    """The text without white space."""
    return re.sub(r"\s+", "", text)


@pytest.fixture(scope="module")
def shown() -> dict[str, str]:
    """The text of each option in the help of edge-run, by flag. A line may break after a hyphen."""
    entries = re.split(r"^  (?=--)", ran("run", "--help").stdout, flags=re.MULTILINE)
    return {entry.split()[0]: bare(entry) for entry in entries[1:]}


@pytest.fixture(scope="module")
def printed() -> str:
    """The printed configuration."""
    return ran("run", "--print-config").stdout


def test_the_page_is_the_one_that_the_settings_make() -> None:
    assert PAGE.read_text() == page(), f"python -m edge.station.config.reference {PAGE.relative_to(ROOT)}"


@pytest.mark.parametrize("key", Settings.model_fields)
def test_flag_key_unit_default_and_help_are_one(shown: dict[str, str], printed: str, key: str) -> None:
    info, default = info_of(key), default_text(key)
    more = " May be repeated." if bare("May be repeated.") in shown[flag(key)] else ""
    assert bare(f"{info.about}{more}" + (f" [default: {default}]" if default else "")) in shown[flag(key)]
    assert re.search(rf"^# {re.escape(about(key))}\n(# )?{key} =", printed, re.MULTILINE)
    [row] = [line for line in page().splitlines() if line.startswith(f"| `{flag(key)}`")]
    cells = [cell.strip() for cell in row.strip("|").split(" | ")]
    assert cells[1:] == [f"`{key}`", info.unit or "", default, info.about]


@pytest.mark.parametrize("key", Settings.model_fields)
def test_a_key_with_a_unit_in_its_name_has_that_unit(key: str) -> None:
    ending = key.rpartition("_")[2]
    units = {"ms": "ms", "gib": "GiB", "days": "days", "s": "s"}
    if ending in units:
        assert info_of(key).unit == units[ending]


@pytest.mark.parametrize("key", Settings.model_fields)
def test_a_description_is_a_sentence(key: str) -> None:
    text = info_of(key).about
    assert text.endswith(".")
    assert "else " not in text
    assert key == "source" or text[0].isupper()
