"""Damaged files of every format: no frame slips through a checksum, and none is left out. Full size: `make drill`."""

import os
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.damage.__main__ import rendered_parts
from benchmarks.damage.formats import FORMATS, Format
from benchmarks.damage.trial import KINDS, trials

FILES = int(os.environ.get("EDGE_FAULT_FILES", len(FORMATS) * 24))
"""Damaged files in all."""


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_no_damaged_frame_is_judged_where_a_checksum_proves_it_and_none_is_left_out(
    form: Format, tmp_path: Path
) -> None:
    found: Counter[str] = Counter()
    for one in trials(form, rendered_parts((180, 320)), FILES // len(FORMATS), tmp_path, seed=1):
        found += one
    assert found.total() >= FILES // len(FORMATS)
    assert not form.counts or not [key for key in found if key.endswith("left out")]
    slipped = [key for key in found if key.endswith("slipped")]
    assert not [key for key in slipped if form.has_checksum or (form.counts and key.startswith("truncated"))]
    assert all(found[f"{kind}: unknown"] for kind in KINDS if form.has_checksum)
