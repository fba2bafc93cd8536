"""What the page of a rendered line shows and a run does not record, measured once for the first seed of each row."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.results import in_turns, live, masks, reasons, sheets
from benchmarks.results.beside import Measurement, is_older, read_beside, write_beside
from benchmarks.results.in_turns import InTurns, measure_in_turns
from benchmarks.results.live import LiveFigures, measure_live
from benchmarks.results.masks import MaskFigures, measure_masks
from benchmarks.results.plan import Training
from benchmarks.results.reasons import Reasons, measure_reasons
from benchmarks.results.runs import Say, exported, is_measurable
from benchmarks.results.sheets import Shown, write_sheet
from edge.demo.line_names import LineName
from edge.errors import EdgeError
from edge.terminal.progress import SILENT, Stage
from train.run import WEIGHTS_FILE, Run, check_photographs, load_run

HALVINGS = 3
"""Rates that are tried, each half of the one before."""


@dataclass(frozen=True)
class LivePace:
    """How many parts a station judges, and the rate that is tried first."""

    parts: int = live.PARTS
    rate_per_s: float = live.RATE


def measure_lines(
    trainings: Sequence[Training],
    runs: Path,
    folders: dict[str, Path],
    page: Path,
    say: Say,
    pace: LivePace | None = None,
    stage: Stage = SILENT.begin,
) -> list[str]:
    """Measure what is missing for the first seed of each row of a rendered line; returns the failures in words.

    `folders` maps the plan's name of a set of photographs to its folder, if it is not the one that the run recorded.
    Contact sheets are written beside `page`.
    """
    firsts = [
        one for one in trainings if one.photographs.line and one.seed == one.entry.seeds[0] and is_measurable(one, runs)
    ]
    failed = []
    for number, training in enumerate(firsts, 1):
        say(f"measuring, {number} of {len(firsts)}: {training.folder}")
        data = folders.get(training.photographs.folder or training.entry.data)
        try:
            _measure(training, runs / training.folder, data, page, pace or LivePace(), stage)
        except EdgeError as error:
            say(str(error))
            failed.append(str(error))
    return failed


def sheet_file(page: Path, folder: str) -> Path:
    """The contact sheet of a row, by the name of its run folders without the seed, beside the page."""
    return page.with_name(f"{page.stem}-{folder}.jpg")


def _measure(training: Training, path: Path, data: Path | None, page: Path, pace: LivePace, stage: Stage) -> None:
    entry, line = training.entry, training.photographs.line
    assert line is not None
    run = load_run(path, data)
    check_photographs(run, stage)
    _once(path, masks.WHAT, MaskFigures, lambda: measure_masks(run, stage))
    _once(path, reasons.WHAT, Reasons, lambda: measure_reasons(run))
    if entry.pictures:
        _picture(training, run, sheet_file(page, entry.folder), stage)
    bundle = exported(path, entry.int8, simulated=True)
    _once(path, live.WHAT, LiveFigures, lambda: _live(bundle, line, pace, stage))
    if entry.in_turns:
        _once(path, in_turns.WHAT, InTurns, lambda: measure_in_turns(run, bundle, stage))


def _live(bundle: Path, line: LineName, pace: LivePace, stage: Stage) -> LiveFigures:
    """The verdicts at the highest rate, halved from that of `pace`, at which every part is judged."""
    rate = pace.rate_per_s
    for _ in range(HALVINGS):
        found = measure_live(bundle, line, pace.parts, rate, stage=stage)
        if not found.unknown:
            break
        rate /= 2
    return found


def _once(path: Path, what: str, kind: type[Measurement], measure: Callable[[], Measurement | None]) -> None:
    """Measure unless that was done; a measurement that the run does not allow is tried again."""
    if read_beside(path, what, kind) is None and (found := measure()) is not None:
        write_beside(path, what, found)


def _picture(training: Training, run: Run, file: Path, stage: Stage) -> None:
    which = training.entry.pictures
    assert which is not None
    if file.exists() and not is_older(file, run.path / WEIGHTS_FILE) and read_beside(run.path, sheets.WHAT, Shown):
        return
    found = read_beside(run.path, masks.WHAT, MaskFigures)
    level = found.plain.level if found and run.network.learns_from == "masks" else None
    file.parent.mkdir(parents=True, exist_ok=True)
    write_beside(run.path, sheets.WHAT, write_sheet(file, run, which, level, stage))
