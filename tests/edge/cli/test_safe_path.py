"""Python files in the current folder are not executed, neither by a command nor by a process that it starts."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.line import DEMO_BUNDLE, ROOT, free_endpoint

from edge.bench.result import Setting
from edge.bench.subprocess_run import Apart
from edge.bundle import load_bundle

PACKAGES = ["edge", "export", "train", "numpy", "cv2", "zmq", "pydantic", "typer", "openvino", "onnxruntime", "torch"]


@pytest.fixture
def trapped(tmp_path: Path) -> Path:
    """A folder with a package for each module name of Python's library; each writes the file TRAPPED if imported."""
    folder = tmp_path / "trapped"
    for name in [*sys.stdlib_module_names, *PACKAGES]:
        (folder / name).mkdir(parents=True)
        says = f"{name!r} + ' in ' + open('/proc/self/cmdline').read() + chr(10)"
        (folder / name / "__init__.py").write_text(f"open({str(tmp_path / 'TRAPPED')!r}, 'a').write({says})")
    return folder


def script(folder: Path, name: str) -> Path:
    """A script that runs a command, as written by pip: Python searches modules beside the script, not in the current
    folder.
    """
    file = folder / f"edge-{name}"
    file.write_text(f"#!{sys.executable}\nfrom edge.cli.{name} import main\nif __name__ == '__main__':\n    main()\n")
    file.chmod(0o755)
    return file


@pytest.mark.parametrize(
    ("name", "arguments", "code"),
    [
        ("run", ["--source", "demo", "--size", "320x180", "--limit", 3, "--records", "record"], 0),
        ("verify", [DEMO_BUNDLE, "--backend", "onnxruntime"], 0),
        ("keys", ["new-signing-key", "lab"], 0),
        ("audit", ["record"], 2),
        ("demo", ["data", "--train", 2, "--val", 1, "--test", 1], 0),
        ("bench", [DEMO_BUNDLE, "--size", "320x180", "--quick", "--frames", 30, "--threads", 1, "--paced-s", 0], 0),
        ("listen", ["--once", "--wait-s", 1], 2),
        ("gate", ["--help"], 0),
    ],
)
def test_no_command_executes_what_lies_in_the_current_folder(
    trapped: Path, name: str, arguments: list[object], code: int
) -> None:
    more = ["--bind", free_endpoint(), "--bundle", DEMO_BUNDLE] if name == "run" else []
    more += ["--connect", free_endpoint()] if name == "listen" else []
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONSAFEPATH"} | {"PYTHONPATH": path}
    command = [script(trapped.parent, name), *map(str, arguments), *more]
    done = subprocess.run(command, cwd=trapped, env=environment, capture_output=True, text=True, timeout=200)
    trap = trapped.parent / "TRAPPED"
    assert not trap.exists(), trap.read_text()
    assert done.returncode == code, done.stderr


def test_a_setting_measured_apart_executes_nothing_of_the_current_folder(
    trapped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep))
    monkeypatch.chdir(trapped)
    setting = Setting(
        artifact="openvino", backend="openvino", precision="f32", threads=1, is_static=True, height=90, width=160
    )
    apart = Apart(load_bundle(DEMO_BUNDLE), setting, [np.zeros((90, 160, 3), np.uint8)])
    assert apart.typical_ms > 0
    assert not (tmp_path / "TRAPPED").exists(), (tmp_path / "TRAPPED").read_text()
    assert "PYTHONSAFEPATH" not in os.environ
