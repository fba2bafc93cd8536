"""The keys of a station's configuration: one definition for the file, the flags, the documentation and the checks."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationInfo, field_validator

from edge.channel.endpoints import STATION, VERDICTS
from edge.demo.line_names import LineName
from edge.pictures.contract import Bits
from edge.presence import Presence
from edge.records import GOODS_EVERY, LARGEST_IMAGES, LARGEST_JOURNAL
from edge.sources import BeltSettings, CameraSettings, SourceSettings
from edge.station.codes.contract import DEFAULT_FORMATS, CodeFormat
from edge.station.config.flags import KEY_VALUE, Flag
from edge.station.config.products import FORM, Products
from edge.station.config.values import (
    CodeFormats,
    NamedPath,
    NamedPaths,
    Names,
    Port,
    RateOrFile,
    RecordsFolder,
    Regex,
    Region,
    Regions,
)
from edge.verdict import FieldName

GIB = 2**30

CAMERA: dict[str, str] = {one.name: one.metadata["takes"] for one in fields(CameraSettings)}
"""The settings of a camera: what each takes."""

SWITCHES = frozenset({"alone"})
"""Keys of tables that are true or false."""

SOURCE, PARTS, CODES, MODEL = "Source", "Parts and timing", "Codes of the parts", "Model"
CHANNEL, RECORDS = "Station and network", "Records"


def _key(
    default: Any, group: str, about: str, *, unit: str | None = None, unset: str | None = None, **limits: Any
) -> Any:
    """A key: its default, its group in the help, its description, and its unit.

    `unset` says what applies if the key has no value.
    """
    return Field(default, description=about, json_schema_extra={"group": group, "unit": unit, "unset": unset}, **limits)


class Settings(BaseModel):
    """What a user may set for a station. A key without a value is None."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str | None = _key(
        None,
        SOURCE,
        "demo, camera0, /dev/v4l/by-id/…, genicam:SERIAL, rtsp://…, a video file or a folder of pictures; "
        "--list-sources lists them.",
        min_length=1,
    )
    size: Annotated[str | None, Flag("WIDTHxHEIGHT")] = _key(
        None, SOURCE, "Frame size, if the source can choose it.", unit="px", unset="the source's own", min_length=1
    )
    rate: Annotated[RateOrFile, Flag("RATE|file")] = _key(
        None,
        SOURCE,
        "Pictures per time, as 10/s or 600/min, if the source can be paced; file: the rate that the video file states.",
        unset="the source's own pace",
    )
    limit: int | None = _key(None, SOURCE, "Stop after this number of pictures.", unset="no limit", ge=1)
    loop: StrictBool = _key(SourceSettings.loop, SOURCE, "Start a folder or a video again at its end.")
    watch: StrictBool = _key(
        SourceSettings.watch,
        SOURCE,
        "Wait at the end of a folder for pictures that other programs add; without --rate and --loop.",
    )
    bits: Bits | None = _key(
        None,
        SOURCE,
        "Significant bits of stored pictures with 16 bits a sample.",
        unit="bit",
        unset="the bundle's; without one a picture has to use all 16",
    )
    seed: int = _key(SourceSettings.seed, SOURCE, "Seed of simulated sources.", ge=0)
    line: LineName = _key(
        SourceSettings.line,
        SOURCE,
        "Line that the source demo shows: plates on a belt, printed codes, or a mould's mouth during the pour.",
    )
    camera: Annotated[CameraSettings, Flag(KEY_VALUE, is_table=True)] = _key(
        CameraSettings(),
        SOURCE,
        f"Settings of the camera: {'; '.join(f'{key}: {takes}' for key, takes in CAMERA.items())}.",
        unset="the camera's own",
    )
    belt: Annotated[BeltSettings, Flag(KEY_VALUE, is_table=True)] = _key(
        BeltSettings(),
        SOURCE,
        "Settings of the source belt: speed in frame widths per second; pitch between parts in frame widths; jitter as "
        "a fraction of the pitch.",
    )
    resume_frames: int = _key(
        3, SOURCE, "Good frames in a row after which a lost camera counts as recovered.", ge=0, le=10_000
    )
    trigger: Literal["free", "external", "presence"] = _key(
        "free",
        PARTS,
        "What makes a part: free: each frame; external: each trigger message on the control socket; presence: each "
        "part that is seen to pass.",
    )
    presence: Annotated[Presence, Flag(KEY_VALUE, is_table=True)] = _key(
        Presence(),
        PARTS,
        "Settings of the trigger presence: axis of the belt in the frame, x or y; smallest part as a fraction of the "
        "frame; frames of each part that are scored; aggregate of their scores, max or mean; alone: cover neighbours, "
        "true or false.",
    )
    policy: Literal["every", "latest"] | None = _key(
        None,
        PARTS,
        "Judge every frame in order, or the latest only.",
        unset="latest for a free-running camera, every for all others",
    )
    region: Annotated[Regions, Flag("LEFT,TOP,WIDTHxHEIGHT")] = _key(
        (),
        PARTS,
        "A region of the frame to judge instead of the whole frame; the highest score of several decides.",
        unit="px",
        unset="the whole frame",
    )
    budget_ms: float = _key(
        500.0,
        PARTS,
        "Longest time from capture to the published verdict; a part that takes longer is unknown.",
        unit="ms",
        ge=1,
        le=600_000,
    )
    stale_ms: float = _key(1000.0, PARTS, "A live frame that arrives older than this is not judged.", unit="ms", gt=0)
    envelope: Annotated[NamedPath | None, Flag("FILE")] = _key(
        None,
        PARTS,
        "File with the limits of brightness and sharpness that --commission wrote; frames outside are not judged.",
        unset="no limits",
    )
    read_code: Annotated[FieldName | None, Flag("NAME")] = _key(
        None,
        CODES,
        "Free field of the part that takes the text of the code in its frame; needs the extra codes.",
        unset="no code is read",
    )
    code_formats: Annotated[CodeFormats, Flag("FORMAT")] = _key(
        DEFAULT_FORMATS,
        CODES,
        f"Format of the codes that are read: {', '.join(get_args(CodeFormat))}.",
        unset=", ".join(DEFAULT_FORMATS),
        min_length=1,
    )
    code_region: Annotated[Region | None, Flag("LEFT,TOP,WIDTHxHEIGHT")] = _key(
        None, CODES, "The region of the frame in which the code lies.", unit="px", unset="the whole frame"
    )
    code_pattern: Annotated[Regex | None, Flag("REGEX")] = _key(
        None, CODES, "Regular expression for the whole text of the code; other codes are ignored.", unset="any text"
    )
    bundle: NamedPath | None = _key(
        None, MODEL, "Bundle to run, or the name of a shipped one.", unset="the demonstration bundle"
    )
    products: Annotated[Products, Flag(FORM)] = _key(
        (),
        MODEL,
        "Product of the line: its bundle, and the number that a PLC gives for it; a changeover selects one of several.",
        unset="one product, judged by bundle",
    )
    trust: Annotated[NamedPaths, Flag("FILE")] = _key(
        (), MODEL, "Public key; only a bundle that one of these keys signed is run.", unset="no signature needed"
    )
    candidates: Annotated[NamedPath | None, Flag("DIR")] = _key(
        None,
        MODEL,
        "Folder of bundles that edge-ctl load may load on the running line.",
        unset="no bundle can be loaded",
    )
    promote_after: int = _key(
        1000, MODEL, "Parts that a candidate has to judge in the shadow before it can be promoted.", unit="parts", ge=1
    )
    promote_flips: int = _key(
        10, MODEL, "Most parts judged otherwise by a candidate that can be promoted.", unit="parts", ge=0
    )
    challenge: Annotated[NamedPath | None, Flag("FILE")] = _key(
        None,
        MODEL,
        "Picture of a bad part, of the size of the frames, that is judged at a schedule: if it would pass, the station "
        "is suspended. Needs records.",
        unset="no challenge",
    )
    challenge_minutes: float = _key(
        60.0, MODEL, "Time from one challenge with that picture to the next.", unit="minutes", gt=0, le=10_000
    )
    backend: str = _key(
        "auto", MODEL, "Artifact of the bundle to run; auto measures all once and runs the fastest.", min_length=1
    )
    threads: int | None = _key(None, MODEL, "Threads of one inference.", unset="one for each core", ge=1, le=256)
    streams: int = _key(1, MODEL, "Inferences at once if stations share a model; they share the threads.", ge=1, le=256)
    spinning: StrictBool = _key(
        False, MODEL, "Let the threads of onnxruntime spin while they wait: faster, but it occupies cores."
    )
    keep_warm: StrictBool = _key(
        False, MODEL, "Run the model shortly before the next part is expected, so that it does not start cold."
    )
    tuned: StrictBool = _key(True, MODEL, "Use what edge-bench tune found on this machine for keys that are not set.")
    drift_hours: float = _key(
        8.0,
        MODEL,
        "Production with a bundle that becomes the reference of the watch on drift, two hours at least; 0: no watch.",
        unit="hours",
        ge=0,
        le=1000,
    )
    station: str = _key(STATION, CHANNEL, "Name of the station, which is part of every topic.", min_length=1)
    bind: str = _key(VERDICTS, CHANNEL, "Endpoint that publishes verdicts.", min_length=1)
    control: str | None = _key(
        None, CHANNEL, "Endpoint that answers controllers.", unset="one port above bind", min_length=1
    )
    viewers: str | None = _key(
        None,
        CHANNEL,
        "Endpoint that publishes the verdicts to viewers, apart from the controllers.",
        unset="two ports above bind",
        min_length=1,
    )
    keys: Annotated[NamedPath | None, Flag("DIR")] = _key(
        None,
        CHANNEL,
        "Folder made by edge-keys; connections are encrypted, and only its clients are accepted.",
        unset="no encryption",
    )
    insecure: StrictBool = _key(False, CHANNEL, "Allow endpoints that the network can reach without keys.")
    require: Annotated[Names, Flag("NAME")] = _key(
        (), CHANNEL, "Controller without which the line is suspended after 500 ms.", unset="none"
    )
    wait_subscribers: int = _key(
        0,
        CHANNEL,
        "Judge no part before this number of subscriptions exist. A stored source waits; frames of a camera are "
        "skipped, and triggers refused.",
        ge=0,
    )
    metrics: Annotated[Port | None, Flag("[HOST:]PORT")] = _key(
        None, CHANNEL, "Address of the page for Prometheus.", unset="no page", min_length=1
    )
    records: Annotated[RecordsFolder, Flag("DIR", off="Keep no journal and no images.")] = _key(
        None,
        RECORDS,
        "Folder of the journal and the images; false in a file: keep none.",
        unset="a folder of the station's name below the user's state folder",
    )
    keep_goods: int = _key(GOODS_EVERY, RECORDS, "Keep the image of one good part in this number; 0 keeps none.", ge=0)
    keep_gib: float = _key(
        LARGEST_IMAGES / GIB,
        RECORDS,
        "Room for images; when it is full, the oldest goods are removed first and rejects last.",
        unit="GiB",
        gt=0,
    )
    keep_days: float | None = _key(
        None, RECORDS, "Time after which images are removed.", unit="days", unset="never", gt=0
    )
    keep_journal_gib: float = _key(
        LARGEST_JOURNAL / GIB,
        RECORDS,
        "Room for the journal, 0.01 at least; when it is full, the oldest verdicts go, and counts by hour stay.",
        unit="GiB",
        ge=0.01,
    )
    keep_verdicts_days: float | None = _key(
        None,
        RECORDS,
        "Time after which verdicts are removed, and counts by hour stay.",
        unit="days",
        unset="never",
        gt=0,
    )

    @field_validator("*", mode="before")
    @classmethod
    def _check_boolean(cls, said: Any, info: ValidationInfo) -> Any:
        """Reject booleans that pydantic would take for the number 1."""
        key = str(info.field_name)
        if isinstance(said, bool) and key != "records" and cls.model_fields[key].annotation is not bool:
            raise ValueError("this key is not true or false")
        for part in said if isinstance(said, list | tuple) else (said,):
            for name, value in part.items() if isinstance(part, Mapping) else ():
                if isinstance(value, bool) and name not in SWITCHES:
                    raise ValueError(f"{name} = {str(value).lower()}: this key is not true or false")
        return said


