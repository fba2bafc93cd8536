"""Source `genicam:SERIAL`, `genicam:ADDRESS`, `genicam:`: a GigE Vision or USB3 Vision camera, through Aravis.

One capture per exposure that the camera counted: its picture, or the fault. A frame with a missing packet is never a
picture.
"""

import contextlib
import math
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeAlias

from edge.errors import SourceError
from edge.sources.aravis import AravisError, ControlledError, Found, discover, library
from edge.sources.aravis_camera import COMPLETE, NOTHING, STATUS, Camera, Received
from edge.sources.base import CameraSettings, Capture, ExposureSettings, Kind, Source, SourceRequest
from edge.sources.pixel_formats import READABLE, to_bgr
from edge.sources.stored import wanted
from edge.verdict import Fault, Reason

if TYPE_CHECKING:
    from edge.frame import Frame

PREFIX = "genicam:"

CAUSES = (
    "check its power and cable, that its address is in a subnet of this machine, that neither a firewall nor the "
    "reverse-path filter (sysctl net.ipv4.conf.all.rp_filter) drops its UDP packets, and that no other program has it; "
    "of USB3 Vision, that this user may open it"
)
"""What usually keeps a camera from answering."""

RELEASE = "end that program, as a viewer or another station; after a crash the camera is free within some seconds"
"""The remedy if another program controls a camera: the camera waits for that program's heartbeat, 3 s by default."""

Setting: TypeAlias = float | str | tuple[int, int, int, int]

BUFFERS = 12
"""Frames that can arrive while this process is not scheduled."""

POLL_S = 0.1
"""A source that waits for a trigger yields None at this interval."""

ASKED_EVERY_S = 0.5
"""Interval at which a camera that waits for a trigger is checked for presence."""

LONGEST_SILENCE_S = 3.0
"""A free-running camera that sends nothing for this long is treated as lost. A station's own limit is shorter."""

MOST_LOST = 1000
"""More consecutive missing frames than this are reported in one fault."""

GIGE_COUNTER = 0xFFFF
"""GigE Vision counts frames from 1 to this value and restarts at 1; newer cameras and USB3 Vision use 64 bits."""


def claims(name: str) -> bool:
    """Whether `name` means a camera that Aravis serves, connected or not."""
    return name.startswith(PREFIX)


def available() -> list[tuple[str, str]]:
    """The cameras that answer within Aravis's discovery time of one second; none without Aravis."""
    try:
        found = discover()
    except SourceError:
        return []
    return [(_name(c), f"{c.vendor} {c.model} at {c.address} ({c.protocol})") for c in found]


def missing(has_any: bool) -> str | None:
    """That Aravis is not installed, or that no camera answers."""
    try:
        library()
    except SourceError as error:
        return str(error).removeprefix(f"{PREFIX} ")
    return None if has_any else f"no camera answers; {CAUSES}"


@dataclass(frozen=True)
class _Exposure:
    """The result of one exposure: a frame, or the fault."""

    captured_ns: int
    picture: "Frame | Fault"
    number: int | None = None
    device_ns: int | None = None


