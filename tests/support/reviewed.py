"""Records with pictures for tests of review: verdicts with given scores, and an image for each that a station keeps."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from support.records import enter, payload, recorder, verdict

from edge.records.retention import Keeping
from edge.verdict import Outcome, Verdict

THRESHOLD = 0.5


def scored(
    seq: int, score: float | None, epoch: str = "ab12", part: str | None = None, threshold: float = THRESHOLD
) -> Verdict:
    """A verdict with this score; unknown if it is None."""
    outcome = Outcome.UNKNOWN if score is None else Outcome.REJECT if score >= threshold else Outcome.GOOD
    made = verdict(seq, outcome, epoch, part).model_copy(update={"score": score, "threshold": threshold})
    return made.model_copy(update={"bundle": "part@0123456789ab"})


def record_of(
    folder: Path, verdicts: Sequence[Verdict], every: int = 10, frames: Sequence[np.ndarray] | None = None
) -> Path:
    """A record of one ended run with these verdicts, and the images that `--keep-goods EVERY` keeps, written here.

    `frames` are the pictures by verdict; without them each has random pixels of its own.
    """
    epoch = verdicts[0].epoch
    journal = recorder(folder, epoch, begins=False)
    journal.begin(epoch, "demo", verdicts[0].bundle, json.dumps({"keep_goods": every}))
    enter(journal, *verdicts)
    keeping = Keeping(folder, every)
    for number, one in enumerate(verdicts):
        if keeping.wants(one.verdict, one.seq):
            rng = np.random.default_rng(one.seq)
            frame = rng.integers(0, 256, (24, 32, 3), np.uint8) if frames is None else frames[number]
            path, data = image(folder, one, frame)
            journal.image(epoch, one.seq, path, hashlib.sha256(data).hexdigest(), len(data))
    journal.close("the source has ended", verdicts[-1].seq, patience_s=60)
    return folder


def image(folder: Path, one: Verdict, frame: np.ndarray) -> tuple[str, bytes]:
    """Write the image of a verdict with its sidecar; its path relative to the folder, and its bytes."""
    path = f"images/{one.time[:10]}/{one.epoch}/{one.seq:08}-{one.verdict}.png"
    data = cv2.imencode(".png", frame)[1].tobytes()
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_bytes(data)
    stored = {"path": path, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    sidecar = {"verdict": json.loads(payload(one)), "image": stored}
    (folder / path).with_suffix(".json").write_text(json.dumps(sidecar))
    return path, data