class KeyInfo(BaseModel):
    """The description of a key: its group in the help, its text, its unit, and what applies if it is not set."""

    group: str
    about: str
    unit: str | None
    unset: str | None


def info_of(key: str) -> KeyInfo:
    """The description of a key."""
    field = Settings.model_fields[key]
    assert isinstance(field.json_schema_extra, dict)
    return KeyInfo.model_validate({"about": field.description} | field.json_schema_extra)


def about(key: str) -> str:
    """The description of a key as a phrase, with its unit."""
    info = info_of(key)
    text = info.about.removesuffix(".")
    return f"{text} ({info.unit})" if info.unit else text


def default_text(key: str) -> str:
    """The value that applies if a key is not set, as text; empty if there is none."""
    field, info = Settings.model_fields[key], info_of(key)
    if info.unset is not None:
        return info.unset
    if isinstance(field.default, bool):
        return str(field.default).lower()
    if isinstance(field.default, BaseModel) or hasattr(field.default, "__dataclass_fields__"):
        return ", ".join(f"{name}={_plain(value)}" for name, value in vars(field.default).items())
    return "" if field.default is None else _plain(field.default)


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def flag_of(key: str) -> Flag:
    """How the key is given on the command line."""
    return next((one for one in Settings.model_fields[key].metadata if isinstance(one, Flag)), Flag())


def flag(key: str) -> str:
    """The flag of a key."""
    return f"--{key.replace('_', '-')}"
