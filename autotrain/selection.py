"""Trains the candidates one after the other, and keeps the one that ranks the validation photographs best."""

import json
import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from pathlib import Path

import numpy as np

from autotrain.alignment import PAIRS, Alignment, alignment
from autotrain.candidates import Candidate, candidates
from autotrain.held_out import held_out
from autotrain.latency import median_ms
from autotrain.ranking import CONFIDENCE, Validation, area, areas_drawn, interval
from edge.errors import DataError, RecipeError
from edge.files import write_whole
from edge.photographs.photograph import read_photograph
from edge.terminal.progress import Progress
from edge.text import counted
from train.data.split import Division, SplitChoice, divide
from train.fit import check_out, fit
from train.recipe import Recipe, ThresholdChoice
from train.run import (
    Compared,
    Comparison,
    Run,
    RunError,
    check_photographs,
    load_run,
    read_record,
    write_record,
)

ASKED = "asked.json"
"""File in OUT.candidates with the options that determine the candidates."""

ALIKE = 0.002
"""AUROCs that differ by less are taken for equal: the faster network is kept."""


def select(
    data: Path,
    out: Path,
    choice: SplitChoice,
    progress: Progress,
    *,
    minutes: float | None = None,
    latency_ms: float | None = None,
    overrides: Sequence[str] = (),
    threshold: ThresholdChoice | None = None,
    resume: bool = False,
) -> Run:
    """Train what the photographs in `data` allow within `minutes`, and write the best as the run `out`.

    The best has the largest AUROC on the validation photographs among those whose exported graph takes at most
    `latency_ms` on this machine. Without bad validation photographs nothing can be compared; the alignment of the parts
    then decides. The other runs stay in `OUT.candidates`; with `resume` those that are finished there are taken as they
    are, and one that was interrupted goes on. A candidate whose recipe cannot be trained is left out. Raises DataError,
    RecipeError or RunError.
    """
    check_out(out, resume=False)
    others = out.with_name(f"{out.name}.candidates")
    check_out(others, resume)
    began = time.monotonic()
    division = divide(data, choice)
    allowed = candidates(division, overrides)
    if not allowed.candidates:
        raise DataError("; ".join(f"{name}: {why}" for name, why in allowed.left_out.items()))
    _check_asked(others / ASKED, choice, overrides, threshold)
    shape, aligned = _look(division, progress)
    progress.say(f"{aligned}")
    compared = [Compared(name=name, said=why) for name, why in allowed.left_out.items()]
    has_bad = any(one.is_bad for one in division.splits["val"])
    listed = allowed.candidates if has_bad else [_without_comparison(allowed.candidates, aligned)]
    seen: dict[str, Validation] = {}
    slower, refused = 1.0, None
    for candidate in listed:
        folder = others / candidate.name
        is_begun = (folder / "run.json").exists()
        is_done = is_begun and read_record(folder).finished
        left = None if minutes is None else minutes - (time.monotonic() - began) / 60
        expected = 0.0 if is_done else candidate.minutes * slower
        if left is not None and expected > left and seen:
            said = f"it takes about {expected:.0f} minutes, and {left:.0f} are left"
            compared.append(Compared(name=candidate.name, said=said))
            continue
        progress.say(f"{candidate.name}: about {expected:.1f} minutes")
        recipe = candidate.recipe.model_copy(update={"threshold": threshold}) if threshold else candidate.recipe
        started = time.monotonic()
        try:
            if is_done:
                check_photographs(run := load_run(folder), progress.begin)
            else:
                run = _fitted(candidate.name, recipe, data, folder, is_begun, choice, progress)
        except RecipeError as error:
            refused = refused or error
            compared.append(Compared(name=candidate.name, said=str(error)))
            continue
        except DataError:
            _remove_if_empty(others)
            raise
        if not is_begun:
            slower = max(0.2, (time.monotonic() - started) / 60 / candidate.minutes)
        progress.begin(f"measuring how long {candidate.name} takes for a frame")
        ms = median_ms(run.network, run.contract, shape)
        seen[candidate.name] = held_out(run, progress.begin)
        compared.append(_measured(seen[candidate.name], candidate.name, run.record.minutes or 0.0, ms))
    if refused is not None and not seen:
        _remove_if_empty(others)
        raise refused
    comparison = _choose(others, compared, seen, aligned, latency_ms)
    kept = others / comparison.chosen
    write_record(kept, read_record(kept).model_copy(update={"comparison": comparison}))
    kept.rename(out)  # also over an empty folder
    _remove_if_empty(others)
    return load_run(out)


def _check_asked(file: Path, choice: SplitChoice, overrides: Sequence[str], threshold: ThresholdChoice | None) -> None:
    """Write what determines the candidates, or compare it with what the comparison began with. Raises RunError."""
    asked = json.dumps([*map(str, astuple(choice)), list(overrides), threshold and threshold.model_dump()])
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, asked)
    elif file.read_text(encoding="utf-8") != asked:
        raise RunError(f"{file.parent} began with other options; give those, or --out another folder")