class GenicamSource(Source):
    """A free-running or triggered camera.

    `settings` is the configuration that the camera reports; `remarks` has one line per difference from the request.
    `incomplete` and `lost` count the frames that arrived in part and not at all.
    """

    live = True
    device = True
    decodes = True

    def __init__(self, request: SourceRequest) -> None:
        self.name = request.name
        self._wanted = wanted(request, None)
        self.length = self._wanted.length
        self.incomplete = self.lost = 0
        self._controlling = threading.Lock()  # the camera's registers are read and written by two threads
        found = _find(request.name)
        self.lasting_name = PREFIX + found  # the same one of several cameras that disconnect and return
        try:
            self._camera = Camera(found)
        except AravisError as error:
            raise SourceError(_why_closed(request, error)) from None
        try:
            self._prepare(request)
        except (AravisError, SourceError) as error:
            self.close()
            raise SourceError(f"{self.name}: {error}") from None

    def _prepare(self, request: SourceRequest) -> None:
        import cv2  # noqa: F401  imported before the first frames arrive

        remarks = _apply(self._camera, request, self._wanted.rate)
        self._camera.open_stream(BUFFERS)
        self.settings = _read_back(self._camera)
        asked = request.camera.packet_size
        if None not in (asked, self.settings.packet_size) and self.settings.packet_size != asked:
            remarks.append(f"packets of {asked} bytes do not come through, {self.settings.packet_size} do")
        self.remarks = tuple(f"{self.name}: {remark}" for remark in remarks)
        self.free_running = self.settings.trigger == "off"
        self.exposes_when_told = (self.settings.trigger or "").lower() == "software"
        self._has_started = threading.Event()
        *_, width, height = self._camera.region
        self.shape = (height, width)
        self.simulated = self._camera.is_fake

    def trigger(self) -> None:
        """Expose now; the trigger must be "software". May be called from another thread, which then waits until
        `captures` has started. Raises SourceError.
        """
        try:
            if not self._has_started.wait(LONGEST_SILENCE_S):
                raise AravisError("it does not run yet")
            with self._controlling:
                self._camera.expose()
        except AravisError as error:
            raise SourceError(f"{self.name} takes no trigger: {error}") from None

    def adjust(self, exposure: ExposureSettings) -> tuple[str, ...]:
        """Change exposure and gain while it runs."""
        given = {"exposure_us": exposure.exposure_us, "gain_db": exposure.gain_db}
        try:
            with self._controlling:
                remarks = [_set(self._camera, what, value) for what, value in given.items() if value is not None]
        except SourceError as error:
            raise SourceError(f"{self.name}: {error}") from None
        return tuple(f"{self.name}: {remark}" for remark in remarks if remark)

    def captures(self) -> Iterator[Capture | None]:
        """One capture per exposure; None while none is due. Raises SourceError if the camera is lost.

        `captured_ns` is the arrival of the frame's first packet, which a camera sends at the end of the exposure; it is
        late by the transfer time of that packet. For an incomplete frame it is when the frame was given up. `details`
        holds the camera's own clock.
        """
        try:
            yield from self._captures()
        except AravisError as error:
            raise SourceError(f"{self.name}: {error}") from None

    def close(self) -> None:
        """Release the camera."""
        self._camera.close()

    def _captures(self) -> Iterator[Capture | None]:
        index, end = self._wanted.start, self._wanted.end
        if end is not None and index >= end:
            return
        self._camera.start()
        self._has_started.set()
        for exposure in self._exposures():
            if exposure is None:
                yield None
                continue
            e = exposure
            details = {} if e.device_ns is None else {"device_ns": str(e.device_ns)}
            frame, fault = (None, e.picture) if isinstance(e.picture, Fault) else (e.picture, None)
            yield Capture(index, f"frame {index}", frame, e.captured_ns, fault, counter=e.number, details=details)
            index += 1
            if index == end:
                return

    def _exposures(self) -> Iterator[_Exposure | None]:
        counter, clock, missing = FrameCounter(), WallClock(), self._camera.count("n_missing_packets")
        for received in self._received():
            if received is None:
                yield None
                continue
            try:
                now_missing = self._camera.count("n_missing_packets")
                picture = self._picture(received, now_missing - missing)
                missing = now_missing
            finally:
                self._camera.give_back(received.handle)
            if received.status != COMPLETE:
                counter.pass_over()
                yield _Exposure(time.monotonic_ns(), picture)
                continue
            captured_ns = clock.monotonic(received.arrived_wall_ns)
            number, lost = counter.take(received.frame_id)
            yield from self._not_received(lost, captured_ns)
            yield _Exposure(captured_ns, picture, number, received.device_ns)

    def _received(self) -> Iterator[Received | None]:
        """The buffers as they arrive; None at intervals while a triggered camera is present and silent."""
        last_frame = asked = time.monotonic()
        while True:
            received = self._camera.receive(POLL_S)
            now = time.monotonic()
            if self._camera.is_lost:
                causes = "another program took it, or its cable or power failed"
                raise SourceError(f"{self.name} is not controlled from here any more: {causes}")
            if received is not None and received.status == NOTHING:
                self._camera.give_back(received.handle)
            elif received is not None:
                last_frame = now
                yield received
            elif not self.free_running:
                if now - asked > ASKED_EVERY_S:
                    asked = now
                    self._ask()
                yield None
            elif now - last_frame > LONGEST_SILENCE_S:
                self._ask()
                raise SourceError(f"{self.name} answers and sends no frames; does a firewall stop its packets (UDP)?")

    def _ask(self) -> None:
        try:
            with self._controlling:
                self._camera.ask()
        except AravisError as error:
            raise SourceError(f"{self.name} does not answer any more ({error}); check its cable and power") from None

    def _picture(self, received: Received, missing: int) -> "Frame | Fault":
        """The picture in a buffer, or the fault if there is none.

        In `missing`, Aravis counts all packets after the first one that did not arrive in order.
        """
        if received.status != COMPLETE:
            self.incomplete += 1
            status = STATUS[received.status] if 0 < received.status < len(STATUS) else f"status {received.status}"
            what = f"at most {missing} of its packets missing" if missing > 0 else status
            return Fault(Reason.CAMERA, f"incomplete frame ({what})")
        if received.pixels is None:
            return Fault(Reason.CORRUPT, "the camera sent something else than a picture")
        try:
            room = (
                self.room
                if self.room is not None and self.room.shape[:2] == (received.height, received.width)
                else None
            )
            return to_bgr(received.pixels, received.pixel_format, received.height, received.width, room)
        except ValueError as error:
            return Fault(Reason.CORRUPT, f"{error}")

    def _not_received(self, lost: int, captured_ns: int) -> Iterator[_Exposure]:
        """Faults for the exposures that the camera counted before this one and of which nothing arrived."""
        self.lost += lost
        if lost > MOST_LOST:
            yield _Exposure(captured_ns, Fault(Reason.CAMERA, f"{lost} frames never came"))
            return
        for _ in range(lost):
            yield _Exposure(captured_ns, Fault(Reason.CAMERA, "the frame never came"))


