"""The result of a benchmark: all samples, settings and the machine. One schema for table, JSON, page and comparison."""

from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from edge.runtimes import RuntimeName

SCHEMA_VERSION: Literal[1] = 1

Way = Literal["bare", "whole way"]
"""`bare` is only the graph, from the uint8 frame to the score; `whole way` is a station in its own processes, from the
frame in memory to the verdict decoded in another process."""

Precision = Literal["f32", "bf16", "int8"]

Stage = Literal["capture to ring", "wait", "model", "decision", "received"]
"""Stages of the whole way, in order: into shared memory; until the inference process begins; letterbox and network,
which are one graph; until the verdict is passed to the socket; until it is decoded in another process."""

STAGES: tuple[Stage, ...] = get_args(Stage)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Machine(_Section):
    """Description of the machine."""

    cpu: str
    cores: int
    instruction_sets: tuple[str, ...] = Field(description="those that matter to a runtime, as avx512_vnni")
    governor: str | None = Field(description="of the frequency; null where the system says nothing")
    mhz: tuple[float, float] | None = Field(description="lowest and highest frequency seen; null as above")
    memory_mib: int
    system: str
    python: str
    versions: dict[str, str]


class Disturbance(_Section):
    """Load of the machine by other processes during a measurement."""

    others_cores: float = Field(description="cores that other processes kept busy, on average")
    steal_share: float | None = Field(description="share of time that a hypervisor took away; null if unknown")
    waiting: float | None = Field(description="runnable threads beyond the cores, on average; null if unknown")
    is_disturbed: bool
    said: str = Field(description="the same in words, for people; empty if nothing was wrong")


class Setting(_Section):
    """A configuration in which a bundle was run."""

    artifact: str = Field(description="its name in the bundle")
    backend: RuntimeName
    precision: Precision
    threads: int
    streams: int = Field(default=1, description="inferences under way at once")
    is_static: bool = Field(description="compiled for frames of this one size")
    height: int
    width: int
    is_spinning: bool = Field(default=False, description="the runtime's threads spin while they wait")


class Pace(_Section):
    """The arrival of frames. `rate_per_min` None: back to back, the next frame when the last is done."""

    rate_per_min: float | None = None
    jitter: float = Field(default=0.0, ge=0, le=1, description="share of the interval by which a frame may be off")
    idle_every_s: float | None = Field(default=None, description="seconds between pauses of the line; null: none")
    idle_s: float = Field(default=0.0, description="how long such a pause lasts")
    keeps_warm: bool = Field(default=False, description="the model is run on a dummy frame between parts")


class Series(_Section):
    """One measurement, with all its samples."""

    bundle: str = Field(description="label of the bundle")
    way: Way
    setting: Setting
    pace: Pace
    samples_ms: list[float] = Field(description="latency of each frame, in order")
    frames_per_s: float
    stages_ms: dict[Stage, list[float]] = Field(default={}, description="of the whole way: each frame's, as samples_ms")
    unanswered: int = Field(default=0, ge=0, description="parts of the whole way without a good or reject; no sample")
    cpu_s_a_frame: float | None = Field(default=None, description="seconds of processor, all processes together")
    first_ms: float | None = Field(default=None, description="the first inference after loading")
    cold_start_s: float | None = Field(default=None, description="from the start of the process to its first verdict")
    resident_mib: float | None = Field(default=None, description="memory of all processes, shared pages counted once")
    golden_holds: bool | None = Field(
        default=None,
        description="whether the golden frames pass within the manifest's tolerance; null where the bundle was made so",
    )
    disturbance: Disturbance | None = None


class Tried(_Section):
    """One attempt of a search at a rate."""

    rate_per_min: float
    p99_9_ms: float | None = Field(description="of the answered parts until it held or failed; null: none was answered")
    p99_9_high_ms: float | None = Field(
        default=None, description="upper end of its 95 % interval; null where so few parts do not bound it"
    )
    parts: int = Field(default=0, ge=0, description="parts that were shown, without the first ones that warm up")
    late: int = Field(default=0, ge=0, description="parts answered after the budget; of a thousand one may be")
    unanswered: int = Field(description="parts without a good or reject; one is enough to fail")
    held: bool
    disturbance: Disturbance | None = None


class Search(_Section):
    """The highest rate at which p99.9 stays within a budget."""

    bundle: str
    setting: Setting
    budget_ms: float
    asked_per_min: float | None = Field(description="the rate that has to be held, if one was named")
    best_per_min: float | None = Field(description="null if no rate held")
    holds_asked: bool | None
    tried: list[Tried]


class Measured(_Section):
    """A bundle and its accuracy: of the artifact's threshold on the validation photographs."""

    label: str
    path: str
    simulated: bool
    metrics: dict[str, float | None]
    recall: dict[str, float | None] = Field(description="by artifact")
    specificity: dict[str, float | None] = Field(description="by artifact")


class Result(_Section):
    """All results of a run of edge-bench."""

    schema_version: Literal[1] = SCHEMA_VERSION
    made: str = Field(description="UTC, ISO 8601")
    command: str
    machine: Machine
    bundles: list[Measured]
    series: list[Series]
    skipped: list[str] = Field(default=[], description="what a runtime refused, and why; it was not measured")
    searches: list[Search] = []
