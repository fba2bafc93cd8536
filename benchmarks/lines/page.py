"""docs/guide/demo-lines.md: the parameters of the lines codes and pour, what was measured, and their pictures."""

from collections.abc import Mapping

from benchmarks.lines.figures import PERCENTILES, Figures
from benchmarks.markdown import table
from edge.demo import code_print, code_scratch, codes, pour, pour_splash
from edge.demo.lines import PLANS, SPLITS
from edge.demo.truth import Strength

HEAD = """\
# The rendered lines

Three lines are rendered part by part, with the truth and a mask of each part: `plates` on a belt, printed `codes`,
and the mouth of a mould during the `pour`. `python -m benchmarks.lines` wrote this page, its figures and pictures.

```
edge-demo codes/ --line codes                               # photographs to train on
edge-train demo-line --data codes/ --out codes-run/ --drop-leaks
edge-export codes-run/ --out codes.edge --simulated
edge-run --source demo --line codes --bundle codes.edge     # the same line live, other parts
```

`--simulated` marks the bundle as one for no real line: its verdicts say so, and `edge-gate` rejects them unless it
is given `--allow-simulated`.

The same seed gives the same parts on every machine. The photographs have seeds of their own: with `edge-demo --seed N`
train has 1000·(N + 1) + 1, val one more and test two more, so 1001, 1002 and 1003 by default. `edge-run` has the seed 0
and then shows none of these parts; with `--seed 1001` it shows those of train again, of `plates` fewer with a defect.
The lines `codes` and `pour` imitate two real lines whose photographs are not public; sizes, colours,
deviations and defects follow what the authors of the earlier networks in [results](../reports/results.md) published.
"""

CODES = """\
## Codes

Grey crops around three or four bold characters, at any angle, from {small} to {large} px. A bad part has a scratch
through the print: a thin line that takes the ink off and is nearly invisible on the ground. The mask is the outline
of the scratch. Good parts have details that resemble a scratch: pinholes, a nick, a pale band, a fibre. Around some
codes there are outlines of other print and the dark edge of the part.

![24 good codes and 24 with a scratch](../reports/lines-codes.jpg)

Different parts may carry similar codes. `edge-train` refuses such pairs in different splits as near-duplicates;
`--drop-leaks` leaves them out.
"""

POUR = """\
## Pour

Colour crops from {small} to {large} px, from a JPEG of quality {low} to {high}. A dark rim arches over a paler
surface; some have a nozzle's shadow, a paler skin, or small reflections. A bad part has a splash of metal over the
rim or on the surface. The training part has good parts only. The light of the test part differs from that of the
others: `--shift 0` leaves it the same, `--shift 1` is the default, and `--shift 2` is twice as far.

![24 good pours and 24 with a splash](../reports/lines-pour.jpg)
"""

FAINT = """\
### Faint {what}

{share:.1%} of the bad parts are so faint that a person hesitates. Ten of them, and below each the same with its mask:

![Ten faint {what} and their masks](../reports/lines-{name}-faint.jpg)
"""


def render(found: Mapping[str, Figures]) -> str:
    """The page as Markdown."""
    of_codes, of_pour = found["codes"], found["pour"]
    low, high = pour.QUALITY
    return "\n".join(
        [
            HEAD,
            _counts(),
            CODES.format(**_sizes(of_codes)),
            _code_table(),
            _strengths("codes", of_codes),
            _measured(of_codes),
            FAINT.format(what="scratches", name="codes", share=codes.STRENGTHS["faint"]),
            POUR.format(**_sizes(of_pour), low=low, high=high),
            _pour_table(),
            _strengths("pour", of_pour),
            _colours(of_pour),
            _measured(of_pour),
            FAINT.format(what="splashes", name="pour", share=pour.STRENGTHS["faint"]),
        ]
    )


def _sizes(figures: Figures) -> dict[str, str]:
    small, large = (f"{width}×{height}" for width, height in figures.sizes)
    return {"small": small, "large": large}


def _counts() -> str:
    rows = [
        (f"`{name}`", *(f"{plan[split].count:,}, {plan[split].defect_rate:.1%}" for split in SPLITS))
        for name, plan in PLANS.items()
    ]
    return "Photographs that `edge-demo` writes by default, and the share of bad ones:\n\n" + table(
        ("line", *SPLITS), rows
    )


