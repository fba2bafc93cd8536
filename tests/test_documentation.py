"""The pages of the project: every link leads somewhere, the site builds without a warning, the README is short."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.line import ROOT, command, free_endpoint, ran

from edge.channel.limits import LIMITS
from edge.gate.decision import Why

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


def test_the_guide_to_metrics_names_every_limit_of_the_channel() -> None:
    _, _, table = (ROOT / "docs" / "guide" / "metrics.md").read_text().partition("| `limit` | acts on |")
    rows = table.partition("\n\n")[0].splitlines()
    assert tuple(row.split("`")[1] for row in rows if row.startswith("| `")) == LIMITS


def test_the_readme_is_read_in_five_minutes() -> None:
    text = (ROOT / "README.md").read_bytes()
    assert len(text.splitlines()) <= 150
    assert len(text) <= 9 * 1024


def test_the_guide_gives_every_reason_of_the_gate_in_the_words_of_the_command() -> None:
    rows = (ROOT / "docs" / "guide" / "gate.md").read_text().splitlines()
    assert [row for row in rows if row.startswith("| `") and row[3:].split("`")[0] in set(Why)] == [
        f"| `{why}` | {why.meaning} |" for why in Why
    ]


def test_the_readme_shows_what_make_run_prints() -> None:
    endpoint = free_endpoint()
    listener = subprocess.Popen(
        command("listen", "--connect", endpoint, "--once", "--wait-s", 60), stdout=subprocess.PIPE, text=True
    )
    line = ("--source", "demo", "--limit", 5, "--wait-subscribers", 1, "--budget-ms", 20_000, "--no-records")
    assert ran("run", "--bind", endpoint, *line).returncode == 0
    printed, _ = listener.communicate(timeout=60)
    example = next(block for block in (ROOT / "README.md").read_text().split("```") if "received: 200 parts" in block)
    assert example.splitlines()[1] == printed.splitlines()[0], "the line that names the columns"
    (shown, shown_as), (told, told_as) = _verdicts(example), _verdicts(printed)
    assert shown == told
    assert shown_as == told_as
    assert [line.split(":")[0] for line in example.splitlines()[-4:]] == ["received"] * 4


def _verdicts(text: str) -> tuple[list[list[str]], list[int]]:
    """Number, verdict, part and box of the first five verdicts, and the width of the columns before the parts. Scores
    and ages are left out, because they differ between machines.
    """
    lines = [line for line in text.splitlines() if re.match(r" +\d", line)][:5]
    assert len(lines) == 5, text
    return [[*line.split()[:2], *line.split()[5:]] for line in lines], [line.index(" ms ") for line in lines]
