"""Sections of docs/reports/plc.md that runs of their own measure, and that the other runs leave as they are."""

from pathlib import Path

from benchmarks.plc import beside, outage

TITLES = (outage.TITLE, beside.TITLE)


def sections_of(page: Path) -> dict[str, str]:
    """The sections in a page that was written before, by their titles."""
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    found = {}
    for title in TITLES:
        if title in text:
            body = text.partition(title)[2].partition("\n## ")[0]
            found[title] = f"{title}{body.rstrip()}\n"
    return found


def write_page(page: Path, head: str, sections: dict[str, str]) -> None:
    """Write the page: its head, and the sections in their order."""
    parts = [head.rstrip("\n") + "\n", *(sections[title] for title in TITLES if title in sections)]
    page.write_text("\n".join(parts), encoding="utf-8")


def write_section(page: Path, title: str, section: str) -> None:
    """Put a section in place of the former one."""
    sections = sections_of(page)
    head = page.read_text(encoding="utf-8")
    for known in sections:
        head = head.partition(known)[0]
    write_page(page, head, sections | {title: section})
