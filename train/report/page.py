"""RUN/report.html, one self-contained file: reads the run, evaluates it, draws the charts and fills page.html.j2."""

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from edge.errors import EdgeError
from edge.evaluation.intervals import clustered_rate
from edge.evaluation.metrics import Rate, confusion
from edge.evaluation.threshold_stability import Promise, Sample, every_promise, keep_promise, refused_strategies
from edge.evaluation.thresholds import STRATEGIES
from edge.files import write_whole
from edge.pictures import read_picture
from edge.report.heat import Scale, shared_scale
from edge.report.pages import templates
from edge.report.thumbnail import data_uri, fitted
from edge.terminal.progress import SILENT, Advance, Stage
from train.report import figures
from train.report.augmentation import write_augmentation
from train.report.differences import compare_splits
from train.report.gallery import Card, card, choose
from train.report.overlap import Overlap, overlaps
from train.report.parts import JUDGES, Ranking, by_part, ranking
from train.report.pictures import Look, looks
from train.report.resolution import Fineness, fineness
from train.report.scored_photographs import Inspected, count_parts, read_inspected, sample
from train.report.verdict import Verdict, aim, interval, judge_split, p_value, percent, verdict
from train.run import AUGMENTATION_FILE, REPORT_FILE, Run, check_photographs, load_run

JUDGED = ("val", "test")
LOSSES = {"train_loss": "training", "val_loss": "validation"}
RANKINGS = {"val_auroc": "AUROC", "val_ap": "average precision"}
SHEET = 1400
"""Longer side of a sheet of many photographs, pixels."""

GOOD_LOOKS = 24
"""Good validation photographs from which the cold end of the heat scale is derived."""


@dataclass(frozen=True)
class Report:
    """Path of the report of a run, and its verdict."""

    file: Path
    verdict: Verdict


def write_report(
    path: Path,
    out: Path | None = None,
    data: Path | None = None,
    stage: Stage = SILENT.begin,
    network_file: Path | None = None,
) -> Report:
    """Write the report of the finished run in `path` to `out`, else to RUN/report.html.

    `data` is the folder of its photographs if they have moved, `network_file` as in `load_run`. Raises RunError if the
    run cannot be read or the photographs are not those of the run.
    """
    run = load_run(path, data, network_file)
    check_photographs(run, stage)
    file = out or path / REPORT_FILE
    page, said = render(run, read_inspected(run), stage)
    write_whole(file, page)
    return Report(file, said)


def render(run: Run, inspected: dict[str, list[Inspected]], stage: Stage = SILENT.begin) -> tuple[str, Verdict]:
    """The page as HTML, and the verdict."""
    samples = {split: sample(inspected[split]) for split in inspected}
    selection = run.record.selection
    assert selection is not None
    threshold = selection.threshold
    judged = {
        split: judge_split(
            split,
            samples[split],
            confusion(samples[split].scores, samples[split].bad, threshold.value),
            threshold.value,
        )
        for split in JUDGED
        if split in samples
    }
    stage("figures of the report")
    promises, refused = _promises(run, samples)
    promise = keep_promise(threshold, samples["val"], samples["test"]) if "test" in samples else None
    comparison = compare_splits(inspected)
    gallery, covered = _look(run, inspected, threshold.value, stage)
    leaks = run.record.data.leaks
    said = verdict(run, judged, promise, comparison.found, leaks)
    stage("charts of the report")
    environment = templates("train.report")
    environment.filters |= {
        "percent": percent,
        "rate": _rate,
        "ranking": _ranking,
        "p_value": p_value,
        "interval": interval,
    }
    page = environment.get_template("page.html.j2").render(
        style=Markup((Path(__file__).parent / "page.css").read_text(encoding="utf-8")),
        run=run,
        given_path=shlex.quote(str(run.path)),
        record=run.record,
        threshold=threshold,
        aim=aim,
        verdict=said,
        judged=judged,
        misses={split: _misses(inspected[split], threshold.value) for split in judged},
        promises=promises,
        refused=refused,
        promise=promise,
        charts=_charts(run, samples, promises),
        kinds=_kinds(inspected, threshold.value),
        parts=_parts(samples),
        overlaps=covered,
        gallery=gallery,
        comparison=comparison,
        splits=figures.SPLIT_NAMES,
        data=_data(run, inspected),
        findings=_findings(run),
        leaks=leaks,
        survey=run.record.data.survey,
        leak_sheet=_inlined(run.path.with_name(f"{run.path.name}.leaks.png")),
        augmentation=_augmentation(run),
    )
    return page, said


