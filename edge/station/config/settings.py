"""The keys of a station's configuration: one definition for the file, the flags, the documentation and the checks."""

import difflib
import re
import tomllib
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from edge.errors import ConfigError
from edge.letterbox.contract import RegionOfInterest
from edge.pictures.contract import Bits
from edge.presence import Presence
from edge.sources import BeltSettings, CameraSettings, Rate, SourceRequest, SourceSettings, kind_of
from edge.sources.address import redacted
from edge.station.config.resolved import StationConfig, default_records
from edge.text import dotted

GIB = 2**30
CAMERA: dict[str, str] = {one.name: one.metadata["takes"] for one in fields(CameraSettings)}
"""The settings of a camera: what each takes."""

PARTS = {
    "camera": ("a camera", tuple(CAMERA)),
    "presence": ("presence", tuple(Presence.model_fields)),
    "belt": ("a belt", tuple(BeltSettings.__dataclass_fields__)),
    "regions": ("a region", tuple(RegionOfInterest.model_fields)),
}
"""Of the keys that have keys of their own: what has them, and which."""

SWITCHES = frozenset({"alone"})
"""Of these keys, those that are true or false."""

TABLES = "stations"
"""The list of tables, one for each station, over the keys above them."""

PATHS = frozenset({"bundle", "keys", "trust", "records", "envelope"})


TRUTHS = frozenset({"", "true", "false", "yes", "no", "on", "off", "none", "null"})
"""What nobody calls a file: somebody meant a truth, or nothing."""


def _no_truth(said: Any) -> Any:
    """A path as it was said. Raises ValueError if that is a truth in quotes, or nothing."""
    if isinstance(said, str | Path) and str(said).strip().lower() in TRUTHS:
        raise ValueError("that names no file; true and false are written without quotes")
    return said


_Named = Annotated[Path, BeforeValidator(_no_truth)]


