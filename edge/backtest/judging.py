"""Judges the frames of a chunk; runs in a worker, on this machine or on another one."""

import hashlib
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from math import isfinite
from pathlib import Path
from typing import NamedTuple

from edge.backends import Backend, check_golden, load_from
from edge.backtest.items import Item
from edge.backtest.plan import Judge, Plan
from edge.bundle import Bundle, open_bundle
from edge.errors import DataError, EdgeError
from edge.files import read_regular
from edge.frame import Frame
from edge.pictures import decode_picture
from edge.records.retention import MOST_IMAGE_BYTES
from edge.text import reason_of
from edge.verdict import Outcome

AHEAD = 8
"""Frames that are read before they are needed: an archive may lie in a store that answers slowly."""

SHAPES = 4
"""Compiled graphs of a bundle that a worker keeps, for as many sizes of frames."""


class Row(NamedTuple):
    """What one bundle says of one frame, after the columns of the frame. `ms` is the time of the inference, `kind` that
    of a reject's defect; empty if the bundle tells no kinds apart.
    """

    bundle: str
    backend: str
    outcome: str
    score: float
    ms: float
    fault: str
    kind: str = ""


NAN = float("nan")


def judge_chunk(plan: Plan, items: Sequence[Item]) -> list[tuple[Item, Row]]:
    """A row for each frame and bundle, in their order. A frame that cannot be read or judged is unknown, with a fault.

    Raises EdgeError if a bundle cannot be run here as its golden frames say.
    """
    rows = []
    for item, content in _read_ahead(items):
        frame: Frame | None = None
        fault = ""
        try:
            frame = decode_picture(content())
        except (DataError, OSError) as error:
            fault = f"the image cannot be read: {reason_of(error) if isinstance(error, OSError) else error}"
        for judge in plan.judges:
            rows.append((item, _judged(judge, plan.threads, item, frame, fault)))
    return rows


def _read_ahead(items: Sequence[Item]) -> Iterator[tuple[Item, Callable[[], bytes]]]:
    """The frames in order, each with what gives its content, or raises; the next AHEAD ones are read meanwhile."""
    with ThreadPoolExecutor(AHEAD) as pool:
        reading: deque[tuple[Item, Future[bytes]]] = deque()
        for item in items:
            reading.append((item, pool.submit(_content, item)))
            if len(reading) > AHEAD:
                first, content = reading.popleft()
                yield first, content.result
        for first, content in reading:
            yield first, content.result


def _content(item: Item) -> bytes:
    data = read_regular(Path(item.folder), item.path, MOST_IMAGE_BYTES)
    if item.sha256 and hashlib.sha256(data).hexdigest() != item.sha256:
        raise DataError("it is not the image that was stored")
    return data


def _judged(judge: Judge, threads: int, item: Item, frame: Frame | None, fault: str) -> Row:
    if frame is None:
        return Row(judge.label, judge.backend, Outcome.UNKNOWN.value, NAN, NAN, fault)
    height, width = frame.shape[:2]
    # A station compiles its graph for the size of its frames, so recorded ones are judged by the same variant.
    backend, bundle = _loaded(judge, threads, (height, width) if item.sha256 else None)
    if (refusal := bundle.manifest.letterbox.refusal(height, width)) is not None:
        return Row(judge.label, judge.backend, Outcome.UNKNOWN.value, NAN, NAN, f"a frame of {refusal}")
    began = time.perf_counter_ns()
    try:
        output = backend.infer(frame)
    except Exception as error:  # each runtime has its own kinds
        text = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        return Row(judge.label, judge.backend, Outcome.UNKNOWN.value, NAN, NAN, text)
    score, ms = output.score, (time.perf_counter_ns() - began) / 1e6
    if not isfinite(score):
        return Row(judge.label, judge.backend, Outcome.UNKNOWN.value, NAN, ms, f"the model's score is {score}")
    rejects = bundle.artifact(judge.backend).threshold.rejects(score)
    outcome = Outcome.REJECT if rejects else Outcome.GOOD
    kind = output.kind if rejects else None
    named = "" if kind is None else bundle.manifest.kinds[kind[0] - 1]
    return Row(judge.label, judge.backend, outcome.value, score, ms, "", named)


_Key = tuple[Judge, int, tuple[int, int] | None]
_compiled: OrderedDict[_Key, tuple[Backend, Bundle]] = OrderedDict()


def _loaded(judge: Judge, threads: int, shape: tuple[int, int] | None) -> tuple[Backend, Bundle]:
    """A compiled graph that agrees with the bundle's golden frames here, one of those that were used last."""
    key = judge, threads, shape
    if key not in _compiled:
        _compiled[key] = _compile(judge, threads, shape)
    _compiled.move_to_end(key)
    if sum(one[0] == judge for one in _compiled) > SHAPES:
        del _compiled[next(one for one in _compiled if one[0] == judge)]
    return _compiled[key]


def _compile(judge: Judge, threads: int, shape: tuple[int, int] | None) -> tuple[Backend, Bundle]:
    bundle = open_bundle(Path(judge.folder), digest=judge.digest)
    if shape is not None and bundle.manifest.letterbox.refusal(*shape) is not None:
        shape = None
    anysize = load_from(bundle, judge.backend, threads)
    check_golden(bundle, anysize)
    if shape is None:
        return anysize, bundle
    from edge.backends import check_static

    runtime = load_from(bundle, judge.backend, threads, shape)
    check_static(bundle, anysize, runtime, shape)
    return runtime, bundle


def check(plan: Plan) -> None:
    """Load every bundle of a plan here once. Raises EdgeError if one cannot be run."""
    for judge in plan.judges:
        try:
            _loaded(judge, plan.threads, None)
        except EdgeError as error:
            raise type(error)(f"{judge.label}: {error}") from error
