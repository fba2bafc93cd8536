"""The records of finished runs in one file: what a page needs of them, so that it can be written where they were not
trained. Weights and pictures are not among them.
"""

import tarfile
from collections.abc import Iterable
from pathlib import Path

from benchmarks.results.plan import Training
from benchmarks.results.runs import State, look
from edge.errors import DataError
from edge.files import written_whole

OF_A_RUN = ("run.json", "scores.csv", "history.csv", "split.csv")


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
                for file in (*(run / name for name in OF_A_RUN), *sorted(runs.glob(f"{run.name}.*.json"))):
                    packed.add(file, str(file.relative_to(runs)), filter=_anonymous)


def _run(member: str) -> str:
    """The name of the run that a member of the archive belongs to: its folder, or the file's name before its kind."""
    folder, slash, _ = member.partition("/")
    return folder if slash else folder.removesuffix(".json").rpartition(".")[0]


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member
