"""A process keeps the memory of large tensors, and does not have it cleared again at each use."""

import subprocess
import sys

import pytest
from support.line import ROOT

ALLOCATE = """
import resource, sys, torch
if sys.argv[1] == "keep":
    from train.allocator import keep_large_blocks
    assert keep_large_blocks()
for _ in range(20):
    torch.ones(16 << 20)  # 64 MiB
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_large_blocks_are_kept() -> None:
    def page_faults(how: str) -> int:
        done = subprocess.run(
            [sys.executable, "-c", ALLOCATE, how], cwd=ROOT, capture_output=True, text=True, check=True
        )
        return int(done.stdout)

    each = (64 << 20) // 4096
    assert page_faults("leave") - page_faults("keep") > 10 * each
