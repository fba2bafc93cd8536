"""No verdict names a bundle whose bytes did not judge the part, whenever another process writes to the bundle's folder.

EDGE_SWAPS is the number of random swaps during a running station.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.bundle_swap import BLIND, KINDS, both_bundles, swap, swapping
from support.line import command, free_endpoint

from edge.backends import check_golden
from edge.backends.options import Options
from edge.bundle import load_bundle
from edge.bundle.signature import Trust, sign_bundle
from edge.channel.subscriber import Subscriber
from edge.errors import BundleError
from edge.security.signing_keys import new_signing_key, read_private_key
from edge.station.inference.child import _load
from edge.verdict import Verdict

SWAPS = int(os.environ.get("EDGE_SWAPS", 30))
SHAPE = (64, 64)
FRAME = np.full((*SHAPE, 3), 128, np.uint8)
HONEST = 128 / 255
EDGE = str(Path(load_bundle.__code__.co_filename).parent)
OFTEN = "onnx_file.py"
"""A file whose functions are not counted: it reads bytes in memory, with one call for each."""


class Swapped:
    """Calls `act` at call number `at` of the project's functions; `calls` counts the calls."""

    def __init__(self, at: int, act: Callable[[], None]) -> None:
        self.calls, self._at, self._act = 0, at, act

    def __call__(self, frame: Any, event: str, _: object) -> None:
        file = frame.f_code.co_filename
        if event == "call" and file.startswith(EDGE) and not file.endswith(OFTEN):
            self.calls += 1
            if self.calls == self._at:
                self._act()

    def __enter__(self) -> "Swapped":
        sys.setprofile(self)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)


def judged(link: Path, trust: Trust, backend: str, at: int, act: Callable[[], None]) -> tuple[str | None, float, int]:
    """Label and score of a frame, computed as by the station and its inference process, with a swap at call `at`."""
    with Swapped(at, act) as swapped:
        try:
            bundle = load_bundle(link, trust)
            model = _load(bundle.folder, bundle.digest, backend, Options(1), SHAPE)
            (runtime, *_), score = model.prepare([SHAPE])[SHAPE], float("nan")
            score = runtime.infer(FRAME).score
            check_golden(model.bundle, runtime)
        except BundleError:
            return None, 0.0, swapped.calls
        return bundle.label, score, swapped.calls


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Trust]:
    """The folder with both bundles, of which the honest one is signed, and the trust with its key."""
    folder = tmp_path_factory.mktemp("bundles")
    both_bundles(folder)
    new_signing_key("lab", folder / "keys")
    sign_bundle(folder / "honest.edge", read_private_key(folder / "keys" / "lab.key", lambda: ""))
    trust = Trust.read([folder / "keys" / "lab.pub"])
    assert trust is not None
    return folder, trust


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_swap_at_any_call_between_first_read_and_first_verdict_changes_no_score(
    bundles: tuple[Path, Trust], tmp_path: Path, kind: str, backend: str
) -> None:
    folder, trust = bundles
    outcomes = set()
    *_, calls = judged(folder / "current.edge", trust, backend, 0, lambda: None)
    assert calls > 50
    stride = 1 if "EDGE_SWAPS" in os.environ else 5 if backend == "onnxruntime" else 11  # OpenVINO compiles slowly
    for at in range(1, calls + 1, stride):
        here = Path(shutil.copytree(folder, tmp_path / str(at), symlinks=True))
        label, score, _ = judged(here / "current.edge", trust, backend, at, lambda here=here: swap(here, kind))
        assert label is None or label.startswith("honest@")
        assert label is None or score == pytest.approx(HONEST, abs=1e-4), f"call {at}"
        outcomes.add(label is None)
        shutil.rmtree(here)
    assert outcomes == {True, False}, "some of the swaps are noticed, some come too late to matter"


