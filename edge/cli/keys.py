"""edge-keys: keys that say whose bundles a station may run."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from edge.cli import run_app
from edge.errors import KeyFileError

PASSPHRASE = "EDGE_KEY_PASSPHRASE"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def keys() -> None:
    """Make keys, sign bundles with them, and check whose they are."""


@app.command("new-signing-key")
def new_signing_key(
    name: Annotated[str, typer.Argument(help="Name of the key: NAME.key is secret, NAME.pub goes to the stations.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write the two files into.")] = Path(),
    encrypt: Annotated[
        bool, typer.Option("--encrypt", help=f"Lock NAME.key with a passphrase, asked for or from {PASSPHRASE}.")
    ] = False,
) -> None:
    """Make a key pair (Ed25519, PEM) for signing bundles. Nothing is overwritten."""
    from edge import keys as files

    files.require_extra("edge-keys")
    passphrase = _passphrase(confirm=True) if encrypt else None
    public = files.new_signing_key(name, out, passphrase)
    print(f"{out / name}{files.PRIVATE}  keep it secret, off every station", file=sys.stderr)
    print(f"{out / name}{files.PUBLIC}  for edge-run --trust", file=sys.stderr)
    print(files.fingerprint(public))


@app.command("sign-bundle")
def sign_bundle(
    bundle: Annotated[Path, typer.Argument(help="Bundle to sign; its manifest.sig is written.")],
    key: Annotated[Path, typer.Option(metavar="FILE", help="Private key, NAME.key.")],
) -> None:
    """Sign a bundle: its manifest, and so the hash of every file. Other keys' signatures stay."""
    from edge import signature
    from edge.keys import read_private_key, require_extra

    require_extra("edge-keys")
    private = read_private_key(key, _passphrase)
    print(f"{bundle}: signed by {signature.sign_bundle(bundle, private)}")


@app.command("verify-bundle")
def verify_bundle(
    bundle: Annotated[Path, typer.Argument(help="Bundle to check, or the name of a shipped one.")],
    trust: Annotated[list[Path], typer.Option(metavar="FILE", help="Public key, NAME.pub; may be repeated.")],
) -> None:
    """Check a bundle's signature and every hash; runs nothing. Exit code 2, and one line, if it is refused."""
    from edge.bundle import load_bundle
    from edge.shipped import found_bundle
    from edge.signature import Trust

    loaded = load_bundle(found_bundle(bundle), Trust.read(trust))
    print(f"{loaded.path}: {loaded.label}, signed by {loaded.signed_by}")


def _passphrase(confirm: bool = False) -> str:
    if given := os.environ.get(PASSPHRASE):
        return given
    if not sys.stdin.isatty():
        raise KeyFileError(f"the key needs a passphrase and there is no terminal to ask on; put it in {PASSPHRASE}")
    return str(typer.prompt("passphrase", hide_input=True, confirmation_prompt=confirm, err=True))


def main() -> None:
    """Entry point."""
    run_app(app)


if __name__ == "__main__":
    main()
