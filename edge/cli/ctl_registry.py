"""edge-ctl pull and push: bundles from and to an OCI registry."""

import json
from pathlib import Path
from typing import Annotated

import typer

from edge.errors import EdgeError

FORM = "HOST[:PORT]/NAME:TAG"

PlainHttp = Annotated[
    bool, typer.Option("--plain-http", help="The registry is reached without TLS; on loopback that is meant anyway.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def pull(
    reference: Annotated[str, typer.Argument(metavar=f"{FORM}|…@sha256:DIGEST", help="The bundle in the registry.")],
    into: Annotated[Path, typer.Option(metavar="DIR", help="Folder, as that of a station's --candidates.")],
    trust: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Public key; only a bundle that one of these signed is kept. Repeatable."),
    ] = None,
    plain_http: PlainHttp = False,
    as_json: AsJson = False,
) -> None:
    """Put a bundle from an OCI registry into a folder, checked; edge-ctl load loads it.

    By a digest it is exactly that bundle; of a tag the digest is printed.
    """
    from edge.bundle import registry
    from edge.bundle.signature import Trust
    from edge.terminal.progress import Progress

    asked = registry.Reference.parse(reference)
    if not into.is_dir():
        raise EdgeError(f"--into {into}: no such folder")
    with Progress() as progress:
        place, digest = registry.pull(asked, into, Trust.read(trust or []), plain_http, progress.begin)
    said = {"bundle": place.name, "folder": str(place), "digest": digest}
    print(json.dumps(said) if as_json else f"{place.name}  {asked.host}/{asked.name}@{digest}")


def push(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder of a bundle.")],
    reference: Annotated[str, typer.Argument(metavar=FORM, help="Where in the registry.")],
    plain_http: PlainHttp = False,
    as_json: AsJson = False,
) -> None:
    """Put a bundle into an OCI registry, under a tag. Logins are those of docker login or oras login."""
    from edge.bundle import load_bundle, registry
    from edge.bundle.shipped import found_bundle
    from edge.terminal.progress import Progress

    asked = registry.Reference.parse(reference)
    with Progress() as progress:
        digest = registry.push(load_bundle(found_bundle(bundle)), asked, plain_http, progress.begin)
    print(json.dumps({"digest": digest}) if as_json else f"{asked.host}/{asked.name}@{digest}")
