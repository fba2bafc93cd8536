"""docs/reports/results.md: everything the run folders of a plan say, and nothing else."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from textwrap import fill

from benchmarks.results.outcome import SEVERAL, Figure, Outcome, SeedRun, bare, outcomes
from benchmarks.results.plan import Plan
from benchmarks.results.runs import BACKEND
from edge.bench.result import Result
from edge.evaluation.intervals import auroc_interval
from train.recipe import load_recipe
from train.run import SPLIT_FILE

LEARNS = {"good": "good photographs", "labels": "good and bad", "masks": "good, bad and masks"}
NONE = "–"
PHOTOGRAPHS = {"magnetic-tile": '"$EDGE_DATA"', "demo-line": "build/demo-data"}
"""How commands on the page name the folders."""

VERSIONS = ("python", "torch", "lightning", "kornia", "numpy", "opencv-python-headless", "edge-inspect")

HEAD = """\
# Results

Written by `make results` from the run folders of the trainings that it made; no figure on this page was typed by a
person but those under "reported there". Recall is the share of bad photographs that are rejected (TPR), specificity the
share of good ones that pass (TNR), both at the threshold that each run chose. **Everything was chosen on the validation
photographs**: the epoch that is kept, what the inspector's opinions weigh, and the threshold; figures on validation
flatter all of them. The test photographs were scored after that, and nothing was chosen by them. Several seeds: the
mean, and below it the lowest and the highest seed. In brackets the 95 % interval of one such training, in which
photographs of a part are taken together as far as they fail together; it does not hold what another seed would change:
Newcombe for AUROC, Korn and Graubard for rates (`edge/evaluation/intervals.py`), a bootstrap over parts for Dice.
"""

REPORTED = """\
## What the experiments reported

