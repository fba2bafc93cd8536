"""Converts settings to the configuration of a station and the request for a source."""

from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edge.errors import ConfigError
from edge.sources import ExposureSettings, SourceRequest, SourceSettings, kind_of
from edge.station.capture.envelope import Envelope
from edge.station.config.resolved import Product, StationConfig, default_records
from edge.station.config.settings import GIB, Settings, flag

EXPOSURE = tuple(one.name for one in fields(ExposureSettings))


def bundle_of(settings: Settings) -> Path:
    """Folder of the bundle, or of the first product's. Raises BundleError if there is none of that name."""
    from edge.bundle.shipped import DEMO, found_bundle, shipped_bundle

    named = settings.products[0].bundle if settings.products else settings.bundle
    return found_bundle(named) if named is not None else shipped_bundle(DEMO)


def is_demo(settings: Settings) -> bool:
    """Whether the demonstration bundle runs because no bundle is given."""
    return settings.bundle is None and not settings.products


def _products(settings: Settings) -> tuple[Product, ...]:
    from edge.bundle.shipped import found_bundle

    exposures = _exposures(settings)
    return tuple(
        Product(
            one.name, one.number, found_bundle(one.bundle), one.budget_ms or settings.budget_ms, one.envelope, exposure
        )
        for one, exposure in zip(settings.products, exposures, strict=True)
    )


def _exposures(settings: Settings) -> list[ExposureSettings | None]:
    """How the camera exposes each product; None for all if no product says it. Raises ConfigError if the camera cannot
    change it, or if a value would remain from the product before.
    """
    products = settings.products
    given = [key for key in EXPOSURE if any(getattr(one, key) is not None for one in products)]
    if not given:
        return [None for _ in products]
    if settings.trigger == "presence":
        raise ConfigError(
            f"products: {' and '.join(given)}: with trigger = presence all products are exposed alike; leave it out"
        )
    kind = kind_of(settings.source or "")
    if kind is None or not kind.has_exposure:
        raise ConfigError(f"products: {' and '.join(given)} can be set of genicam cameras only, not of this source")
    resolved: list[ExposureSettings | None] = []
    for one in products:
        own = {key: _first(getattr(one, key), getattr(settings.camera, key)) for key in given}
        if open_ones := [key for key, value in own.items() if value is None]:
            raise ConfigError(
                f"product {one.name} has no {open_ones[0]}, which another product has: give it there, or camera."
                f"{open_ones[0]} for all that have none"
            )
        resolved.append(ExposureSettings(**own))
    return resolved


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


def _check_envelopes(settings: Settings) -> None:
    """Raise ConfigError if the envelope of a product cannot be read, or is not compared on this line."""
    for one in settings.products:
        if one.envelope is None:
            continue
        if settings.trigger == "presence":
            raise ConfigError(
                f"product {one.name}: with trigger = presence the line has one envelope; leave out its own"
            )
        Envelope.read(one.envelope)


def to_config(settings: Settings, bundle: Path, simulated: bool) -> StationConfig:
    """The station's configuration. Raises ConfigError if settings do not fit together, or if zxing-cpp is missing,
    BundleError if a product's bundle is not there.
    """
    s = settings
    assert s.source is not None
    if s.source == "belt" and s.trigger != "presence":
        raise ConfigError("source belt shows parts that run through its frames: give --trigger presence, too")
    if s.products and s.bundle is not None:
        raise ConfigError("bundle and products are given, and each product has its bundle; leave out bundle")
    if s.trigger != "external" and _is_told(s):
        raise ConfigError("a camera with trigger = software waits to be told: give --trigger external, too")
    if s.challenge is not None and s.records is False:
        raise ConfigError("challenge needs records, where its results are kept; leave out --no-records")
    _check_envelopes(s)
    if s.candidates is not None and not s.candidates.is_dir():
        raise ConfigError(f"candidates: {s.candidates} is no folder")
    _check_codes(s)
    records = None if s.records is False else s.records or default_records(s.station)
    other = {"bundle": bundle, "simulated": simulated, "required": s.require, "regions": s.region, "records": records}
    other |= {"products": _products(s)}
    room = {"keep_bytes": int(s.keep_gib * GIB), "keep_journal_bytes": int(s.keep_journal_gib * GIB)}
    return StationConfig(**_same(s, StationConfig) | other | room)


def _check_codes(settings: Settings) -> None:
    """Raise ConfigError if codes cannot be read as the settings say."""
    if settings.read_code is None:
        for key in ("code_formats", "code_region", "code_pattern"):
            if getattr(settings, key) != Settings.model_fields[key].default:
                raise ConfigError(f"{flag(key)} says which code is read: give {flag('read_code')} NAME, too")
    elif find_spec("zxingcpp") is None:
        remedy = "pip install 'edge-inspect[codes]'"
        raise ConfigError(f"{flag('read_code')} needs zxing-cpp, which is not installed: {remedy}")


def _same(settings: Settings, kind: type[SourceSettings]) -> dict[str, Any]:
    """The settings that `kind` has under the same names; size as (height, width)."""
    from edge.sources.size import parse_size

    size = None if settings.size is None else parse_size(settings.size)
    same = {one.name for one in fields(kind)} & set(Settings.model_fields)
    return {key: getattr(settings, key) for key in same} | {"size": size}


def _is_told(settings: Settings) -> bool:
    """Whether the source is an industrial camera with a software trigger."""
    trigger = settings.camera.trigger
    if settings.source is None or trigger is None or trigger.lower() != "software":
        return False
    kind = kind_of(settings.source)
    return kind is not None and kind.has_software_trigger


def source_request(settings: Settings, limit: int) -> SourceRequest:
    """The request for the source, for `limit` pictures. Raises ConfigError if the camera waits for a trigger."""
    assert settings.source is not None
    if _is_told(settings):
        raise ConfigError("a camera with trigger = software waits to be told; add --camera trigger=off to look at it")
    return SourceRequest(settings.source, **_same(settings, SourceSettings) | {"limit": limit})