@pytest.mark.parametrize("event", range(1, 40, 1 if "EDGE_SWAPS" in os.environ else 6))
def test_a_station_whose_bundle_is_swapped_while_its_inference_process_loads_publishes_no_false_label(
    bundles: tuple[Path, Trust], tmp_path: Path, event: int
) -> None:
    here = Path(shutil.copytree(bundles[0], tmp_path / "here", symlinks=True))
    environment, kind = swapping(here, "child", event, KINDS[event % len(KINDS)]), KINDS[event % len(KINDS)]
    endpoint = free_endpoint()
    subscriber = Subscriber(endpoint, "line1")
    options = ("--bundle", here / "current.edge", "--trust", here / "keys" / "lab.pub", "--bind", endpoint)
    station = subprocess.Popen(
        command("run", *options, *LINE, "--limit", 3, "--backend", "onnxruntime", "--wait-subscribers", 1),
        env=environment, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    verdicts: list[Verdict] = []
    while station.poll() is None:
        verdicts += [r.message for r in subscriber.messages(0.2) if isinstance(r.message, Verdict)]
    subscriber.close()
    said = station.communicate()[1]
    assert station.returncode in (0, 2), said
    assert "Traceback" not in said
    assert len(verdicts) == (3 if station.returncode == 0 else 0), (kind, said)
    assert all(v.bundle.startswith("honest@") and v.score != BLIND for v in verdicts)


LINE = ("--source", "demo", "--size", "320x180", "--no-records", "--no-tuned", "--threads", 1, "--budget-ms", 20_000)


def test_random_swaps_of_a_running_line_put_no_label_on_what_it_did_not_judge(
    bundles: tuple[Path, Trust], tmp_path: Path
) -> None:
    seed = random.randrange(2**32)
    draw, here = random.Random(seed), Path(shutil.copytree(bundles[0], tmp_path / "here", symlinks=True))
    for name in ("honest", "blind"):
        shutil.copytree(here / f"{name}.edge", here / f"{name}-as-it-was.edge")
    endpoint, swaps, verdicts = free_endpoint(), 0, 0
    subscriber, station = Subscriber(endpoint, "line1"), None
    labels: set[str] = set()
    while swaps < SWAPS or not verdicts:
        if station is None or station.poll() is not None:
            station = subprocess.Popen(
                command(
                    "run", "--bundle", here / "current.edge", "--bind", endpoint, *LINE, "--rate", "50/s", "--loop"
                ),
                stderr=subprocess.DEVNULL,
            )
        swap(here, *draw.choice(MOVES))
        swaps += 1
        chance = draw.random()
        if chance < 0.03:
            station.kill()  # the next station starts with the present files, during the next swaps
            station.wait()
        elif chance < 0.08:
            kill_inference(station)
        until = time.monotonic() + 0.002 * 1000 ** draw.random()
        while (left := until - time.monotonic()) > 0 and station.poll() is None:
            for received in subscriber.messages(left):
                if isinstance(verdict := received.message, Verdict) and verdict.score is not None:
                    is_blind = verdict.bundle.startswith("blind@")
                    assert is_blind == (verdict.score == BLIND), f"seed {seed}: {verdict}"
                    verdicts += 1
                    labels.add(verdict.bundle)
                if time.monotonic() > until:
                    break
    station.kill()
    station.wait()
    subscriber.close()
    print(f"{swaps} swaps, {verdicts} verdicts of {len(labels)} bundles, seed {seed}")


MOVES = [("link", "blind.edge"), ("link", "honest.edge")] + [
    (kind, f"{name}-as-it-was.edge") for kind in ("replaced", "rewritten") for name in ("honest", "honest", "blind")
]
"""The swaps. The kinds `replaced` and `rewritten` put the files of a bundle into the current bundle's folder."""


def kill_inference(station: "subprocess.Popen[bytes]") -> None:
    """Kill the inference process of the station, if it has one now."""
    with suppress(OSError):
        for pid in Path(f"/proc/{station.pid}/task/{station.pid}/children").read_text().split():
            if Path(f"/proc/{pid}/comm").read_text().strip() == "edge-inference":
                os.kill(int(pid), signal.SIGKILL)
