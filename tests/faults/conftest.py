"""A slow disk."""

import shutil
import subprocess
from pathlib import Path

import pytest

SLOW_FSYNC = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>
static int slow(const char *name, int fd) {
    const char *file = getenv("SLOW_FROM_NOW_ON");
    if (file && access(file, F_OK) == 0) usleep(2000000);
    return ((int (*)(int))dlsym(RTLD_NEXT, name))(fd);
}
int fsync(int fd) { return slow("fsync", fd); }
int fdatasync(int fd) { return slow("fdatasync", fd); }
"""


@pytest.fixture
def slow_fsync(tmp_path: Path) -> dict[str, str]:
    """Environment in which each fsync takes two seconds as long as the file `slow` exists."""
    if shutil.which("gcc") is None:
        pytest.skip("a slow disk is made with gcc, which is not installed")
    library = tmp_path / "slow_fsync.so"
    command = ["gcc", "-shared", "-fPIC", "-o", str(library), "-x", "c", "-", "-ldl"]
    subprocess.run(command, input=SLOW_FSYNC, text=True, check=True)
    return {"LD_PRELOAD": str(library), "SLOW_FROM_NOW_ON": str(tmp_path / "slow")}