def _span(values: tuple[float, float]) -> str:
    low, high = values
    return f"{low:g} to {high:g}" if low < high else f"{low:g}"


def _code_table() -> str:
    rows = [
        ("cap height, text width", f"{_span(code_print.HEIGHTS)} px, {_span(code_print.WIDTHS)} px"),
        ("upright or upside down, give or take a few degrees", f"{code_print.UPRIGHT_RATE:.0%}"),
        ("ground", f"{_span(codes.GROUND)}; grey ground {_span(codes.GREY_GROUND)} in {codes.GREY_GROUND_RATE:.0%}"),
        ("ink", f"{_span(codes.INK)}; faded {_span(codes.FADED_INK)} in {codes.FADED_RATE:.0%}"),
        ("shade at an edge, blur", f"{codes.SHADE_RATE:.0%}, {codes.BLUR_RATE:.0%}"),
        ("edge of the part, other print near the code", f"{codes.PART_EDGE_RATE:.0%}, {codes.OUTLINES_RATE:.0%}"),
        (
            "many pinholes, a nick, a pale band, a fibre",
            f"{codes.SPECKLED_RATE:.0%}, {codes.NICK_RATE:.0%}, {codes.PALE_BAND_RATE:.0%}, {codes.FIBRE_RATE:.0%}",
        ),
        ("deviation of the sensor's noise", f"{codes.NOISE_SIGMA:g} grey levels"),
        ("scratches torn into flecks, except faint ones", f"{code_scratch.TORN_RATE:.0%}"),
    ]
    return table(("parameter", "value"), rows, words=2)


def _pour_table() -> str:
    rows = [
        ("crop", f"{_span(pour.WIDTHS)} × {_span(pour.HEIGHTS)} px"),
        ("nozzle's shadow, reflections, skin", f"{pour.NOZZLE_RATE:.0%}, {pour.GLINTS_RATE:.0%}, {pour.SKIN_RATE:.0%}"),
        ("how far the rim wanders from an ellipse", f"{pour.ROUGHNESS:g} px"),
        ("deviation of the sensor's noise, of 0..1", f"{pour.NOISE_SIGMA:g}"),
    ]
    return table(("parameter", "value"), rows, words=2)


def _strengths(name: str, figures: Figures) -> str:
    total = sum(count for kind, count in figures.count.items() if kind != "good")

    def shares(strength: Strength, planned: Mapping[Strength, float]) -> tuple[str, str, str]:
        return strength, f"{planned[strength]:.1%}", f"{figures.count.get(strength, 0) / total:.1%}"

    if name == "codes":
        head = ("strength", "share", "measured", "breadth, px", "ink gone", "characters")
        rows = [
            (*shares(strength, codes.STRENGTHS), _span(kind.breadth), _span(kind.opacity), _span(kind.letters))
            for strength, kind in code_scratch.SCRATCHES.items()
        ]
    else:
        head = ("strength", "share", "measured", "radius, px", "highlights", "their opacity")
        rows = [
            (*shares(strength, pour.STRENGTHS), _span(splash.body), _span(splash.flecks), _span(splash.glow))
            for strength, splash in pour_splash.SPLASHES.items()
        ]
    return table(head, rows)


def _colours(figures: Figures) -> str:
    rows = [
        (what, *(f"{wanted:.4f}, {value:.4f}" for wanted, value in zip(aim[::-1], measured, strict=True)))
        for what, aim, measured in (
            ("mean", pour.MEAN_BGR, figures.mean),
            ("deviation", pour.DEVIATION_BGR, figures.deviation),
        )
    ]
    return "Of the good photographs, published and measured:\n\n" + table(("", "red", "green", "blue"), rows)


def _measured(figures: Figures) -> str:
    columns = tuple(f"{percent} %" for percent in PERCENTILES)
    order = [kind for kind in ("good", "faint", "medium", "strong") if kind in figures.within]
    rows = [(kind, f"{figures.count[kind]:,}", *(f"{value:.3f}" for value in figures.within[kind])) for kind in order]
    return (
        f"Deviation within one photograph, of values 0..1, at percentiles of {figures.parts:,} photographs:\n\n"
        + table(("", "photographs", *columns), rows)
        + f"\nA mask marks {figures.marked:.1%} of a photograph (median). A part takes {figures.cpu_ms:.1f} ms of "
        f"processor time on {figures.cpu}.\n"
    )