class FrameCounter:
    """The camera's frame numbers, continued where the camera's counter wraps around."""

    def __init__(self) -> None:
        """The first number is taken unchanged."""
        self._last: int | None = None
        self._rounds = self._passed_over = 0

    def pass_over(self) -> None:
        """Record a frame whose number is unknown."""
        self._passed_over += 1

    def take(self, frame_id: int) -> tuple[int, int]:
        """The frame's number, and the number of frames missing before it.

        If the counter repeats, or goes back without a wrap-around, the number is not larger than the last one, and no
        frame counts as missing.
        """
        passed_over, self._passed_over = self._passed_over, 0
        last, self._last = self._last, frame_id
        if last is None:
            return frame_id, 0
        step = frame_id - last
        if last <= GIGE_COUNTER and -step > GIGE_COUNTER // 2:
            self._rounds += 1
            step += GIGE_COUNTER
        return frame_id + self._rounds * GIGE_COUNTER, max(0, step - 1 - passed_over)


class WallClock:
    """Converts wall-clock times, which Aravis uses as time stamps, to `time.monotonic_ns()`.

    If the wall clock is set between the stamp and now, two results are possible; the earlier one is returned, which may
    make a part late but never too young.
    """

    def __init__(self) -> None:
        """Compare the two clocks now."""
        self._offset_ns = self._difference()

    @staticmethod
    def _difference() -> int:
        return time.monotonic_ns() - time.time_ns()

    def monotonic(self, wall_ns: int) -> int:
        """The monotonic time at which the wall clock showed `wall_ns`, a recent time; never later than now."""
        before, self._offset_ns = self._offset_ns, self._difference()
        return min(wall_ns + before, wall_ns + self._offset_ns, time.monotonic_ns())


def open(request: SourceRequest) -> GenicamSource:
    """Open and configure a camera. Raises SourceError with a one-line message if Aravis or the camera is missing, or if
    the camera refuses a setting.
    """
    return GenicamSource(request)


def _find(name: str) -> str:
    """The Aravis id of the camera that a user calls `name`. An IP address is used directly."""
    asked = name.removeprefix(PREFIX)
    if re.fullmatch(r"\d+\.\d+\.\d+\.\d+", asked):
        return asked
    there = discover()
    matching = [camera for camera in there if not asked or asked in camera.names]
    if len(matching) == 1:
        return matching[0].id
    if matching:
        raise SourceError(f"{name} may be one of several cameras; name one: {_listing(matching)}")
    if not asked:
        raise SourceError(f"{name} no camera answers here; {CAUSES}")
    raise SourceError(f"{name} does not answer; {_answering(there)}; {CAUSES}")


