"""The pages of the project: every link leads somewhere, the site builds without a warning, the README is short."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from running import ROOT

PAGES = sorted(
    ROOT / name
    for name in subprocess.run(
        ["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
)  # fmt: skip


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_every_relative_link_leads_to_a_file(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    missing = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert not missing


def test_the_site_builds_with_warnings_as_errors() -> None:
    done = subprocess.run([sys.executable, ROOT / "docs" / "build_site.py"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    commands = (ROOT / "build" / "site" / "reference" / "commands.html").read_text()
    assert "--budget-ms" in commands
    assert "edge-train" in commands


def test_the_readme_is_read_in_five_minutes() -> None:
    text = (ROOT / "README.md").read_bytes()
    assert len(text.splitlines()) <= 150
    assert len(text) <= 9 * 1024