class Settings(BaseModel):
    """What a person may say of a station; None is what the description says of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str | None = Field(
        None, min_length=1, description="demo, camera0, /dev/v4l/by-id/…, a video file, a folder of pictures"
    )
    bundle: _Named | None = Field(
        None, description="bundle to run, or the name of a shipped one; else the demonstration"
    )
    station: str = Field("line1", min_length=1, description="name of the station, part of every topic")
    bind: str = Field("tcp://127.0.0.1:5570", min_length=1, description="endpoint for verdicts")
    control: str | None = Field(
        None, min_length=1, description="endpoint for what controllers ask; else the next port after bind"
    )
    viewers: str | None = Field(
        None, min_length=1, description="endpoint where viewers hear the same; else the port after that"
    )
    keys: _Named | None = Field(None, description="folder of edge-keys: encrypt, and let in only the clients it names")
    insecure: StrictBool = Field(False, description="allow endpoints that the network can reach without keys")
    require: tuple[str, ...] = Field((), description="controllers without which, after 500 ms, the line is suspended")
    trigger: Literal["free", "external", "presence"] = Field(
        "free",
        description="a part for each frame, for each trigger message on the control socket, or for each part that is "
        "seen to pass",
    )
    presence: Presence = Field(
        Presence(),
        description="of the trigger presence: axis of the belt in the frame, x or y; smallest part as a share of the "
        "frame; frames of each that are scored, and their aggregate, max or mean; alone: neighbours are covered",
    )
    policy: Literal["every", "latest"] | None = Field(
        None, description="every frame in order, or the latest one; else latest of a camera, every of all others"
    )
    budget_ms: float = Field(500.0, ge=1, le=600_000, description="longest time from capture to verdict, ms")
    stale_ms: float = Field(1000.0, gt=0, description="a live frame older than this when it comes is not judged, ms")
    envelope: _Named | None = Field(
        None, description="file of brightness and sharpness from --commission; frames outside are not judged"
    )
    regions: tuple[RegionOfInterest, ...] = Field(
        (), description="parts of the frame that the model is shown, each by itself, px; the worst score decides"
    )
    camera: CameraSettings = Field(
        CameraSettings(),
        description="settings of a camera, as it is where nothing is said: "
        + "; ".join(f"{key}: {takes}" for key, takes in CAMERA.items()),
    )
    resume_frames: int = Field(
        3, ge=0, le=10_000, description="good frames in a row that a lost camera must give before the line goes on"
    )
    belt: BeltSettings = Field(
        BeltSettings(), description="of the source belt: speed in frame widths a second, pitch in frame widths, jitter"
    )
    backend: str = Field(
        "auto", min_length=1, description="artifact of the bundle to run; auto: the fastest here, measured once"
    )
    threads: int | None = Field(None, ge=1, le=256, description="threads of an inference; else one for each core")
    spinning: StrictBool = Field(
        False, description="let threads of onnxruntime wait busily for their next work: faster, and takes cores"
    )
    keep_warm: StrictBool = Field(
        False, description="run the model shortly before each part is expected, so that it does not start cold"
    )
    tuned: StrictBool = Field(True, description="use what edge-bench tune found here, for keys that nobody said")
    streams: int = Field(
        1, ge=1, le=256, description="frames inferred at once where stations share a model; they share the threads"
    )
    size: str | None = Field(
        None, min_length=1, description="WIDTHxHEIGHT of a source that can choose, pixels, as 1280x720"
    )
    bits: Bits | None = Field(
        None,
        description="significant bits of stored pictures of 16 bits a sample: 10, 12, 14 or 16; else those of the "
        "bundle, else a picture has to fill its 16",
    )
    rate: Rate | None = Field(
        None, description="pictures a second of a source that can be paced, or file: as a video says; else its own"
    )
    limit: int | None = Field(None, ge=1, description="stop after so many pictures of the source")
    loop: StrictBool = Field(False, description="begin a folder or video again at its end")
    watch: StrictBool = Field(False, description="show what other programs put into a folder, too: it never ends")
    seed: int = Field(0, ge=0, description="seed of the demo line")
    wait_subscribers: int = Field(
        0,
        ge=0,
        description="judge nothing until so many subscriptions are there: a source that can wait does, what a camera "
        "shows before that is of no part, and triggers are refused",
    )
    trust: tuple[_Named, ...] = Field((), description="public keys: run only a bundle that one of these signed")
    records: Path | Literal[False] | None = Field(
        None, description="folder of journal and images; false: keep none; else in the user's folder of states"
    )
    keep_goods: int = Field(100, ge=0, description="keep the image of one good in so many, 0: of none")
    keep_gib: float = Field(50.0, gt=0, description="room for images, GiB; the oldest goods go first, rejects last")
    keep_days: float | None = Field(None, gt=0, description="days that images are kept; else for ever")
    metrics: str | None = Field(
        None, min_length=1, description="HOST:PORT or PORT of a page for Prometheus; else there is none"
    )

    @field_validator("*", mode="before")
    @classmethod
    def _check_truth(cls, said: Any, info: ValidationInfo) -> Any:
        """Pydantic takes true for the number 1."""
        key = str(info.field_name)
        if isinstance(said, bool) and key != "records" and cls.model_fields[key].annotation is not bool:
            raise ValueError("true and false mean nothing here")
        for part in said if isinstance(said, list | tuple) else (said,):
            for name, value in part.items() if isinstance(part, dict) else ():
                if isinstance(value, bool) and name not in SWITCHES:
                    raise ValueError(f"{name} = {value}: true and false mean nothing here")
        return said

    @field_validator("records", mode="plain")
    @classmethod
    def _check_records(cls, said: Any) -> Path | Literal[False] | None:
        if said is None or said is False:
            return said
        if not isinstance(said, str | Path):
            raise ValueError("give a folder, or false")
        return Path(_no_truth(said))

    @field_validator("rate", mode="plain")
    @classmethod
    def _check_rate(cls, said: Any) -> Rate | None:
        if said is None:
            return None
        if said == "file":
            return "file"
        try:
            rate = 0.0 if isinstance(said, bool) else float(said)
        except (TypeError, ValueError):
            rate = 0.0
        if not 0 < rate < float("inf"):
            raise ValueError("give pictures a second, more than 0, or file")
        return rate


Origin = Annotated[str, "where a value came from: default, the file's name, or the flag"]


class Effective(NamedTuple):
    """The settings of a run, and where each came from."""

    settings: Settings
    origins: dict[str, Origin]


def effective(file: Path | None, flags: dict[str, Any]) -> Effective:
    """Defaults, then the file, then the flags that were given: those that are not None.

    Raises ConfigError, in one line with the key and the remedy.
    """
    return merged([] if file is None else [(checked(file, read(file)), str(file))], flags)


def merged(layers: Sequence[tuple[dict[str, Any], Origin]], flags: dict[str, Any]) -> Effective:
    """Defaults, then these layers, each with where it is from, then the flags that were given. Raises ConfigError."""
    origins: dict[str, Origin] = dict.fromkeys(Settings.model_fields, "default")
    said: dict[str, Any] = {}
    for layer, origin in layers:
        said |= layer
        origins |= dict.fromkeys(layer, origin)
    given = {key: value for key, value in flags.items() if value is not None}
    if "camera" in given and isinstance(said.get("camera"), dict):
        given["camera"] = said["camera"] | given["camera"]
    origins |= {key: flag(key) for key in given}
    try:
        return Effective(Settings.model_validate(said | given), origins)
    except ValidationError as error:
        unknown = ("unexpected_keyword_argument", "extra_forbidden")
        first = min(error.errors(), key=lambda one: one["type"] not in unknown)  # a wrong name explains a missing one
        key = str(first["loc"][0])
        where = dotted(first["loc"])
        if first["type"] in unknown:
            raise ConfigError(f"{origins[key]}: no such setting: {where}; {_nearest_setting(where)}") from error
        said_of = first["msg"].removeprefix("Value error, ")
        takes = f"give {CAMERA[str(first['loc'][1])]}" if where.startswith("camera.") else f"{key} is: {about(key)}"
        raise ConfigError(f"{origins[key]}: {where} = {first['input']!r}: {said_of}; {takes}") from error


def flag(key: str) -> str:
    """The flag of a key."""
    return "--region" if key == "regions" else f"--{key.replace('_', '-')}"


def parse_region(text: str) -> dict[str, int]:
    """A region as a flag says it, LEFT,TOP,WIDTHxHEIGHT. Raises ConfigError if it is none."""
    match = re.fullmatch(r"(\d+),(\d+),(\d+)[x×](\d+)", text.strip().lower())
    if match is None:
        raise ConfigError(f"--region {text!r}: give left, top, width and height in pixels, as in 100,50,640x480")
    return dict(zip(("left", "top", "width", "height"), map(int, match.groups()), strict=True))


def parse_camera(texts: list[str]) -> dict[str, Any]:
    """Settings of a camera as flags say them, KEY=VALUE each, region as x,y,WIDTHxHEIGHT; the last of a key counts.

    Raises ConfigError if one is none. Whether key and value can be is asked by `effective`.
    """
    settings: dict[str, Any] = {}
    for text in texts:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not (key and equals and value):
            raise ConfigError(f"--camera {text!r}: give KEY=VALUE, as in exposure_us=5000")
        settings[key] = value
    if "region" in settings:
        match = re.fullmatch(r"(\d+),(\d+),(\d+)[x×](\d+)", settings["region"].lower())
        if match is None:
            raise ConfigError(
                f"--camera region={settings['region']}: give x, y, width and height on the sensor, as in 0,0,640x480"
            )
        settings["region"] = tuple(map(int, match.groups()))
    return settings


def _nearest_setting(where: str) -> str:
    owner, keys = PARTS[where.partition(".")[0]]
    near = difflib.get_close_matches(where.rpartition(".")[2].replace("-", "_"), keys, 1, 0.5)
    return f"did you mean {near[0]}?" if near else f"{owner} has {', '.join(keys)}"


def about(key: str) -> str:
    """What a key is, in words."""
    return str(Settings.model_fields[key].description)


def read(file: Path) -> dict[str, Any]:
    """What a configuration file says. Raises ConfigError."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror}); edge-run --print-config writes one") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not TOML: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"{file}: values within values, too deep; edge-run --print-config writes one") from error


