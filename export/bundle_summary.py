"""What an export wrote, as lines on the terminal: artifacts, thresholds, statistics, warnings."""

from typing import TYPE_CHECKING

from edge.text import counted

if TYPE_CHECKING:
    from edge.bundle import Artifact, Bundle
    from edge.terminal.console import Console


def say(console: "Console", bundle: "Bundle", warnings: list[str]) -> None:
    """Print the artifacts of the bundle, the refused artifacts with the reasons, and the warnings."""
    from rich.markup import escape

    manifest = bundle.manifest
    lines = [f"[bold]{escape(str(bundle.path))}[/bold]  {escape(manifest.description)}"]
    lines += [f"  {escape(f'{name}: {describe(artifact)}')}" for name, artifact in manifest.artifacts.items()]
    lines += [f"  {name}: [bold red]refused:[/bold red] {escape(reason)}" for name, reason in manifest.refused.items()]
    if (level := manifest.map_threshold) is not None:
        lines.append(escape(f"  map: values from {level.value:.6g} on are a defect ({level.strategy}; {level.data})"))
    if manifest.kinds:
        named = ", ".join(f"{number} {kind}" for number, kind in enumerate(manifest.kinds, 1))
        lines.append(escape(f"  kinds of defects, with their numbers for a PLC: {named}"))
    if (statistics := manifest.input_statistics) is not None:
        lines.append(
            escape(
                f"  input statistics of {statistics.data}; limit {statistics.limit:g}, {statistics.beyond} of "
                f"{statistics.held_out} validation photographs beyond it"
            )
        )
    lines += [f"  [bold red]warning:[/bold red] {escape(warning)}" for warning in warnings]
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)


def describe(artifact: "Artifact") -> str:
    """A line with the threshold of an artifact, its rates on the photographs it was chosen on, and its margin."""
    threshold = artifact.threshold
    said = [f"threshold {threshold.value:.6g} ({threshold.strategy})"]
    said.append(f"scores differ from the network's by at most {artifact.margin:.2g}")
    for name, rate in (("recall", threshold.recall), ("specificity", threshold.specificity)):
        if rate.value is not None:
            said.append(f"{name} {rate.value:.3f} [{rate.low:.3f}, {rate.high:.3f}]")
    return f"{', '.join(said)} on {threshold.data}{made(artifact)}"


def made(artifact: "Artifact") -> str:
    """How an int8 artifact was made, as text; empty for a float32 artifact."""
    if (quantized := artifact.quantization) is None:
        return ""
    kept = len(quantized.given_back)
    return (
        f"; {counted(quantized.integer_layers, 'layer')} in int8, weights of {quantized.weight_bits} bits, "
        f"the network alone {quantized.speedup or 0:.2f} times as fast as float32 here, "
        f"{counted(kept, 'layer')} kept in float32, calibrated on {quantized.calibrated_on}"
    )
