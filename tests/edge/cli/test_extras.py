"""A command whose optional packages are not installed names the packages to install, in one line."""

import os
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from support.line import DEMO_BUNDLE, ROOT


def needed(name: str, extras: tuple[str, ...] = ()) -> set[str]:
    """The distributions that are installed with `name` and these extras, without `name` itself."""
    found: set[str] = set()
    left = [(name, extras)]
    while left:
        one, wanted = left.pop()
        try:
            requirements = distribution(one).requires or []
        except PackageNotFoundError:  # a marker of another platform
            continue
        for requirement in requirements:
            name_and_extras, _, marker = requirement.partition(";")
            if (extra := re.search(r"extra == ['\"](.*?)['\"]", marker)) and extra[1] not in wanted:
                continue
            match = re.match(r"([\w.-]+)(?:\[(.*?)\])?", name_and_extras)
            assert match is not None
            further = match[1].lower(), tuple((match[2] or "").split(",")) if match[2] else ()
            if further[0] not in found or further[1]:
                found.add(further[0])
                left.append(further)
    return found - {name}


@pytest.fixture(scope="module")
def environments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """For each set of extras a folder with links to its installed packages, and no others."""
    made = {}
    for extras in ((), ("verify",)):
        folder = tmp_path_factory.mktemp("packages")
        for name in needed("edge-inspect", extras):
            try:
                files = distribution(name).files or []
            except PackageNotFoundError:
                continue
            tops = {file.parts[0] for file in files} - {"..", "__pycache__"}
            for top in tops:
                link = folder / top
                if not link.exists():
                    link.symlink_to(Path(str(distribution(name).locate_file(top))))
        made["+".join(extras)] = folder
    return made


COMMANDS = [
    ("", "train.cli", ["inspector", "--data", "photographs", "--out", "run"], "train"),
    ("", "train.report.cli", ["run"], "train"),
    ("", "export.cli", ["run", "--out", "x.edge"], "export"),
    ("", "export.cli", ["--onnx", "model.onnx", "--output", "score=y", "--out", "x.edge"], "export"),
    ("", "edge.cli.verify", [str(DEMO_BUNDLE), "--data", "photographs"], "verify"),
    ("", "edge.cli.bench", [str(DEMO_BUNDLE), "--html", "page.html"], "verify"),
    ("", "edge.cli.keys", ["new-signing-key", "lab"], "keys"),
    ("", "edge.cli.plc", ["--config", "mqtt.toml", "--modbus", "0", "--insecure"], "plc"),
    ("", "edge.cli.plc", ["--config", "opcua.toml", "--modbus", "0", "--insecure"], "plc"),
    ("", "edge.cli.plc", ["--config", "s7.toml", "--modbus", "0", "--insecure"], "plc"),
    ("", "edge.cli.plc", ["--config", "logix.toml", "--modbus", "0", "--insecure"], "plc"),
    ("verify", "train.cli", ["inspector", "--data", "photographs", "--out", "run"], "train"),
]


@pytest.mark.parametrize(("installed", "module", "arguments", "extra"), COMMANDS)
def test_a_command_without_its_packages_says_in_one_line_what_to_install(
    environments: dict[str, Path], installed: str, module: str, arguments: list[str], extra: str, tmp_path: Path
) -> None:
    (tmp_path / "photographs" / "good").mkdir(parents=True)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    (tmp_path / "model.onnx").write_bytes(b"")
    (tmp_path / "mqtt.toml").write_text('[plc.mqtt]\nbroker = "127.0.0.1"\n')
    (tmp_path / "opcua.toml").write_text("[plc.opcua]\n")
    (tmp_path / "s7.toml").write_text('[plc.s7]\naddress = "127.0.0.1"\ndb = 1\n')
    (tmp_path / "logix.toml").write_text('[plc.logix]\naddress = "127.0.0.1"\n')
    path = os.pathsep.join([str(environments[installed]), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-S", "-P", "-c", f"from {module} import main; main()", *arguments],
        cwd=tmp_path, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert line.endswith(f"pip install 'edge-inspect[{extra}]'")
