"""Adds the statistics of the training photographs to a bundle. Graphs, parity and golden frames stay unchanged."""

from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from edge.bundle import Bundle, Manifest, load_bundle, read_signatures
from edge.errors import BundleError, DataError
from edge.photographs.fingerprint import fingerprint, hash_photographs
from edge.photographs.listing import read_listing
from edge.photographs.photograph import Photograph
from edge.terminal.progress import Stage
from export.bundle_copy import write_copy
from export.input_statistics import FEWEST, input_statistics
from train.data.split import read_split


@dataclass(frozen=True)
class _Known:
    """Training and held-out photographs, and the fingerprints that a training on them may have recorded: of all
    photographs, and of those that its split uses.
    """

    trained_on: list[Photograph]
    held_out: list[Photograph]
    fingerprints: frozenset[str]


def add_input_statistics(path: Path, data: Path, split: Path | None, out: Path, stage: Stage) -> Bundle:
    """Write the bundle `out`: a copy of the bundle `path` with the statistics of its photographs in `data`.

    The photographs are those in train/ and val/, or those listed in the file `split`, such as split.csv of the run.
    Raises BundleError if `out` exists, DataError if the bundle was made from other photographs or if there are too few.
    """
    if out.exists():
        raise BundleError(f"{out} exists; remove it or choose another name with --out")
    bundle = load_bundle(path)
    manifest = bundle.manifest
    known = _known(data, split, manifest.picture.bits if manifest.picture else None)
    _check_origin(path, data, manifest, known)
    counts = f"{len(known.trained_on)} training and {len(known.held_out)} validation photographs"
    statistics = input_statistics(manifest.letterbox, known.trained_on, known.held_out, data.name, stage)
    if statistics is None:
        raise DataError(f"{data} has {counts}; statistics need at least {FEWEST} of each, in train/ and val/")
    said = f"added {datetime.now(UTC).isoformat(timespec='seconds')} by edge-inspect {version('edge-inspect')}"
    changed = {"input_statistics": statistics, "provenance": manifest.provenance | {"input statistics": said}}
    return write_copy(bundle, manifest.model_copy(update=changed), out)


def is_signed(path: Path) -> bool:
    """Whether the bundle has signatures. Signatures are valid only for the manifest that was signed."""
    return read_signatures(path, path) is not None


def _known(data: Path, split: Path | None, bits: int | None) -> _Known:
    """The photographs of the splits, with their fingerprints. Raises DataError."""
    listing = read_listing(data, bits=bits)
    hashes = hash_photographs(listing.photographs)
    if split is None:
        splits, used = listing.splits, hashes
    else:
        division = read_split(data, split, bits=bits)
        unused = {photograph.name for photograph in division.unused}
        splits, used = division.splits, {name: one for name, one in hashes.items() if name not in unused}
    return _Known(splits.get("train", []), splits.get("val", []), frozenset({fingerprint(hashes), fingerprint(used)}))


def _check_origin(path: Path, data: Path, manifest: Manifest, known: _Known) -> None:
    """Raise DataError if the bundle was made from other photographs, as far as its provenance tells.

    Only the bundle of a run is checked: the fingerprint in the bundle of a foreign model is that of the photographs on
    which its threshold was chosen.
    """
    provenance = manifest.provenance
    expected = provenance.get("data sha256")
    is_of_a_run = "recipe" in provenance and "checkpoint" not in provenance
    if is_of_a_run and expected and expected not in known.fingerprints:
        raise DataError(
            f"the photographs in {data} are not the ones that {path} was made from ({provenance.get('data')}, "
            f"{expected[:12]}); give those, and the run's split.csv as --split if it left some out"
        )
    threshold = next(iter(manifest.artifacts.values())).threshold
    there = sum(not one.is_bad for one in known.held_out), sum(one.is_bad for one in known.held_out)
    is_chosen_there = "rethreshold" not in provenance  # else the counts are those of reviewed parts
    if is_of_a_run and is_chosen_there and there != (threshold.specificity.count, threshold.recall.count):
        raise DataError(
            f"{path} was made with {threshold.specificity.count} good and {threshold.recall.count} bad validation "
            f"photographs, and {data} has {there[0]} and {there[1]}: give split.csv of its run as --split"
        )