def _are_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)


def checked(file: Path, said: dict[str, Any], origin: Origin | None = None) -> dict[str, Any]:
    """What the file says, or a table of it called `origin`, by key, paths as seen from here. Raises ConfigError."""
    for key, value in said.items():
        is_table = isinstance(value, dict) or _are_tables(value)
        if is_table and (key == "station" or (_are_tables(value) and key not in Settings.model_fields)):
            near = difflib.get_close_matches(key, (TABLES, "regions"), 1)
            if near != [key]:
                remedy = f"did you mean [[{near[0]}]]?" if near else f"each station is a table [[{TABLES}]]"
                raise ConfigError(f"{origin or file}: no such table: {key}; {remedy}")
        if key not in Settings.model_fields:
            near = difflib.get_close_matches(key.replace("-", "_"), Settings.model_fields, 1)
            remedy = f"did you mean {near[0]}?" if near else "edge-run --print-config shows the keys"
            raise ConfigError(f"{origin or file}: no such key: {key}; {remedy}")
    return {key: _found(file, value) if key in PATHS else value for key, value in said.items()}


def _found(file: Path, said: Any) -> Any:
    """A path as the file says it: from the folder that the file lies in, unless it is a name of something else."""
    if isinstance(said, list):
        return [_found(file, one) for one in said]
    if not isinstance(said, str) or not said or (Path(said).parent == Path() and not (file.parent / said).exists()):
        return said
    try:
        return str(file.parent / Path(said).expanduser())
    except RuntimeError as error:
        raise ConfigError(f"{file}: {said!r}: no home folder is known for it; write the whole path") from error


