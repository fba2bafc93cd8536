"""A setting that is measured in a process of its own: with which instructions, and what is left of it."""

import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest
from running import DEMO_BUNDLE

from edge.backends import is_float32
from edge.backends.openvino import ISA, WITHOUT_AMX, pass_over_amx
from edge.backends.options import Options
from edge.bench.apart import Apart
from edge.bench.result import Setting
from edge.bundle import load_bundle

SHAPE = (90, 160)
SETTING = Setting(
    artifact="openvino", backend="openvino", precision="f32", threads=1, is_static=True, height=90, width=160
)


@pytest.mark.parametrize(("given", "expected"), [(None, None), ("AVX2", "AVX2")])
def test_a_process_chooses_its_instructions_whatever_the_one_that_started_it_chose_for_itself(
    given: str | None, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.backends.openvino._set_here", set())
    monkeypatch.setenv(ISA, given or "")
    if given is None:
        monkeypatch.delenv(ISA)
    pass_over_amx()
    before = multiprocessing.active_children()
    apart = Apart(load_bundle(DEMO_BUNDLE), SETTING, [np.zeros((*SHAPE, 3), np.uint8)])
    (process,) = (one for one in multiprocessing.active_children() if one not in before)
    begun_with = dict(one.split("=", 1) for one in Path(f"/proc/{process.pid}/environ").read_text().split("\0") if one)
    assert begun_with.get(ISA) == expected
    assert os.environ[ISA] == (given or WITHOUT_AMX), "here it stays as it was chosen"
    del apart
    process.join(20)
    assert process.exitcode == 0, "it ends with the last that could ask it"


def test_amx_is_passed_over_only_where_all_that_openvino_may_run_is_float32() -> None:
    bundle = load_bundle(DEMO_BUNDLE)
    assert is_float32(bundle, Options(1))
    assert not is_float32(bundle, Options(1, "bf16"))
    int8 = bundle.artifact("openvino").model_copy(update={"precision": "int8"})
    bundle.manifest.artifacts["openvino-int8"] = int8
    assert not is_float32(bundle, Options(1))
