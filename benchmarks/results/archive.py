"""The records of finished runs in one file: what a page needs of them, so that it can be written where they were not
trained. Weights and pictures are not among them.
"""

import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path

from benchmarks.results.plan import Training
from benchmarks.results.runs import State, look, rendered_folder
from edge.errors import DataError
from edge.files import written_whole

OF_A_RUN = ("scores.csv", "history.csv", "split.csv")
"""Files of a run that a page is made of, beside its record."""


def restore(archive: Path, runs: Path) -> list[str]:
    """Unpack the records of the runs that have no folder in `runs`; returns the names of these. Nothing without a file.

    Raises DataError if the archive cannot be read.
    """
    if not archive.exists():
        return []
    try:
        with tarfile.open(archive) as packed:
            members = [one for one in packed if one.isfile()]
            missing = sorted({run for one in members if not (runs / (run := _run(one.name))).exists()})
            wanted = [one for one in members if _run(one.name) in missing]
            packed.extractall(runs, wanted, filter="data")
    except (OSError, tarfile.TarError) as error:
        why = str(error).splitlines()[0].rstrip(":")
        raise DataError(f"{archive} cannot be unpacked: {why}; remove it, or give another --archive") from error
    return missing


def store(archive: Path, trainings: Iterable[Training], runs: Path) -> None:
    """Write the records of the plan's finished runs, and the measurements beside them, in place of a former archive."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(archive) as part, tarfile.open(part, "w:xz") as packed:
        for training in trainings:
            run = runs / training.folder
            if look(training, runs).state is State.FINISHED:
                _add(packed, f"{run.name}/run.json", _anonymous(run / "run.json", training))
                for file in (*(run / name for name in OF_A_RUN), *sorted(runs.glob(f"{run.name}.*.json"))):
                    here = str(runs.resolve()).encode()
                    _add(packed, str(file.relative_to(runs)), file.read_bytes().replace(here, b"build/results"))


def _run(member: str) -> str:
    """The name of the run that a member of the archive belongs to: its folder, or the file's name before its kind."""
    folder, slash, _ = member.partition("/")
    return folder if slash else folder.removesuffix(".json").rpartition(".")[0]


def _anonymous(record: Path, training: Training) -> bytes:
    """A run's record without the folders of the machine that trained it."""
    said = json.loads(record.read_text(encoding="utf-8"))
    said["data"]["folder"] = str(rendered_folder(training.entry.data))
    said["provenance"]["command"] = training.command(said["data"]["folder"], Path("build/results"))
    return json.dumps(said, indent=1).encode()


def _add(packed: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    packed.addfile(member, io.BytesIO(content))
