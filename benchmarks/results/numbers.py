"""Every number of a page of results, as JSON for programs."""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from benchmarks.results.outcome import SEVERAL, Figure, Outcome, SeedRun, bare, outcomes
from benchmarks.results.plan import Plan
from edge.files import write_whole

SCHEMA = 1
"""Grows by one with every change after which a program that read the file before can no longer do so."""


def write_numbers(plan: Plan, runs: Path, file: Path) -> None:
    """Write the numbers of a plan's finished runs. Raises RunError or RecipeError, in one line."""
    write_whole(file, json.dumps(numbers(plan, runs), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def numbers(plan: Plan, runs: Path) -> dict[str, Any]:
    """The rows of all sets of photographs, and the runs that are missing. Rates are from 0 to 1, epochs count from 1.

    A figure has its mean over seeds, the value of each seed, and the 95 % interval where there is one.
    """
    found = outcomes(plan, runs)
    return {
        "schema_version": SCHEMA,
        "title": plan.title,
        "photographs": {
            name: {"title": about.title, "line": about.line} | _counts([one for one in found if one.entry.data == name])
            for name, about in plan.photographs.items()
        },
        "rows": [_row(one) for one in found if one.runs],
        "not_trained": [{"run": folder, "why": state.why} for one in found for folder, state in one.missing.items()],
    }


def _counts(found: list[Outcome]) -> dict[str, Any]:
    """Photographs of each split and label in the first run, and how many were left out."""
    run = next((run for one in found for run in one.runs), None)
    if run is None:
        return {}
    leaks = run.record.data.leaks
    return {
        "splits": {
            split: {
                label: {
                    "photographs": len(members),
                    "parts": len({row.part or row.name for row in members}),
                }
                for label, members in (
                    ("good", [row for row in rows if not row.is_bad]),
                    ("bad", [row for row in rows if row.is_bad]),
                )
            }
            for split, rows in run.splits.items()
        },
        "left_out": leaks.left_out if leaks else 0,
        "fingerprint": run.record.data.fingerprint,
    }


def _row(one: Outcome) -> dict[str, Any]:
    kinds = sorted(
        {str(kind) for judged in one.judged for kind in judged.kinds if kind}, key=lambda k: (k == SEVERAL, k)
    )
    return {
        "name": one.entry.label,
        "photographs": one.entry.data,
        "recipe": one.entry.recipe,
        "set": list(one.entry.set),
        "learns_from": one.learns_from,
        "parameters": one.runs[0].record.parameters,
        "starts_from": one.runs[0].record.provenance.get("weights"),
        "auroc": _figure(one.auroc()),
        "auroc_of_parts": _figure(one.auroc_by_part()),
        "average_precision": _figure(one.average_precision()),
        "precision": _figure(one.precision()),
        "recall": _figure(one.recall()),
        "specificity": _figure(one.specificity()),
        "dice": _figure(one.dice()),
        "rejected_by_kind": {kind: _figure(one.rejected(kind)) for kind in kinds},
        "reported": [reported.model_dump(mode="json") for reported in one.entry.reported],
        "seeds": [_seed(run) for run in one.runs],
    }


def _figure(figure: Figure | None) -> dict[str, Any] | None:
    if figure is None:
        return None
    return {"mean": figure.mean, "seeds": list(figure.seeds), "interval": figure.interval and list(figure.interval)}


def _seed(run: SeedRun) -> dict[str, Any]:
    selection, last = run.record.selection, run.record.last
    assert selection is not None
    said = {
        "seed": run.seed,
        "minutes": run.record.minutes,
        "epochs": run.epochs,
        "kept": {"epoch": selection.epoch + 1, "criterion": selection.criterion, "value": selection.value}
        | {"threshold": _plain(selection.threshold), "metrics": _metrics(run.record.metrics)},
        "last": None
        if last is None
        else {"epoch": last.epoch + 1, "value": last.value, "threshold": _plain(last.threshold)}
        | {"metrics": _metrics(last.metrics)},
        "strategies": {name: _plain(promise) for name, promise in run.promises.items()},
        "latency": None if run.latency_ms is None else {"p50_ms": run.latency_ms} | _conditions(run),
    }
    return said | {
        name: None if measured is None else _plain(measured)
        for name, measured in (
            ("masks", run.masks),
            ("reasons", run.reasons),
            ("live", run.live),
            ("in_turns", run.in_turns),
            ("sheet", run.shown),
        )
    }


def _conditions(run: SeedRun) -> dict[str, Any]:
    assert run.measured is not None
    setting = bare(run.measured).setting
    return {"width": setting.width, "height": setting.height, "threads": setting.threads} | {
        "processor": run.measured.machine.cpu
    }


def _metrics(metrics: "dict[str, Any]") -> dict[str, Any]:
    return {split: _plain(figures) for split, figures in metrics.items()}


def _plain(model: BaseModel) -> dict[str, Any]:
    content: dict[str, Any] = model.model_dump(mode="json")
    return content