def _fitted(
    name: str, recipe: Recipe, data: Path, out: Path, resume: bool, choice: SplitChoice, progress: Progress
) -> Run:
    run = fit(name, recipe, data, out, resume=resume, choice=choice, progress=progress)
    assert run is not None, "one device"
    return run


def _remove_if_empty(others: Path) -> None:
    """Remove the folder of the candidates if it holds no run."""
    if [one.name for one in others.iterdir()] == [ASKED]:
        shutil.rmtree(others)


def _look(division: Division, progress: Progress) -> tuple[tuple[int, int], Alignment]:
    """The most frequent (height, width) of some good training photographs, and how their parts stand."""
    good = [one for one in division.splits["train"] if not one.is_bad]
    some = [good[index] for index in np.random.default_rng(0).permutation(len(good))[: PAIRS + 1]]
    advance = progress.begin("looking how the parts stand", len(some))
    frames = []
    for photograph in some:
        frames.append(read_photograph(photograph))
        advance()
    shapes = Counter((frame.shape[0], frame.shape[1]) for frame in frames)
    return shapes.most_common(1)[0][0], alignment(frames)


def _without_comparison(listed: list[Candidate], aligned: Alignment) -> Candidate:
    return next(one for one in listed if one.name == _by_place(aligned))


def _by_place(aligned: Alignment) -> str:
    return "patchcore" if aligned.is_loose else "padim"


def _measured(said: Validation, name: str, minutes: float, ms: float) -> Compared:
    if not said.bad.any():
        return Compared(name=name, minutes=minutes, latency_ms=ms, said="there are no bad photographs to compare by")
    low, high = interval(areas_drawn([said])[:, 0])
    return Compared(name=name, auroc=area(said.scores, said.bad), low=low, high=high, minutes=minutes, latency_ms=ms)


def _choose(
    others: Path, compared: list[Compared], seen: Mapping[str, Validation], aligned: Alignment, latency_ms: float | None
) -> Comparison:
    """The best of those that are fast enough. Raises RecipeError if none is."""
    trained = [one for one in compared if one.latency_ms is not None]
    fast = [one for one in trained if latency_ms is None or (one.latency_ms or 0) <= latency_ms]
    if not fast:
        quickest = min(trained, key=lambda one: one.latency_ms or 0)
        raise RecipeError(
            f"--latency-ms {latency_ms:g}: the fastest, {quickest.name}, takes {quickest.latency_ms:.1f} ms on this "
            f"machine; allow more, or try a smaller picture, as --set letterbox.side=224. The runs are in {others}"
        )
    if all(one.auroc is None for one in fast):
        ranked = [one for one in fast if one.name == _by_place(aligned)] or fast
    else:
        most = max(one.auroc or 0.0 for one in fast)
        ranked = [one for one in fast if (one.auroc or 0.0) >= most - ALIKE]
    best = min(ranked, key=lambda one: one.latency_ms or 0)
    return Comparison(
        candidates=tuple(compared), chosen=best.name, why=_why(seen, best, fast), alignment=str(aligned),
        latency_limit_ms=latency_ms,
    )  # fmt: skip


def _why(seen: Mapping[str, Validation], best: Compared, fast: list[Compared]) -> str:
    rivals = [one for one in fast if one.name != best.name and one.auroc is not None]
    if best.auroc is None:
        return f"{best.name} is kept by how the parts stand: without bad validation photographs nothing can be compared"
    if not rivals:
        return f"{best.name} is the only one that could be trained and is fast enough"
    rival = max(rivals, key=lambda one: one.auroc or 0.0)
    assert rival.auroc is not None
    both = [seen[one.name] for one in (best, rival)]
    drawn = areas_drawn(both)
    low, high = interval(drawn[:, 0] - drawn[:, 1])
    apart = f"{best.auroc - rival.auroc:+.3f} [{low:+.3f}, {high:+.3f}]"
    begin = f"{best.name} ranks the validation photographs best: AUROC {best.auroc:.3f}, {apart} against {rival.name}"
    if low > 0:
        return f"{begin}; more validation photographs would hardly change that ({CONFIDENCE:.0%} interval)"
    bad = int(both[0].bad.sum())
    said = counted(bad, "bad validation photograph")
    return f"{begin}; with {said} the two cannot be told apart for certain ({CONFIDENCE:.0%} interval)"


def lines(comparison: Comparison) -> list[str]:
    """The comparison as lines of text."""
    rows = [("recipe", "AUROC on val", "minutes", "a frame")]
    for one in comparison.candidates:
        figure = "-" if one.auroc is None else f"{one.auroc:.3f} [{one.low:.3f}, {one.high:.3f}]"
        minutes = "-" if one.minutes is None else f"{one.minutes:.1f}"
        ms = "-" if one.latency_ms is None else f"{one.latency_ms:.1f} ms"
        rows.append((one.name + (" *" if one.name == comparison.chosen else ""), figure, minutes, ms))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    left_out = [f"{one.name}: {one.said}" for one in comparison.candidates if one.said]
    return [*table, *left_out, comparison.why]
