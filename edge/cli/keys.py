"""edge-keys: signing keys for the bundles that a station may run, and CURVE keys for the clients that may connect."""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.cli import new_app, run_app
from edge.errors import KeyFileError
from edge.security.roles import OF_A_NEW_KEY, Role

if TYPE_CHECKING:
    from edge.security.keystore import KeyStore

PASSPHRASE = "EDGE_KEY_PASSPHRASE"

Folder = Annotated[
    Path | None,
    typer.Option(
        "--keys",
        metavar="DIR",
        help="The station's folder of keys.",
        show_default="$EDGE_KEYS, or ~/.config/edge-inspect/keys",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
ClientName = Annotated[str, typer.Argument(help="Name of the client.")]

app = new_app()


@app.callback()
def keys() -> None:
    """Make and manage keys: for the channel between station and controllers (CURVE), and for signing bundles."""


@app.command("new-signing-key")
def new_signing_key(
    name: Annotated[str, typer.Argument(help="Name of the key: NAME.key is secret, NAME.pub goes to the stations.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write the two files into.")] = Path(),
    encrypt: Annotated[
        bool,
        typer.Option(
            "--encrypt", help=f"Lock NAME.key with a passphrase, that of {PASSPHRASE} or one that is asked for."
        ),
    ] = False,
) -> None:
    """Make a key pair (Ed25519, PEM) for signing bundles. Nothing is overwritten."""
    from edge.security import signing_keys

    signing_keys.require_extra("edge-keys")
    passphrase = _passphrase(confirm=True) if encrypt else None
    public = signing_keys.new_signing_key(name, out, passphrase)
    print(f"{out / name}{signing_keys.PRIVATE}  keep it secret, off every station", file=sys.stderr)
    print(f"{out / name}{signing_keys.PUBLIC}  for edge-run --trust", file=sys.stderr)
    print(signing_keys.fingerprint(public))


@app.command("sign-bundle")
def sign_bundle(
    bundle: Annotated[Path, typer.Argument(help="Bundle to sign; its manifest.sig is written.")],
    key: Annotated[Path, typer.Option(metavar="FILE", help="Private key, NAME.key.")],
) -> None:
    """Sign the manifest of a bundle, and so the hash of every file. Signatures by other keys stay."""
    from edge.bundle import signature
    from edge.security.signing_keys import read_private_key, require_extra

    require_extra("edge-keys")
    private = read_private_key(key, _passphrase)
    print(f"{bundle}: signed by {signature.sign_bundle(bundle, private)}")


@app.command("verify-bundle")
def verify_bundle(
    bundle: Annotated[Path, typer.Argument(help="Bundle to check, or the name of a shipped one.")],
    trust: Annotated[list[Path], typer.Option(metavar="FILE", help="Public key, NAME.pub. Repeatable.")],
) -> None:
    """Check the signature of a bundle and every hash, without running anything. The exit code is 2 if it is refused."""
    from edge.bundle import load_bundle
    from edge.bundle.shipped import found_bundle
    from edge.bundle.signature import Trust

    loaded = load_bundle(found_bundle(bundle), Trust.read(trust))
    print(f"{loaded.path}: {loaded.label}, signed by {loaded.signed_by}")


@app.command()
def init(keys: Folder = None, as_json: AsJson = False) -> None:
    """Make the station's folder of keys and its key pair. After that the station can be bound to a network."""
    from edge.security.certificate import fingerprint

    store = _store(keys)
    digits = fingerprint(store.init().public)
    print(f"{store.folder}  keep it secret, on the station only", file=sys.stderr)
    _report(as_json, {"folder": str(store.folder), "station": digits}, [_line("station", digits)])


@app.command()
def add(
    name: ClientName,
    public_key: Annotated[
        str | None,
        typer.Option(
            metavar="Z85",
            help="The public key of the client, if it made its own pair.",
            show_default="a new pair is made",
        ),
    ] = None,
    role: Annotated[
        Role,
        typer.Option(
            help="What the client may do: see reads, acknowledge also says what became of parts, trigger also triggers "
            "parts, control may do everything."
        ),
    ] = OF_A_NEW_KEY,
    keys: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Admit a client. A running station notices it by itself. To change a role, revoke the client and add it again."""
    client = _store(keys).add(name, public_key, role)
    about = {"name": name, "fingerprint": client.fingerprint, "role": role}
    _report(as_json, about, [f"{role:11}  {_line(name, client.fingerprint)}"])


@app.command("list")
def list_clients(keys: Folder = None, as_json: AsJson = False) -> None:
    """Show the clients with their roles, and the revoked keys. A key that is older than roles has the role control."""
    clients = _store(keys).clients()
    lines = [f"{'revoked' if c.role is None else c.role:11}  {_line(c.name, c.fingerprint)}" for c in clients]
    _report(as_json, {"clients": [vars(client) for client in clients]}, lines)


@app.command()
def revoke(name: ClientName, keys: Folder = None, as_json: AsJson = False) -> None:
    """Refuse the key of a client for ever. A running station cuts its connections within about a second."""
    client = _store(keys).revoke(name)
    _report(as_json, {"name": name, "fingerprint": client.fingerprint}, [f"revoked  {_line(name, client.fingerprint)}"])


@app.command()
def rotate(keys: Folder = None, as_json: AsJson = False) -> None:
    """Give the station a new key. The station must be restarted, and each client needs a new export."""
    from edge.security.certificate import fingerprint

    store = _store(keys)
    pair, old = store.rotate()
    digits = fingerprint(pair.public)
    names = [client.name for client in store.clients() if not client.is_revoked]
    print(f"{old}  keeps the old key", file=sys.stderr)
    print("restart the station; until it is, it keeps the old key", file=sys.stderr)
    if names:
        print(f"each client needs a new file, from edge-keys export: {', '.join(names)}", file=sys.stderr)
    result = {"station": digits, "old": str(old), "export_anew": names}
    _report(as_json, result, [_line("station", digits)])


@app.command()
def export(
    name: ClientName,
    out: Annotated[Path, typer.Option(metavar="FILE", help="File to write. It must not exist yet.")],
    keys: Folder = None,
) -> None:
    """Write the file that a client needs: its key pair and the station's public key, as a ZeroMQ certificate."""
    client = _store(keys).export(name, out)
    print(f"{out}  keep it secret, on {name} only", file=sys.stderr)
    if not client.has_secret:
        print(f'the pair was made elsewhere: add the line secret-key = "..." to {out} there', file=sys.stderr)


@app.command("fingerprint")
def show_fingerprint(
    name: Annotated[
        str | None, typer.Argument(help="Name of a client.", show_default="the station and all clients")
    ] = None,
    keys: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Show fingerprints (SHA-256 of the public key), to compare over the telephone."""
    from edge.security.certificate import fingerprint

    store = _store(keys)
    found = {client.name: client.fingerprint for client in store.clients() if not client.is_revoked}
    if name is not None and name not in found:
        raise KeyFileError(f"no client {name!r} in {store.folder}; edge-keys list shows them")
    if name is not None:
        found = {name: found[name]}
    own = None if name is not None else fingerprint(store.station().public)
    lines = [_line(who, digits) for who, digits in found.items()]
    _report(as_json, {"station": own, "clients": found}, lines if own is None else [_line("station", own), *lines])


def _store(folder: Path | None) -> "KeyStore":
    from edge.security.keystore import KeyStore, default_folder

    return KeyStore(folder or default_folder())


def _line(name: str, digits: str) -> str:
    from edge.security.certificate import spoken

    return f"{spoken(digits)}  {name}"


def _report(as_json: bool, result: Mapping[str, object], lines: list[str]) -> None:
    for line in [json.dumps(result)] if as_json else lines:
        print(line)


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
