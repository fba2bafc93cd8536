"""An opened GigE Vision or USB3 Vision camera, through Aravis: its settings and its pictures."""

import contextlib
import ctypes
from collections.abc import Callable
from ctypes import c_double, c_int, c_size_t, c_uint, c_uint32, c_void_p
from typing import Any, NamedTuple

from edge.sources.aravis import CONTROL_LOST, AravisError, ControlledError, library

COMPLETE = 0
NOTHING = 1
STATUS = ("complete", "cleared", "timed out", "packets missing", "wrong packet", "wrong size", "filling", "aborted")
"""ArvBufferStatus, from 0. Aravis returns a NOTHING buffer for a packet that belongs to no known frame, for example the
last packets of a frame that was in transit when the stream was opened.
"""

_IMAGE_PAYLOADS = (1, 5)  # image, and image with chunks after it
_SOCKET_BUFFER_OF_A_FRAME = 1  # ARV_GV_STREAM_SOCKET_BUFFER_AUTO

_AUTO_OFF = 0  # ARV_AUTO_OFF
_CONTINUOUS = 0  # ARV_ACQUISITION_MODE_CONTINUOUS


class Received(NamedTuple):
    """A received buffer. The fields after `status` are valid only if `status` is COMPLETE: if the packet that carries
    them is missing, Aravis leaves the values of an earlier frame.

    `arrived_wall_ns` is the wall clock when the first packet arrived. `device_ns` is the camera's own clock.
    `pixel_format` is its number in the Pixel Format Naming Convention. `pixels` is valid until the buffer is given
    back, and None if the payload is not a picture.
    """

    handle: int
    status: int
    frame_id: int
    device_ns: int
    arrived_wall_ns: int
    width: int
    height: int
    pixel_format: int
    pixels: "memoryview | None"


