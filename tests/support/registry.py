"""Debian's docker-registry as a real OCI registry, with or without a login."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.broker import free_port
from support.plc import until

needs_registry = pytest.mark.skipif(
    shutil.which("docker-registry") is None,
    reason="docker-registry is not installed (Debian: apt-get install docker-registry)",
)

ANA = "ana:$2b$05$mk1Tqtd08oCNaGWZ9BDFCeiICKwsSzUqT37t8VA6Yqhx8ggcadQYG"
"""A line of an htpasswd file: the password is `secret`, hashed with the least rounds of bcrypt."""


@dataclass
class Registry:
    """A running registry: its host and port, and the folder of its blobs."""

    host: str
    folder: Path

    def blob(self, digest: str) -> Path:
        """The file of a blob."""
        name = digest.removeprefix("sha256:")
        return self.folder / "docker" / "registry" / "v2" / "blobs" / "sha256" / name[:2] / name / "data"


@contextmanager
def running_registry(folder: Path, htpasswd: str | None = None) -> Iterator[Registry]:
    """A registry that is killed at the end; with `htpasswd`, the lines of such a file, it wants a login."""
    port = free_port()
    folder.mkdir(parents=True)
    lines = ["version: 0.1", "log: {level: error}", "storage:", f"  filesystem: {{rootdirectory: {folder}}}"]
    lines += ["http:", f"  addr: 127.0.0.1:{port}"]
    if htpasswd is not None:
        (folder / "htpasswd").write_text(htpasswd + "\n")
        lines += ["auth:", f"  htpasswd: {{realm: tests, path: {folder / 'htpasswd'}}}"]
    (folder / "config.yml").write_text("\n".join(lines) + "\n")
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(["docker-registry", "serve", folder / "config.yml"], stdout=log, stderr=log)

    def answers() -> bool:
        assert process.poll() is None, (folder / "log.txt").read_text()
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return False
        return True

    try:
        until(answers)
        yield Registry(f"127.0.0.1:{port}", folder)
    finally:
        process.kill()
        process.wait()