The networks of this project follow experiments that were reported with these figures. **They were measured on other
photographs with another split, so the two columns cannot be compared**: beside each other they say only what was
claimed there and what was found here.
"""


def render(plan: Plan, runs: Path, picture: str | None = None) -> str:
    """The page as Markdown, with an address for its picture. Raises RunError or RecipeError, in one line."""
    found = outcomes(plan, runs)
    sections = [HEAD]
    if picture and any(outcome.auroc() for outcome in found):
        sections.append(f"![AUROC on test of every row, with its interval and its seeds]({picture})\n")
    for name in plan.photographs:
        of_these = [outcome for outcome in found if outcome.entry.data == name]
        if of_these:
            sections.append(_photographs(plan, name, of_these, runs))
    if plan.reported:
        sections.append(_reported(plan, found))
    sections.append(_commands(plan, found, runs))
    sections.append(_machine(plan, found))
    return "\n".join(section.strip("\n") + "\n" for section in sections if section)


def by_auroc(found: Sequence[Outcome]) -> list[Outcome]:
    """Those with an AUROC, the highest first."""
    ranked = [(figure.mean, outcome) for outcome in found if (figure := outcome.auroc())]
    return [outcome for _, outcome in sorted(ranked, key=lambda pair: -pair[0])]


def _photographs(plan: Plan, name: str, found: list[Outcome], runs: Path) -> str:
    about = plan.photographs[name]
    ranked = by_auroc(found)
    sections = [f"## {about.title}\n\n{about.about.strip()}\n"]
    if ranked:
        sections += [_counts(ranked), _sure(ranked), _main(ranked), _cost(ranked), _kinds(ranked), _seeds(ranked)]
    sections.append(_not_trained(plan, found, runs))
    return "\n".join(section for section in sections if section)


def _counts(found: list[Outcome]) -> str:
    """How many photographs and parts each split has, as the first run saw them, and whether all runs agree."""
    runs = [run for outcome in found for run in outcome.runs]
    rows = []
    for split, members in runs[0].splits.items():
        cells = [split]
        for bad in (False, True):
            cells.append(_counted([row.part or row.name for row in members if row.is_bad == bad]))
        rows.append(cells)
    said = _table(["", "good", "bad"], rows)
    leaks = runs[0].record.data.leaks
    if leaks and leaks.left_out:
        said += _paragraph(
            f"{leaks.left_out} photographs of earlier splits are left out: a later split shows the same."
        )
    fingerprints = Counter(run.record.data.fingerprint for run in runs)
    if len(fingerprints) > 1:
        said += "\n**Beware: these runs were not all made from the same photographs.** Their fingerprints differ.\n"
    splits = Counter((run.path / SPLIT_FILE).read_bytes() for run in runs)
    if len(splits) > 1:
        said += "\n**Beware: these runs were not all split in the same way.** The files split.csv differ.\n"
    for run in runs:
        if (leaks := run.record.data.leaks) and leaks.warning:
            said += f"\n**Beware, {run.path.name}: {leaks.warning}.**\n"
    return said


def _sure(found: list[Outcome]) -> str:
    """How much an AUROC from so many parts says, and what guessing gives."""
    judged = found[0].judged[0]
    (bad, bad_parts), (good, good_parts) = judged.count(True), judged.count(False)
    middle = median(figure.mean for outcome in found if (figure := outcome.auroc()))
    low, high = auroc_interval(middle, bad_parts, good_parts)
    parts = "parts" if judged.parts else "photographs"
    return _paragraph(
        f"The test split has {good_parts} good and {bad_parts} bad {parts}: an AUROC of {middle:.3f}, the middle of "
        f"this table, has the 95 % interval {low:.2f} to {high:.2f}, and rows whose intervals overlap are not told "
        f"apart by it alone. Guessing gives an AUROC of 0.5 and an average precision (AP) of {bad / (bad + good):.2f}. "
        "A recall says nothing without the specificity beside it. Who picks a row of this table by its test figures "
        "chooses on test: the row that is picked looks better than it is."
    )


def _main(found: list[Outcome]) -> str:
    heads = ["", "learns from", "seeds", "AUROC", "AP", "recall", "specificity", "threshold", "AUROC of parts", "Dice"]
    rows = [
        [
            f"`{outcome.entry.label}`",
            LEARNS[outcome.learns_from],
            str(len(outcome.runs)),
            _cell(outcome.auroc()),
            _cell(outcome.average_precision()),
            _cell(outcome.recall()),
            _cell(outcome.specificity()),
            outcome.runs[0].strategy,
            _cell(outcome.auroc_by_part()),
            _cell(outcome.dice()),
        ]
        for outcome in found
    ]
    tested = [run.record.metrics["test"] for outcome in found for run in outcome.runs if "test" in run.record.metrics]
    whole = next(
        (f" A map that marks the whole frame has {one.overlap.whole:.2f}." for one in tested if one.overlap), ""
    )
    return _table(heads, rows) + _paragraph(
        "AUROC of parts: all photographs of a part judged together, by the mean of their scores. Dice: how well the "
        f"map covers the true defect, at the level of the map that is best on validation.{whole}"
    )


def _cost(found: list[Outcome]) -> str:
    heads = ["", "parameters", "starts from", "epochs (kept)", "training, minutes", "p50 ms"]
    rows = []
    for outcome in found:
        latency = [run.latency_ms for run in outcome.runs if run.latency_ms is not None]
        rows.append(
            [
                f"`{outcome.entry.label}`",
                f"{outcome.runs[0].record.parameters:,}",
                _start(outcome.runs[0]),
                "; ".join(dict.fromkeys(f"{_epochs(run)} ({_kept(run)})" for run in outcome.runs)),
                _span([run.record.minutes for run in outcome.runs if run.record.minutes is not None]),
                f"{latency[0]:.1f}" if latency else NONE,
            ]
        )
    said = "Minutes: the machine may have had other work; of a resumed training, those since it was resumed."
    return "What it costs:\n\n" + _table(heads, rows) + _paragraph(said) + _measured(found)


def _measured(found: list[Outcome]) -> str:
    """Under which conditions the latencies were measured."""
    measured = [run.measured for outcome in found for run in outcome.runs if run.measured]
    if not measured:
        return ""
    said = {_conditions(one) for one in measured}
    others = [seen.others_cores for one in measured if (seen := bare(one).disturbance) is not None]
    busy = f"; other processes kept {_span(others)} cores busy meanwhile" if others else ""
    return _paragraph(
        f"p50 ms: median of letterbox and network in {BACKEND}, float32, from the uint8 frame to the score, "
        f"{'; '.join(sorted(said))}{busy}."
    )


def _conditions(measured: Result) -> str:
    setting = bare(measured).setting
    return f"{setting.width}×{setting.height} frames, {setting.threads} threads, {measured.machine.cpu}"


def _kinds(found: list[Outcome]) -> str:
    judged = found[0].judged[0]
    kinds = sorted({str(kind) for kind in judged.kinds if kind}, key=lambda kind: (kind == SEVERAL, kind))
    heads = [""]
    for kind in kinds:
        units = [unit for unit, of in zip(judged.units, judged.kinds, strict=True) if of == kind]
        heads.append(f"{kind}<br>{_counted(units)}")
    rows = [[f"`{o.entry.label}`", *(_cell(o.rejected(kind), 2) for kind in kinds)] for o in found]
    return "Rejected on test at the chosen threshold, by the kind of defect:\n\n" + _table(heads, rows)


def _counted(units: Sequence[str]) -> str:
    """How many photographs, and of how many parts where some part has several."""
    parts = len(set(units))
    of = "" if parts == len(units) else f" of {parts} part{'s' if parts > 1 else ''}"
    return f"{len(units)} photograph{'s' if len(units) > 1 else ''}{of}"


def _seeds(found: list[Outcome]) -> str:
    heads = ["", "seed", "AUROC", "AP", "recall", "specificity", "AUROC of parts", "Dice", "threshold", "val AUROC"]
    rows = []
    for outcome in found:
        for run in outcome.runs:
            alone = Outcome(outcome.entry, (run,), {})
            figures = (alone.auroc(), alone.average_precision(), alone.recall(), alone.specificity())
            rows.append(
                [
                    f"`{outcome.entry.label}`",
                    str(run.seed),
                    *(_bare(figure) for figure in (*figures, alone.auroc_by_part(), alone.dice())),
                    f"{run.threshold:.5g}",
                    _number(run.record.metrics["val"].figures.auroc),
                ]
            )
    return "<details><summary>Each seed</summary>\n\n" + _table(heads, rows) + "\n</details>\n"


def _not_trained(plan: Plan, found: list[Outcome], runs: Path) -> str:
    """One line for each row and reason, with the seeds that it holds for and the command of the first."""
    lines = []
    for outcome in found:
        seeds: dict[str, list[int]] = {}
        for seed in outcome.entry.seeds:
            if state := outcome.missing.get(f"{outcome.entry.folder}-seed{seed}"):
                seeds.setdefault(state.why, []).append(seed)
        for why, of in seeds.items():
            lines.append(
                f"- `{outcome.entry.folder}` ({_seeds_said(of)}): **{why}**. {_command(plan, outcome, of, runs)}\n"
            )
    return "Rows and seeds that are not here:\n\n" + "".join(lines) if lines else ""


def _reported(plan: Plan, found: list[Outcome]) -> str:
    rows = []
    for reported in plan.reported:
        ours = [one for one in found if one.entry.recipe in reported.recipes and one.runs and one.judged]
        for outcome in ours:
            about = plan.photographs[outcome.entry.data].title
            rows.append([reported.network, reported.said, f"`{outcome.entry.label}`", about, _here(outcome)])
        if not ours:
            rows.append([reported.network, reported.said, NONE, NONE, "not trained"])
    return REPORTED + "\n" + _table(["network", "reported there", "row", "photographs here", "found here"], rows)


def _here(outcome: Outcome) -> str:
    figures = {
        "precision": outcome.precision(),
        "recall": outcome.recall(),
        "specificity": outcome.specificity(),
        "Dice": outcome.dice() if outcome.learns_from == "masks" else None,
    }
    return ", ".join(f"{name} {figure.mean:.3f}" for name, figure in figures.items() if figure)


def _commands(plan: Plan, found: list[Outcome], runs: Path) -> str:
    lines = [
        f"- `{outcome.entry.folder}` ({_seeds_said(seeds)}): {_command(plan, outcome, seeds, runs)}\n"
        for outcome in found
        if (seeds := [run.seed for run in outcome.runs])
    ]
    if not lines:
        return ""
    return (
        "## Commands\n\n`make results` makes all of it, `python -m benchmarks.results --only NAME` one row. By hand, "
        "with `EDGE_DATA` the folder of the magnetic tiles:\n\n" + "".join(lines)
    )


def _command(plan: Plan, outcome: Outcome, seeds: Sequence[int], runs: Path) -> str:
    """What makes the first of these seeds, and how the others differ."""
    lies_in = plan.photographs[outcome.entry.data].folder or outcome.entry.data
    command = plan.training(outcome.entry, seeds[0]).command(PHOTOGRAPHS.get(lies_in, "DATA"), _shown(runs))
    others = [f"`--set train.seed={seed}`" for seed in seeds[1:]]
    return f"`{command}`" + (f"; the others with {', '.join(others)} and their own `--out`" if others else "")


def _seeds_said(seeds: Sequence[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def _machine(plan: Plan, found: list[Outcome]) -> str:
    """What the trainings ran on, from what each recorded, and what their weights were where that needs words."""
    runs = [run for outcome in found for run in outcome.runs]
    if not runs:
        return ""
    records = [run.record.provenance for run in runs]
    rows = [
        [name, ", ".join(f"`{value}`" for value in sorted({one[name] for one in records if one.get(name)}))]
        for name in ("processor", "platform", *VERSIONS)
    ]
    said = "## Machine and versions\n\n" + _table(["", "as the runs recorded it"], [row for row in rows if row[1]])
    if plan.conditions:
        said += f"\n{plan.conditions.strip()}\n"
    starts = {
        outcome.entry.label: outcome.runs[0].record.provenance.get("weights", "") for outcome in found if outcome.runs
    }
    missing = {label: start for label, start in starts.items() if start.startswith("random initialisation, as ")}
    if missing:
        said += "\nWeights that could not be had; these networks start from random numbers, or are judged by such:\n\n"
        said += "".join(f"- `{label}`: {start}\n" for label, start in missing.items())
    return said


def _start(run: SeedRun) -> str:
    """What a network starts from, in a few words; an autoencoder's judge has weights, itself it has none."""
    said = run.record.provenance.get("weights", NONE)
    short = said.partition(", ")[0].partition(" (")[0]
    if short != "random initialisation" and said != NONE:
        short = f"{short}, ImageNet" if ", published" in said else Path(said).name
    return f"random; judge: {short}" if "judge" in run.record.recipe.model.options else short