class Camera:
    """A camera that this process controls. Each error of Aravis or the camera is an AravisError."""

    def __init__(self, name: str) -> None:
        """Open the camera by id or address."""
        self._aravis = library()
        self._stream: int | None = None
        self._camera: int | None = self._aravis.call("arv_camera_new", name.encode())
        self._device: int = self._aravis.call("arv_camera_get_device", self._camera)
        self.is_gige = bool(self._get("is_gv_device"))
        if self.is_gige and not self._aravis.call("arv_gv_device_is_controller", self._device):
            self.close()
            raise ControlledError("another program controls it")
        self.is_lost = False
        self._on_lost: Callable[..., None] = CONTROL_LOST(self._lose)  # kept: Aravis calls it from its own thread
        self._aravis.call("g_signal_connect_data", self._device, b"control-lost", self._on_lost, None, None, 0)

    def _lose(self, device: int | None, data: int | None) -> None:
        self.is_lost = True

    def _get(self, name: str, *arguments: Any) -> Any:
        return self._aravis.call(f"arv_camera_{name}", self._camera, *arguments)

    def _filled(self, name: str, kind: Any, count: int) -> tuple[Any, ...]:
        """The `count` output values, of ctypes type `kind`, of the function `name`."""
        values = [kind() for _ in range(count)]
        self._get(name, *map(ctypes.byref, values))
        return tuple(value.value for value in values)

    def _texts(self, name: str) -> list[str]:
        """The array of strings that a function returns; the caller frees the array, Aravis owns the strings."""
        count = c_uint()
        array = self._get(name, ctypes.byref(count))
        texts = [array[number].decode() for number in range(count.value)]
        self._aravis.call("g_free", ctypes.cast(array, c_void_p))
        return texts

    # ---- settings, named as in CameraSettings

    @property
    def exposure_us(self) -> float:
        """Exposure time, µs. Setting it switches automatic exposure off."""
        return float(self._get("get_exposure_time"))

    @exposure_us.setter
    def exposure_us(self, exposure_us: float) -> None:
        if self._get("is_exposure_auto_available"):
            self._get("set_exposure_time_auto", _AUTO_OFF)
        self._get("set_exposure_time", exposure_us)

    @property
    def gain_db(self) -> float:
        """Gain, dB or the camera's own unit. Setting it switches automatic gain off."""
        return float(self._get("get_gain"))

    @gain_db.setter
    def gain_db(self, gain_db: float) -> None:
        if self._get("is_gain_auto_available"):
            self._get("set_gain_auto", _AUTO_OFF)
        self._get("set_gain", gain_db)

    @property
    def rate(self) -> float:
        """Frame rate of a free-running camera, frames per second."""
        return float(self._get("get_frame_rate"))

    @rate.setter
    def rate(self, rate: float) -> None:
        self._get("set_frame_rate", rate)

    def bounds(self, what: str) -> tuple[float, float]:
        """The smallest and the largest value of `exposure_us`, `gain_db` or `rate`."""
        name = {"exposure_us": "exposure_time", "gain_db": "gain", "rate": "frame_rate"}[what]
        least, most = self._filled(f"get_{name}_bounds", c_double, 2)
        return least, most

    @property
    def region(self) -> tuple[int, int, int, int]:
        """Region of interest (x, y, width, height) in sensor pixels."""
        x, y, width, height = self._filled("get_region", c_int, 4)
        return x, y, width, height

    @region.setter
    def region(self, region: tuple[int, int, int, int]) -> None:
        self._get("set_region", *region)

    @property
    def sensor(self) -> tuple[int, int]:
        """Width and height of the sensor, pixels."""
        width, height = self._filled("get_sensor_size", c_int, 2)
        return width, height

    @property
    def pixel_format(self) -> str:
        """Name of the pixel format in use."""
        return str(self._get("get_pixel_format_as_string").decode())

    @pixel_format.setter
    def pixel_format(self, name: str) -> None:
        self._get("set_pixel_format_from_string", name.encode())

    @property
    def pixel_formats(self) -> list[str]:
        """Names of the pixel formats that the camera offers."""
        return self._texts("dup_available_pixel_formats_as_strings")

    @property
    def packet_size(self) -> int:
        """Bytes of a GigE Vision packet, including its headers."""
        return int(self._get("gv_get_packet_size"))

    @packet_size.setter
    def packet_size(self, size: int) -> None:
        self._get("gv_set_packet_size", size)

    @property
    def trigger(self) -> str:
        """The trigger source of an exposure; "off" if the camera runs freely or has no triggers."""
        try:
            mode = self._aravis.call("arv_device_get_string_feature_value", self._device, b"TriggerMode")
        except AravisError:
            return "off"
        return str(self._get("get_trigger_source").decode()) if mode == b"On" else "off"

    @trigger.setter
    def trigger(self, source: str) -> None:
        if source == "off":
            self._get("clear_triggers")
        else:
            self._get("set_trigger", source.encode())

    @property
    def trigger_sources(self) -> list[str]:
        """Names of the camera's trigger sources."""
        return self._texts("dup_available_trigger_sources")

    @property
    def is_fake(self) -> bool:
        """Whether this is Aravis' own fake camera."""
        return (self._get("get_vendor_name"), self._get("get_model_name")) == (b"Aravis", b"Fake")

    def expose(self) -> None:
        """Expose now; the trigger source must be "Software"."""
        self._get("software_trigger")

    # ---- pictures

    def open_stream(self, buffers: int) -> None:
        """Prepare reception: allocate `buffers` buffers of the size of a frame."""
        self._get("set_acquisition_mode", _CONTINUOUS)
        self._stream = self._get("create_stream", None, None)
        assert self._stream is not None
        if self.is_gige:
            self._aravis.set_enum(self._stream, "socket-buffer", _SOCKET_BUFFER_OF_A_FRAME)
        size = self._get("get_payload")
        for _ in range(buffers):
            self.give_back(self._aravis.call("arv_buffer_new_allocate", size))

    def start(self) -> None:
        """Start the acquisition."""
        self._get("start_acquisition")

    def receive(self, timeout_s: float) -> Received | None:
        """The next buffer, complete or not; None after `timeout_s` without one. Pass each buffer to `give_back`."""
        if self._stream is None:
            raise AravisError("it is closed")
        call = self._aravis.call
        handle = call("arv_stream_timeout_pop_buffer", self._stream, round(timeout_s * 1e6))
        if handle is None:
            return None
        status, frame_id, device_ns, wall_ns = (
            call(f"arv_buffer_get_{what}", handle) for what in ("status", "frame_id", "timestamp", "system_timestamp")
        )
        shape, pixels = (0, 0, 0), None
        if status == COMPLETE and call("arv_buffer_get_payload_type", handle) in _IMAGE_PAYLOADS:
            shape = tuple(call(f"arv_buffer_get_image_{what}", handle) for what in ("width", "height", "pixel_format"))
            size = c_size_t()
            data = call("arv_buffer_get_data", handle, ctypes.byref(size))
            pixels = memoryview((ctypes.c_uint8 * size.value).from_address(data)).cast("B")
        return Received(handle, status, frame_id, device_ns, wall_ns, *shape, pixels)

    def give_back(self, handle: int) -> None:
        """Return the buffer to the stream, which may fill it again."""
        if self._stream is not None:
            self._aravis.call("arv_stream_push_buffer", self._stream, handle)

    def count(self, what: str) -> int:
        """A counter of the stream, for example `n_missing_packets`."""
        return int(self._aravis.call("arv_stream_get_info_uint64_by_name", self._stream, what.encode()))

    def ask(self) -> None:
        """Read the first register, which every GigE Vision and USB3 Vision camera has. AravisError if it fails."""
        value = c_uint32()
        self._aravis.call("arv_device_read_register", self._device, 0, ctypes.byref(value))

    def close(self) -> None:
        """Stop and release the camera. Safe to call twice."""
        camera, self._camera = self._camera, None
        stream, self._stream = self._stream, None
        if camera is None:
            return
        if stream is not None:
            with contextlib.suppress(AravisError):  # the camera may be gone
                self._aravis.call("arv_camera_stop_acquisition", camera)
            self._aravis.call("g_object_unref", stream)
        self._aravis.call("g_object_unref", camera)
