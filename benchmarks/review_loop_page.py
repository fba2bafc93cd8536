"""The page of the review loop, docs/reports/review-loop.md."""

from typing import Any

from benchmarks.markdown import machine_words, paragraph, table


def section(result: dict[str, Any]) -> str:
    """The page in Markdown."""
    height, width = result["size"]
    review, promise, before = result["review"], result["promise"], result["before"]
    stats, export, training = result["stats"], result["export"], result["training"]
    counts = {
        split: f"{one.get('good', 0)} good and {one.get('bad', 0)} bad" for split, one in export["reviewed"].items()
    }
    return "\n".join(
        [
            "# The review loop\n",
            paragraph(
                "From false rejects to a better bundle, by `python -m benchmarks.review_loop`, with real processes on "
                "the rendered line of plates. The shipped bundle learned from 1280×720; a new camera gives "
                f"{width}×{height}, and the bundle rejects too much. One part in five is bad. The truth of each part "
                f"is known, and takes the place of the person. Measured on {machine_words(result['machine'])}."
            ),
            "## The station\n",
            paragraph(
                f"{before['parts']} parts at the threshold {promise['old']:.4g}: recall {_rate(before['recall'])}, "
                f"specificity {_rate(before['specificity'])}, precision {_rate(before['precision'])}."
            ),
            "## The review\n",
            paragraph(
                f"{review['rejects']} rejects and {review['goods']} kept goods are decided in the order of the queue; "
                f"{review['bad']} of them are bad. The gate's people name {review['named']} missed parts. From that, "
                "edge-review estimates, and the truth of all parts says:"
            ),
            table(
                ("", "estimated, 95 %", "truth", "within"),
                [
                    _row("precision of the rejects", stats["precision"], before["precision"]["value"]),
                    _row("share of bad parts that passed", stats["miss_rate"], 1 - before["recall"]["value"]),
                    _row("bad parts that passed", stats["escaped"], before["confusion"]["fn"], digits=0),
                ],
            ),
            *_another_threshold(result),
            "## Training\n",
            paragraph(
                "`edge-review export` copies the reviewed parts: "
                + "; ".join(f"{split} {said}" for split, said in counts.items())
                + f". {len(export['left_out'])} are left out. {export['added']} earlier photographs lie beside them. "
                f"{export['masks']} bad parts get a mask. The recipe of the shipped bundle trains on from its "
                f"weights for {training['epochs']} epochs, with `--allow-leaks`, because photographs of "
                "different parts of this line look alike."
            ),
            "## Three bundles on the same further parts\n",
            table(
                ("bundle", "threshold", "AUROC", "recall", "specificity", "precision"),
                [
                    (
                        name, f"{one['threshold']:.4g}", f"{one['auroc']:.4f}", _rate(one["recall"]),
                        _rate(one["specificity"]), _rate(one["precision"]),
                    )
                    for name, one in result["compared"].items()
                ],
            ),
            paragraph(
                f"Seconds on this machine: {', '.join(f'{name} {s:.0f}' for name, s in result['took_s'].items())}."
            ),
        ]
    )  # fmt: skip


def _another_threshold(result: dict[str, Any]) -> list[str]:
    promise = result["promise"]
    return [
        "## Another threshold\n",
        paragraph(
            f"`edge-export rethreshold --threshold {result['strategy']}` moves it from {promise['old']:.4g} to "
            f"{promise['new']:.4g}. {promise['proof']['pictures scored again']} pictures are scored again, with a "
            f"largest difference of {promise['proof']['largest difference from the record']:.2g} from the record. "
            f"What it promises, and what {result['kept']['parts']} further parts give:"
        ),
        table(
            ("", "before", "promised, 95 %", "further parts", "within"),
            [
                (
                    name, _estimate(promise["before"][name]), _estimate(row["promised"]), _rate(row["came"]),
                    "yes" if row["within"] else "**no**",
                )
                for name, row in result["kept"]["rates"].items()
            ],
        ),
    ]  # fmt: skip


def _row(name: str, estimate: dict[str, Any], true: float, digits: int = 3) -> tuple[str, str, str, str]:
    within = estimate["low"] - 1e-9 <= true <= estimate["high"] + 1e-9
    return name, _estimate(estimate, digits), f"{true:.{digits}f}", "yes" if within else "**no**"


def _estimate(one: dict[str, Any], digits: int = 3) -> str:
    value = "?" if one["value"] is None else f"{one['value']:.{digits}f}"
    return f"{value} [{one['low']:.{digits}f}, {one['high']:.{digits}f}]"


def _rate(one: dict[str, Any]) -> str:
    return f"{_estimate(one)} ({one['successes']}/{one['trials']})"