def _why_closed(request: SourceRequest, error: AravisError) -> str:
    """Why a camera does not open, in one line."""
    if isinstance(error, ControlledError):
        return f"{request.name} does not open: {error}; {RELEASE}"
    if request.is_lost:  # the cause is known, and asking which cameras answer would take a second of each attempt
        return f"{request.name} does not open: {error}"
    return f"{request.name} does not open: {error}; {_answering(discover())}; {CAUSES}"


def _answering(there: list[Found]) -> str:
    return f"cameras that answer: {_listing(there)}" if there else "no other camera answers"


def _listing(cameras: list[Found]) -> str:
    return ", ".join(f"{_name(camera)} ({camera.address})" for camera in cameras)


def _name(camera: Found) -> str:
    """The name to give to --source."""
    return f"{PREFIX}{camera.serial or camera.id}"


def _apply(camera: Camera, request: SourceRequest, rate: float | None) -> list[str]:
    """Apply the requested settings. Returns a remark per change by the camera. Raises SourceError on refusal."""
    s = request.camera
    region = s.region
    if region is None and request.size is not None:
        region = (*camera.region[:2], request.size[1], request.size[0])
    asked: dict[str, Setting | None] = {
        "pixel_format": _pixel_format(camera, s.pixel_format),
        "region": None if region is None else _region(camera, region),
        "exposure_us": s.exposure_us,
        "gain_db": s.gain_db,
        "rate": rate,
        "packet_size": s.packet_size if camera.is_gige else None,
        "trigger": None if s.trigger is None else _trigger_source(camera, s.trigger),  # last: a rate disables it
    }
    given = {what: value for what, value in asked.items() if value is not None}
    remarks = [remark for what, value in given.items() if (remark := _set(camera, what, value))]
    if s.packet_size is not None and not camera.is_gige:
        remarks.append("packet_size is for GigE Vision, this camera has none")
    return remarks


def _set(camera: Camera, what: str, value: Setting) -> str | None:
    """Set one setting and read it back. Returns a remark if the camera changed it."""
    try:
        if isinstance(value, float | int) and what != "packet_size":
            least, most = camera.bounds(what)
            if not least <= value <= most:
                raise SourceError(f"{what} {value:g}: this camera takes {least:g} to {most:g}")
        setattr(camera, what, value)
        got: Setting = getattr(camera, what)
    except AravisError as error:
        raise SourceError(f"{what} {value}: the camera refuses it: {error}") from None
    if isinstance(got, float | int) and isinstance(value, float | int):
        is_same = math.isclose(got, value, rel_tol=1e-3)
    else:
        is_same = got == value
    return None if is_same else f"{what} {value} was asked for, the camera took {got}"


def _pixel_format(camera: Camera, name: str | None) -> str | None:
    name_now = name or camera.pixel_format
    usable = [known for known in camera.pixel_formats if known in READABLE]
    if name_now not in usable:
        choices = f"choose one of {', '.join(usable)}" if usable else "and no other that this camera has is"
        raise SourceError(f"pixel format {name_now} is not read or not there; {choices}")
    return name


def _region(camera: Camera, region: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    x, y, width, height = region
    most_x, most_y = camera.sensor
    if min(x, y) < 0 or min(width, height) < 1 or x + width > most_x or y + height > most_y:
        raise SourceError(f"region {x},{y},{width},{height}: the sensor has {most_x}×{most_y} pixels")
    return region


def _trigger_source(camera: Camera, name: str) -> str:
    """The camera's own spelling of a trigger source, for example "Line1" for "line1"."""
    sources = {source.lower(): source for source in camera.trigger_sources}
    if name.lower() != "off" and name.lower() not in sources:
        raise SourceError(f"trigger {name}: this camera has {', '.join(sorted(sources.values()))}, or off")
    return sources.get(name.lower(), "off")


def _read_back(camera: Camera) -> CameraSettings:
    """The settings that the camera reports; None where it does not have the setting."""
    reported: dict[str, Any] = {}
    for setting in fields(CameraSettings):
        with contextlib.suppress(AravisError):
            reported[setting.name] = getattr(camera, setting.name)
    return CameraSettings(**reported)


KIND = Kind(
    claims,
    open,
    ("genicam:SERIAL", "genicam:ADDRESS", "genicam:"),
    "a GigE Vision or USB3 Vision camera, through Aravis: genicam: is the only one that answers",
    available,
    missing,
    has_settings=True,
    is_exclusive=True,
    has_exposure=True,
    has_software_trigger=True,
)
