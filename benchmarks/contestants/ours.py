"""The bundle in this project's own runtime, as in a station's inference process: only the graph."""

from pathlib import Path

from benchmarks.contestants import Infer, Setup


def load(setup: Setup) -> Infer:
    """Compile the bundle's OpenVINO artifact, or its only artifact, for the size of the frames."""
    from edge.backends import load_from
    from edge.bundle import load_bundle

    bundle = load_bundle(Path(setup.bundle))
    names = sorted(bundle.manifest.artifacts)
    name = next((one for one in names if one == "openvino"), names[0])
    backend = load_from(bundle, name, setup.threads, setup.shape)
    return lambda frame: backend.infer(frame).score
