"""The import contracts between packages, and rules for the shipped bundles."""

import subprocess
import sys

from support.line import DEMO_BUNDLE, ROOT, TILE_BUNDLE

from edge.bundle import load_bundle


def test_the_import_contracts_hold() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_the_shipped_bundles_are_small() -> None:
    size = sum(path.stat().st_size for path in (ROOT / "models").rglob("*") if path.is_file())
    assert size < 12 * 2**20


def test_the_tile_bundle_holds_no_photograph_and_is_no_demonstration() -> None:
    bundle = load_bundle(TILE_BUNDLE)
    assert not bundle.manifest.simulated
    assert [golden.frame.shape for golden in bundle.golden()] == [(240, 360, 3)] * 2 + [(299, 133, 3), (97, 224, 3)]


def test_the_demonstration_bundle_says_that_it_is_one() -> None:
    assert load_bundle(DEMO_BUNDLE).manifest.simulated
