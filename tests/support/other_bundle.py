"""Bundles that differ from that of the demonstration in their name, and in little else."""

import shutil
from collections.abc import Callable
from pathlib import Path

from support.line import DEMO_BUNDLE

from edge.bundle import load_bundle, seal
from edge.bundle.manifest import Manifest


def other_bundle(
    folder: Path, threshold: float | None = None, change: Callable[[Manifest], Manifest] = lambda manifest: manifest
) -> Path:
    """The demonstration's bundle in `folder`, whose name it gets, with another threshold of every artifact if one is
    given, and what `change` makes of its manifest.
    """
    shutil.copytree(DEMO_BUNDLE, folder)
    manifest = load_bundle(DEMO_BUNDLE).manifest
    artifacts = {
        name: one
        if threshold is None
        else one.model_copy(update={"threshold": one.threshold.model_copy(update={"value": threshold})})
        for name, one in manifest.artifacts.items()
    }
    seal(folder, change(manifest.model_copy(update={"name": folder.stem, "artifacts": artifacts})))
    return folder