def as_toml(effective: Effective) -> str:
    """The settings as a file that says where each value came from; a key that is not set is a comment."""
    lines = []
    for key in Settings.model_fields:
        lines += [f"# {about(key)}", as_line(effective, key)]
    return "\n".join(lines) + "\n"


def as_line(effective: Effective, key: str) -> str:
    """A key of a file that says so, and where its value came from."""
    value = getattr(effective.settings, key)
    if value is None:
        return f"# {key} ="
    if key == "source":
        value = redacted(value)  # what is printed is shown to others
    return f"{key} = {_toml(value)}  # {effective.origins[key]}"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, BaseModel):
        return _toml(dict(value))
    if isinstance(value, CameraSettings | BeltSettings):
        return _toml({key: inner for key, inner in vars(value).items() if inner is not None})
    if isinstance(value, dict):
        inside = ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def to_config(settings: Settings, bundle: Path, simulated: bool) -> StationConfig:
    """What the station is asked to do, with this bundle."""
    s = settings
    assert s.source is not None
    if s.source == "belt" and s.trigger != "presence":
        raise ConfigError("source belt shows parts that run through its frames: give --trigger presence, too")
    if s.trigger != "external" and _is_told(s):
        raise ConfigError("a camera with trigger = software waits to be told: give --trigger external, too")
    records = None if s.records is False else s.records or default_records(s.station)
    other = {"bundle": bundle, "simulated": simulated, "required": s.require, "records": records}
    return StationConfig(**_same(s, StationConfig) | other | {"keep_bytes": int(s.keep_gib * GIB)})


def _same(settings: Settings, kind: type[SourceSettings]) -> dict[str, Any]:
    """The values that `kind` has by the same names; a size as (height, width)."""
    from edge.sources.size import parse_size

    size = None if settings.size is None else parse_size(settings.size)
    same = {one.name for one in fields(kind)} & set(Settings.model_fields)
    return {key: getattr(settings, key) for key in same} | {"size": size}


def _is_told(settings: Settings) -> bool:
    """Whether the source is an industrial camera that exposes when it is told."""
    trigger = settings.camera.trigger
    if settings.source is None or trigger is None or trigger.lower() != "software":
        return False
    kind = kind_of(settings.source)
    return kind is not None and kind.has_software_trigger


def source_request(settings: Settings, limit: int) -> SourceRequest:
    """The source of these settings, for `limit` pictures. Raises ConfigError if none would come by itself."""
    assert settings.source is not None
    if _is_told(settings):
        raise ConfigError("a camera with trigger = software waits to be told; add --camera trigger=off to look at it")
    return SourceRequest(settings.source, **_same(settings, SourceSettings) | {"limit": limit})
