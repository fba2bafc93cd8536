"""docs/reports/results.md: the results in the run folders of a plan, and nothing else."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.results.cells import NONE, bare_number, cell, number, span, table, wrapped
from benchmarks.results.line_tables import line_tables
from benchmarks.results.outcome import SEVERAL, Outcome, SeedRun, bare, outcomes
from benchmarks.results.plan import Plan
from benchmarks.results.runs import BACKEND, rendered_folder
from edge.bench.result import Result
from edge.evaluation.intervals import auroc_interval
from edge.text import counted
from train.recipe import load_recipe
from train.run import SPLIT_FILE

LEARNS = {"good": "good photographs", "labels": "good and bad", "masks": "good, bad and masks"}
PHOTOGRAPHS = {"magnetic-tile": '"$EDGE_DATA"', "demo-line": "build/demo-data"}
"""The folders of photographs as the commands on the page write them."""

VERSIONS = ("python", "torch", "lightning", "kornia", "numpy", "opencv-python-headless", "edge-inspect")

HEAD = """\
Written by `{command}` from the run folders of the trainings that it made; no figure on this page was typed by a person
but those that others reported. Recall is the share of bad photographs that are rejected (TPR), specificity the share
of good ones that pass (TNR), both at the threshold that each run chose. **Everything was chosen on the validation
photographs**: the epoch that is kept, the weights with which the inspector combines its scores, and the threshold;
figures on validation are too good for this reason. The test photographs were scored after that, and nothing was chosen
by them. Several seeds: the mean, and below it the lowest and the highest seed. In brackets: the 95 % interval of one
training. Photographs of one part often fail together; the more they do, the fewer trials they count as in the
interval. Differences between seeds are not in it. Methods: Newcombe for AUROC, Korn and Graubard for rates
(`edge/evaluation/intervals.py`), a bootstrap over parts for Dice.
"""

REPORTED = """\
## What the experiments reported