def _promises(run: Run, samples: dict[str, Sample]) -> tuple[dict[str, Promise], dict[str, str]]:
    """Every strategy, the recipe's own with the recipe's parameters; without test photographs val takes their place.

    The second table says why validation cannot carry the promises that are left out.
    """
    chosen = run.recipe.threshold
    own = {chosen.strategy.replace("-", "_"): chosen.options}
    promises = every_promise(samples["val"], samples.get("test", samples["val"]), **own)
    refused = refused_strategies(samples["val"], **own)
    return promises, {name: line for name, line in refused.items() if STRATEGIES[name].promises}


def _misses(inspected: Sequence[Inspected], threshold: float) -> dict[str, list[Inspected]]:
    """All misses by kind of defect, worst first."""
    missed: dict[str, list[Inspected]] = {}
    for one in sorted(inspected, key=lambda one: (one.defect or "", one.score)):
        if one.is_miss(threshold):
            missed.setdefault(one.defect or "bad", []).append(one)
    return missed


def _charts(run: Run, samples: dict[str, Sample], promises: dict[str, Promise]) -> dict[str, Any]:
    selection = run.record.selection
    assert selection is not None
    value = selection.threshold.value
    both = {split: samples[split] for split in JUDGED if split in samples and _has_both(samples[split])}
    history = run.path / "history.csv"
    scores = [score for one in samples.values() for score in one.scores]
    span = (float(min(scores)), float(max(scores)))
    others = [promise.threshold.value for promise in promises.values()]
    drawn = {
        "roc": figures.roc_chart(both, value) if both else None,
        "precision_recall": figures.precision_recall_chart(both, value) if both else None,
        "losses": figures.epochs_chart(history, LOSSES, selection.epoch, "loss"),
        "ranking": figures.epochs_chart(history, RANKINGS, selection.epoch, "on validation"),
    }
    return {name: Markup(chart) for name, chart in drawn.items() if chart} | {
        "histograms": {
            split: Markup(figures.histogram(one, split, span, value, others)) for split, one in samples.items()
        }
    }


@dataclass(frozen=True)
class Kind:
    """A kind of defect: its rejection rate in each split, with the interval that counts parts once."""

    name: str
    rejected: dict[str, Rate]
    parts: dict[str, int | None]


def _kinds(inspected: dict[str, list[Inspected]], threshold: float) -> list[Kind]:
    bad = {split: [one for one in inspected[split] if one.is_bad] for split in JUDGED if split in inspected}
    kinds = []
    for name in sorted({one.defect or "bad" for members in bad.values() for one in members}):
        members = {split: [one for one in bad[split] if (one.defect or "bad") == name] for split in bad}
        rejected = {}
        for split, of_kind in members.items():
            scored = sample(of_kind)
            rejected[split] = clustered_rate(scored.scores >= threshold, scored.parts)
        kinds.append(
            Kind(
                name, rejected, {split: count_parts(one.part for one in of_kind) for split, of_kind in members.items()}
            )
        )
    return kinds


def _parts(samples: dict[str, Sample]) -> dict[str, dict[str, Ranking]]:
    """AUROC over whole parts, by split and by the aggregation of a part's scores; photographs first."""
    table: dict[str, dict[str, Ranking]] = {}
    for split in JUDGED:
        judged = {name: by_part(samples[split], judge) for name, judge in JUDGES.items()} if split in samples else {}
        ranked = {name: ranking(one) for name, one in judged.items() if one is not None}
        if any(ranked.values()):
            alone = ranking(samples[split])
            table[split] = {"each photograph alone": alone} if alone else {}
            table[split] |= {f"{name} of its photographs": one for name, one in ranked.items() if one}
    return table


@dataclass(frozen=True)
class Gallery:
    """The pictures of one split, under headings that say why they are shown."""

    split: str
    cards: dict[str, list[Card]]
    counts: dict[str, int]
    scale: Scale | None
    draws: bool
    fineness: Fineness | None


