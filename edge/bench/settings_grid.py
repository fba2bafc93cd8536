"""The settings to measure: every combination of the axes that a bundle and this machine allow."""

from dataclasses import dataclass
from itertools import product

from edge.backends import is_exact_here, refuses, runtime_of
from edge.bench.bare_inference import options
from edge.bench.result import Precision, Setting
from edge.bundle import Bundle
from edge.errors import EdgeError
from edge.machine import cores


@dataclass(frozen=True)
class Axes:
    """Values of each axis; empty if the user named none. `sizes` are (height, width)."""

    artifacts: tuple[str, ...] = ()
    precisions: tuple[Precision, ...] = ()
    threads: tuple[int, ...] = ()
    streams: tuple[int, ...] = ()
    sizes: tuple[tuple[int, int], ...] = ()
    static: tuple[bool, ...] = ()
    spinning: tuple[bool, ...] = ()

    def over(self, usual: "Axes") -> "Axes":
        """These values, with those of `usual` for axes without a value."""
        return Axes(**{axis: getattr(self, axis) or getattr(usual, axis) for axis in vars(self)})


USUAL = Axes(threads=(cores(),), streams=(1,), sizes=((720, 1280),), static=(True,), spinning=(False,))


def everything() -> Axes:
    """All values for a night's run: threads and streams by powers of two, frames from VGA to 5 megapixels."""
    counts = tuple(sorted({*(2**n for n in range(cores().bit_length()) if 2**n <= cores()), cores()}))
    sizes = (480, 640), (720, 1280), (1080, 1920), (2048, 2448)
    return Axes(threads=counts, streams=counts, sizes=sizes, static=(True, False), spinning=(False, True))


def settings(bundle: Bundle, asked: Axes, usual: Axes) -> list[Setting]:
    """The possible combinations, those that a station would run first.

    Raises EdgeError with a one-line message if the request leaves none, BundleError if a requested artifact does not
    exist.
    """
    axes = asked.over(usual)
    for name in axes.artifacts:
        bundle.artifact(name)
    found: list[Setting] = []
    whys: dict[str, None] = {}  # distinct reasons, in order
    for name, artifact in sorted(bundle.manifest.artifacts.items()):
        if axes.artifacts and name not in axes.artifacts:
            continue
        if not is_exact_here(artifact):
            whys[f"{name} has int8 weights of 8 bits, whose sums saturate on a CPU without VNNI"] = None
            continue
        own: tuple[Precision, ...] = ("f32", "bf16") if artifact.precision == "f32" else ("int8",)
        precisions = [one for one in own if not axes.precisions or one in axes.precisions]
        if not precisions:
            whys[f"{name} has no {' or '.join(axes.precisions)}"] = None
        rest = axes.threads, axes.streams, axes.static, axes.sizes, axes.spinning
        for precision, threads, streams, is_static, (height, width), spins in product(precisions, *rest):
            one = Setting(
                artifact=name,
                backend=artifact.backend,
                precision=precision,
                threads=threads,
                streams=streams,
                is_static=is_static,
                height=height,
                width=width,
                is_spinning=spins,
            )
            if refusal := _refusal(bundle, one):
                whys[refusal] = None
                continue
            found.append(one)
    if not found:
        raise EdgeError(f"{bundle.path}: nothing of what was asked for can be measured: {'; '.join(whys)}")
    return sorted(found, key=lambda one: not is_of_station(one))


def is_of_station(setting: Setting) -> bool:
    """Whether a station would run this setting: float32 or int8, one part at a time, compiled for one frame size."""
    return setting.streams == 1 and setting.is_static and setting.precision != "bf16"


def _refusal(bundle: Bundle, setting: Setting) -> str | None:
    """Why this combination is impossible, or equal to another; None if it is possible."""
    if setting.is_spinning and not runtime_of(setting.backend).can_spin:
        return f"{setting.backend}'s threads cannot be told to spin"
    if setting.is_spinning and setting.threads == 1:
        return "one thread has none beside it that could spin"
    if (refusal := bundle.manifest.letterbox.refusal(setting.height, setting.width)) is not None:
        return refusal
    return refuses(setting.backend, options(setting))


def named(setting: Setting) -> str:
    """The setting as short text."""
    words = [setting.artifact if setting.precision != "bf16" else f"{setting.artifact} bf16"]
    words += [f"{setting.threads} threads" if setting.threads > 1 else "1 thread"]
    words += [f"{setting.streams} streams"] if setting.streams > 1 else []
    words += [] if setting.is_static else ["any size"]
    words += ["spinning"] if setting.is_spinning else []
    return ", ".join(words)