The networks of this project follow experiments that were reported with these figures. **They were measured on other
photographs with another split, so the two columns cannot be compared**: beside each other they say only what was
claimed there and what was found here.
"""


def render(plan: Plan, runs: Path, picture: str | None = None, page: Path | None = None) -> str:
    """The page as Markdown, with an address for its picture; contact sheets are looked for beside `page`.

    Raises RunError or RecipeError, in one line.
    """
    found = outcomes(plan, runs)
    sections = [f"# {plan.title}\n", wrapped(HEAD.format(command=plan.command))]
    if plan.about:
        sections.append(wrapped(plan.about))
    if page is not None:
        sections.append(f"[{page.stem}.json]({page.stem}.json) has every number of this page for programs.\n")
    if picture and any(outcome.auroc() for outcome in found):
        sections.append(f"![AUROC on test of every row, with its interval and its seeds]({picture})\n")
    for name in plan.photographs:
        of_these = [outcome for outcome in found if outcome.entry.data == name]
        if of_these:
            sections.append(_photographs(plan, name, of_these, runs, page))
    if plan.reported:
        sections.append(_reported(plan, found))
    sections.append(_commands(plan, found, runs))
    sections.append(_machine(plan, found))
    return "\n".join(section.strip("\n") + "\n" for section in sections if section)


def by_auroc(found: Sequence[Outcome]) -> list[Outcome]:
    """The outcomes that have an AUROC, the highest first."""
    ranked = [(figure.mean, outcome) for outcome in found if (figure := outcome.auroc())]
    return [outcome for _, outcome in sorted(ranked, key=lambda pair: -pair[0])]


def _photographs(plan: Plan, name: str, found: list[Outcome], runs: Path, page: Path | None) -> str:
    about = plan.photographs[name]
    ranked = by_auroc(found)
    sections = [f"## {about.title}\n{wrapped(about.about)}"]
    if ranked:
        tables = line_tables(ranked, page) if about.line else [_main(ranked)]
        sections += [_counts(ranked), _sure(ranked), *tables, _cost(ranked), _kinds(ranked), _seeds(ranked)]
    sections.append(_not_trained(plan, found, runs))
    return "\n".join(section for section in sections if section)


def _counts(found: list[Outcome]) -> str:
    """Numbers of photographs and parts of each split in the first run, and whether all runs agree."""
    runs = [run for outcome in found for run in outcome.runs]
    rows = []
    for split, members in runs[0].splits.items():
        cells = [split]
        recorded = runs[0].record.data.photographs.get(split, {})
        for label in ("good", "bad"):
            names = [row.part or row.name for row in members if row.is_bad == (label == "bad")]
            is_sample = recorded.get(label, len(names)) != len(names)  # of many training photographs some are scored
            cells.append(counted(recorded[label], "photograph") if is_sample else _counted(names))
        rows.append(cells)
    said = table(["", "good", "bad"], rows)
    leaks = runs[0].record.data.leaks
    if leaks and leaks.left_out:
        said += wrapped(
            f"{leaks.left_out} photographs of earlier splits are left out: they look like photographs of a later split."
        )
    fingerprints = Counter(run.record.data.fingerprint for run in runs)
    if len(fingerprints) > 1:
        said += (
            "\n**These runs were not all made from the same photographs**: their fingerprints differ, "
            "so their rows cannot be compared.\n"
        )
    splits = Counter((run.path / SPLIT_FILE).read_bytes() for run in runs)
    if len(splits) > 1:
        said += (
            "\n**These runs were not all split in the same way**: their files split.csv differ, "
            "so their rows cannot be compared.\n"
        )
    for run in runs:
        if (leaks := run.record.data.leaks) and leaks.warning:
            said += f"\n**{run.path.name}: {leaks.warning}.**\n"
    return said


def _sure(found: list[Outcome]) -> str:
    """How precise an AUROC from these numbers of parts is, and the figures of guessing."""
    judged = found[0].judged[0]
    (bad, bad_parts), (good, good_parts) = judged.count(True), judged.count(False)
    middle = median(figure.mean for outcome in found if (figure := outcome.auroc()))
    low, high = auroc_interval(middle, bad_parts, good_parts)
    parts = "parts" if judged.parts else "photographs"
    return wrapped(
        f"The test split has {good_parts} good and {bad_parts} bad {parts}: the median AUROC of this table, "
        f"{middle:.3f}, has the 95 % interval {low:.2f} to {high:.2f}. If the intervals of two rows overlap, their "
        "AUROCs do not show which is better. Guessing gives an AUROC of 0.5 and an average precision (AP) of "
        f"{bad / (bad + good):.2f}. "
        "A recall says nothing without the specificity beside it. If you pick the best row by its test figures, they "
        "are too good: you have chosen on the test photographs."
    )


def _main(found: list[Outcome]) -> str:
    heads = ["", "learns from", "seeds", "AUROC", "AP", "recall", "specificity", "threshold", "AUROC of parts", "Dice"]
    rows = [
        [
            f"`{outcome.entry.label}`",
            LEARNS[outcome.learns_from],
            str(len(outcome.runs)),
            cell(outcome.auroc()),
            cell(outcome.average_precision()),
            cell(outcome.recall()),
            cell(outcome.specificity()),
            outcome.runs[0].strategy,
            cell(outcome.auroc_by_part()),
            cell(outcome.dice()),
        ]
        for outcome in found
    ]
    tested = [run.record.metrics["test"] for outcome in found for run in outcome.runs if "test" in run.record.metrics]
    whole = next(
        (f" A map that marks the whole frame has {one.overlap.whole:.2f}." for one in tested if one.overlap), ""
    )
    return table(heads, rows) + wrapped(
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
                span([run.record.minutes for run in outcome.runs if run.record.minutes is not None]),
                f"{latency[0]:.1f}" if latency else NONE,
            ]
        )
    said = "Minutes: the machine may have had other work; of a resumed training, those since it was resumed."
    return "What it costs:\n\n" + table(heads, rows) + wrapped(said) + _measured(found)


def _measured(found: list[Outcome]) -> str:
    """The conditions under which the latencies were measured."""
    measured = [run.measured for outcome in found for run in outcome.runs if run.measured]
    if not measured:
        return ""
    said = {_conditions(one) for one in measured}
    others = [seen.others_cores for one in measured if (seen := bare(one).disturbance) is not None]
    busy = f"; other processes kept {span(others)} cores busy meanwhile" if others else ""
    return wrapped(
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
    rows = [[f"`{o.entry.label}`", *(cell(o.rejected(kind), 2) for kind in kinds)] for o in found]
    return "Rejected on test at the chosen threshold, by the kind of defect:\n\n" + table(heads, rows)


def _counted(units: Sequence[str]) -> str:
    """The number of photographs, and the number of parts if some part has several photographs."""
    parts = len(set(units))
    of = "" if parts == len(units) else f" of {parts} part{'s' if parts > 1 else ''}"
    return f"{len(units)} photograph{'' if len(units) == 1 else 's'}{of}"


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
                    *(bare_number(figure) for figure in (*figures, alone.auroc_by_part(), alone.dice())),
                    f"{run.threshold:.5g}",
                    number(run.record.metrics["val"].figures.auroc),
                ]
            )
    return "<details><summary>Each seed</summary>\n\n" + table(heads, rows) + "\n</details>\n"


def _not_trained(plan: Plan, found: list[Outcome], runs: Path) -> str:
    """One line for each row and reason, with its seeds and the command of the first seed."""
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
    return REPORTED + "\n" + table(["network", "reported there", "row", "photographs here", "found here"], rows)


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
    tiles = (
        " By hand, with `EDGE_DATA` the folder of the magnetic tiles:" if "magnetic-tile" in plan.photographs else ""
    )
    rendered = [(name, about.line) for name, about in plan.photographs.items() if about.line]
    renders = "".join(f"- `edge-demo {rendered_folder(name)} --line {line}`\n" for name, line in rendered)
    return (
        f"## Commands\n\n`{plan.command}` makes all of it, `{plan.program} --only NAME` one row."
        f"{tiles or ' By hand:'}\n\n{renders}{''.join(lines)}"
    )


def _command(plan: Plan, outcome: Outcome, seeds: Sequence[int], runs: Path) -> str:
    """The command that trains the first of these seeds, and the options of the others."""
    about = plan.photographs[outcome.entry.data]
    lies_in = about.folder or outcome.entry.data
    data = str(rendered_folder(lies_in)) if about.line else PHOTOGRAPHS.get(lies_in, "DATA")
    command = plan.training(outcome.entry, seeds[0]).command(data, _shown(runs))
    others = [f"`--set train.seed={seed}`" for seed in seeds[1:]]
    return f"`{command}`" + (f"; the others with {', '.join(others)} and their own `--out`" if others else "")


def _seeds_said(seeds: Sequence[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def _machine(plan: Plan, found: list[Outcome]) -> str:
    """The machine and versions that the runs recorded, and the initial weights where they were missing."""
    runs = [run for outcome in found for run in outcome.runs]
    if not runs:
        return ""
    records = [run.record.provenance for run in runs]
    rows = [
        [name, ", ".join(f"`{value}`" for value in sorted({one[name] for one in records if one.get(name)}))]
        for name in ("processor", "platform", *VERSIONS)
    ]
    said = "## Machine and versions\n\n" + table(["", "as the runs recorded it"], [row for row in rows if row[1]])
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
    """The initial weights of a network in short; an autoencoder has none, but its judge does."""
    said = run.record.provenance.get("weights", NONE)
    short = said.partition(", ")[0].partition(" (")[0]
    if short != "random initialisation" and said != NONE:
        short = f"{short}, ImageNet" if ", published" in said else Path(said).name
    return f"random; judge: {short}" if "judge" in run.record.recipe.model.options else short


def _epochs(run: SeedRun) -> str:
    """The number of epochs, and the recipe's number where the plan sets fewer."""
    asked = load_recipe(run.record.recipe_name).train.epochs
    shortened = run.record.recipe.train.epochs < asked
    return f"{run.epochs} of the recipe's {asked}" if shortened else str(run.epochs)


def _kept(run: SeedRun) -> str:
    assert run.record.selection is not None
    return str(run.record.selection.epoch + 1)


def _shown(runs: Path) -> Path:
    """The folder of the runs as the commands write it: as given, or the last two names of an absolute path."""
    return Path(*runs.parts[-2:]) if runs.is_absolute() else runs
