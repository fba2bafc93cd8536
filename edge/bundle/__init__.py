"""The bundle on disk: manifest, hashes, golden frames. It is all that is copied from the lab to the line.

NAME.edge/
    manifest.json      description, provenance, and the SHA-256 of every other file
    manifest.sha256    the SHA-256 of manifest.json, in the format of sha256sum
    manifest.sig       optional: signatures of manifest.json, see edge.bundle.signature
    model.onnx         the ONNX artifact
    openvino/          the OpenVINO artifact: model.xml, model.bin
    model-int8.onnx    the same in int8, if requested and accurate enough
    openvino-int8/
    golden.npz         frames with PyTorch's score and map
    parity.json        the comparisons made, and the largest differences
"""

from edge.bundle.folder import (
    GOLDEN,
    LARGEST_GOLDEN,
    MANIFEST_HASH,
    MOST_FILES,
    SIGNATURES,
    Bundle,
    Golden,
    load_bundle,
    open_bundle,
    read_signatures,
    seal,
    sha256,
)
from edge.bundle.input_statistics import InputStatistics, Measured, Unmeasured
from edge.bundle.manifest import (
    MANIFEST,
    SCHEMA_VERSION,
    Artifact,
    GoodScores,
    Interval,
    Manifest,
    MapThreshold,
    Quantization,
    Threshold,
)

__all__ = [
    "GOLDEN",
    "LARGEST_GOLDEN",
    "MANIFEST",
    "MANIFEST_HASH",
    "MOST_FILES",
    "SCHEMA_VERSION",
    "SIGNATURES",
    "Artifact",
    "Bundle",
    "Golden",
    "GoodScores",
    "InputStatistics",
    "Interval",
    "Manifest",
    "MapThreshold",
    "Measured",
    "Quantization",
    "Threshold",
    "Unmeasured",
    "load_bundle",
    "open_bundle",
    "read_signatures",
    "seal",
    "sha256",
]
