"""The bundle on disk: manifest, hashes, golden frames. The only thing that travels from the lab to the line.

NAME.edge/
    manifest.json      what it is, how it was made, and the SHA-256 of every other file
    manifest.sha256    the SHA-256 of manifest.json, in the format of sha256sum
    manifest.sig       if it was signed: who vouches for manifest.json, see edge.bundle.signature
    model.onnx         the ONNX artifact
    openvino/          the OpenVINO artifact: model.xml, model.bin
    model-int8.onnx    the same in int8, where it was asked for and is as good
    openvino-int8/
    golden.npz         frames with the score and map that PyTorch gave them
    parity.json        what was compared, and the largest differences
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
from edge.bundle.manifest import (
    MANIFEST,
    SCHEMA_VERSION,
    Artifact,
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
    "Interval",
    "Manifest",
    "MapThreshold",
    "Quantization",
    "Threshold",
    "load_bundle",
    "open_bundle",
    "read_signatures",
    "seal",
    "sha256",
]
