"""`python docs/build_site.py`: builds the site of these pages in build/site, offline, with warnings as errors.

The pages are copied to build/pages first. There the papers of the root folder stand beside them, the help of every
command becomes a page, and links to files that the site does not have become plain text.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "build" / "pages"
PAPERS = ("ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
"""Pages of the root folder that the site has too."""
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def copy_pages() -> None:
    """Copy docs/ and the papers of the root folder to build/pages, with links that hold there."""
    shutil.rmtree(PAGES, ignore_errors=True)
    shutil.copytree(ROOT / "docs", PAGES, ignore=shutil.ignore_patterns("node_modules", "*.py"))
    for name in PAPERS:
        shutil.copy(ROOT / name, PAGES / name)
    for page in PAGES.rglob("*.md"):
        at = page.relative_to(PAGES)
        source = (ROOT if at.name in PAPERS else ROOT / "docs") / at
        page.write_text(_LINK.sub(partial(_rewritten, source, page), page.read_text()))


def _rewritten(source: Path, page: Path, link: re.Match[str]) -> str:
    """The link of a page of the checkout, as it has to be in the copy of that page."""
    text, target, anchor = link.groups()
    if "://" in target:
        return link[0]
    there = (source.parent / target).resolve()
    for base in (ROOT / "docs", ROOT):
        copied = PAGES / os.path.relpath(there, base)
        if copied.is_relative_to(PAGES) and copied.resolve().is_relative_to(PAGES) and copied.exists():
            return f"[{text}]({os.path.relpath(copied, page.parent)}{anchor or ''})"
    return text


def write_commands() -> None:
    """Write reference/commands.md: the help of every command, made from its definition."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    parts = ["# Commands\n"]
    for name in sorted(scripts):
        module = scripts[name].partition(":")[0]
        asked = [sys.executable, "-m", "typer", module, "utils", "docs", "--name", name]
        text = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        parts.append(re.sub(r"^#", "##", text, flags=re.MULTILINE))
    (PAGES / "reference" / "commands.md").write_text("\n".join(parts))


def main() -> int:
    """Build the site; the exit code is that of zensical, which names each page and link that is wrong."""
    copy_pages()
    write_commands()
    return subprocess.run([sys.executable, "-m", "zensical", "build", "--clean", "--strict"], cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