def _epochs(run: SeedRun) -> str:
    """How many, and how many the recipe asks for where the plan asks for less."""
    asked = load_recipe(run.record.recipe_name).train.epochs
    shortened = run.record.recipe.train.epochs < asked
    return f"{run.epochs} of the recipe's {asked}" if shortened else str(run.epochs)


def _kept(run: SeedRun) -> str:
    assert run.record.selection is not None
    return str(run.record.selection.epoch + 1)


def _cell(figure: Figure | None, digits: int = 3) -> str:
    """The mean, its interval, and below them the seeds where there are several."""
    if figure is None:
        return NONE
    said = f"**{figure.mean:.{digits}f}**"
    if figure.interval:
        said += f" [{figure.interval[0]:.2f}, {figure.interval[1]:.2f}]"
    if len(figure.seeds) > 1:
        said += f"<br>{min(figure.seeds):.{digits}f}–{max(figure.seeds):.{digits}f}"
    return said


def _bare(figure: Figure | None) -> str:
    return NONE if figure is None else _number(figure.mean)


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:.3f}"


def _span(values: Sequence[float], form: Callable[[float], str] = lambda value: f"{value:.1f}") -> str:
    """The one value, or the lowest and the highest."""
    ends = list(dict.fromkeys(form(value) for value in (min(values), max(values)))) if values else [NONE]
    return "–".join(ends)


def _shown(runs: Path) -> Path:
    """The folder of the runs as a command names it: as it was given, or its last two names where that is absolute."""
    return Path(*runs.parts[-2:]) if runs.is_absolute() else runs


def _paragraph(text: str) -> str:
    return f"\n{fill(text, 119, break_long_words=False, break_on_hyphens=False)}\n"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |\n" for line in lines)