def _look(
    run: Run, inspected: dict[str, list[Inspected]], threshold: float, stage: Stage
) -> tuple[Gallery, dict[str, Overlap]]:
    """Run the network again on the photographs of the report to get its maps: the gallery, and the overlaps."""
    split = "test" if "test" in inspected else "val"
    chosen = choose(inspected[split], threshold)
    advance = stage("maps of the photographs in the report", len(chosen.all))
    seen = {look.inspected.name: look for look in looks(run, chosen.all, advance)}
    covered = _overlaps(run, inspected, stage)
    scale = _scale(run, inspected["val"], covered, stage)
    groups = {
        "misses": chosen.misses,
        "false_alarms": chosen.false_alarms,
        "close_bad": chosen.close_bad,
        "close_good": chosen.close_good,
    }
    painted = stage("pictures of the report", sum(map(len, groups.values())))
    cards = {name: [_card(run, seen[one.name], scale, painted) for one in members] for name, members in groups.items()}
    counts = {
        "misses": sum(one.is_miss(threshold) for one in inspected[split]),
        "false_alarms": sum(one.is_false_alarm(threshold) for one in inspected[split]),
    }
    fine = fineness(run.contract, inspected[split], threshold)
    return Gallery(split, cards, counts, scale, hasattr(run.network, "reconstruct"), fine), covered


def _card(run: Run, look: Look, scale: Scale | None, advance: Advance) -> Card:
    advance()
    return card(run, look, scale)


def _scale(run: Run, validation: Sequence[Inspected], overlaps: dict[str, Overlap], stage: Stage) -> Scale | None:
    few = _evenly([one for one in validation if not one.is_bad], GOOD_LOOKS)
    good = looks(run, few, stage("maps of good photographs", len(few)))
    cells = [look.cells for look in good if look.cells is not None]
    return shared_scale(cells, overlaps["val"].level if overlaps else None) if cells else None


def _overlaps(run: Run, inspected: dict[str, list[Inspected]], stage: Stage) -> dict[str, Overlap]:
    """Dice and IoU recorded by the training; computed now if absent."""
    recorded = {split: one.overlap for split, one in run.record.metrics.items() if one.overlap}
    if recorded:
        return recorded
    photographs = {split: [one.photograph for one in inspected[split]] for split in JUDGED if split in inspected}
    return overlaps(run.network, run.contract, photographs, stage)


def _evenly(inspected: Sequence[Inspected], most: int) -> Sequence[Inspected]:
    return inspected[:: max(1, -(-len(inspected) // most))]


def _data(run: Run, inspected: dict[str, list[Inspected]]) -> list[dict[str, Any]]:
    """One row per split: photographs and parts of each class, and numbers of each kind of defect; also of those that
    were not scored.
    """
    photographs = {split: run.photographs(split) for split in inspected}
    return [
        {
            "split": split,
            **{
                label: (len(members), count_parts(one.details.get("part") or None for one in members))
                for label, members in (
                    ("good", [one for one in listed if not one.is_bad]),
                    ("bad", [one for one in listed if one.is_bad]),
                )
            },
            "kinds": sorted(Counter(one.defect or "bad" for one in listed if one.is_bad).items()),
        }
        for split, listed in photographs.items()
    ]


def _augmentation(run: Run) -> str | None:
    """RUN/augmentation.png as a data URI; drawn now if the training left none and the run is writable."""
    file = run.path / AUGMENTATION_FILE
    if not file.exists():
        try:
            write_augmentation(file, run.recipe, run.photographs("train"), run.network)
        except (OSError, ValueError, EdgeError):
            return None
    return _inlined(file)


def _inlined(file: Path) -> str | None:
    return data_uri(fitted(read_picture(file), SHEET)) if file.is_file() else None


def _findings(run: Run) -> dict[str, str]:
    """The record's findings on the data, as lines with headings."""
    data = run.record.data
    lines = {
        "Folder": str(run.data),
        "Layout": data.layout,
        "Split": data.split,
        "Leaks": str(data.leaks or "not looked for"),
    }
    if data.survey:
        lines["Masks"] = str(data.survey.masks or "")
        lines["Left out"] = "; ".join(map(str, data.survey.left_out)) or "nothing"
        lines["Warning"] = "; ".join(map(str, data.survey.remarks))
    return {heading: line for heading, line in lines.items() if line}


def _has_both(one: Sample) -> bool:
    return bool(one.bad.any() and not one.bad.all())


def _rate(rate: Rate) -> Markup:
    if rate.value is None:
        return Markup('<span class="none">none</span>')
    return Markup('<b>{}</b> <span class="range">{}</span>').format(percent(rate.value), interval(rate))


def _ranking(one: Ranking | None) -> Markup:
    if one is None:
        return Markup('<span class="none">one class only</span>')
    return Markup('<b>{:.3f}</b> <span class="range">{:.2f}–{:.2f}</span>').format(one.auroc, one.low, one.high)
