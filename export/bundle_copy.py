"""A bundle once more, with another manifest."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from edge.bundle import Bundle, Manifest, load_bundle, seal


def write_copy(
    bundle: Bundle,
    manifest: Manifest,
    out: Path,
    add: Callable[[Path], object] = lambda work: None,
    check: Callable[[Bundle], object] = lambda sealed: None,
) -> Bundle:
    """Write the bundle's files, as hashed, with another manifest, as the bundle `out`, as a whole or not at all.

    `add` may write further files into the folder that it gets; `check` raises what the sealed bundle fails with.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        for name in bundle.manifest.files:
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_bytes(bundle.content(name))
        bundle.release()
        add(work)
        check(seal(work, manifest))
        work.chmod(0o755)
        os.replace(work, out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return load_bundle(out)
