"""Texts from other sources contain no control sequences when printed, and counted nouns have the correct number."""

import pytest

from edge.text import counted, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("código 7 · 部品", "código 7 · 部品"),
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("good\rREJECT\n", "good\\rREJECT\\n"),
        ("\u202egood\x9b", "\\u202egood\\x9b"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_is_not_printable_is_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(text).isprintable()


def test_one_thing_is_one_thing() -> None:
    assert [counted(n, "problem") for n in (0, 1, 2)] == ["0 problems", "1 problem", "2 problems"]
    assert counted(2, "pass", "passes") == "2 passes"
