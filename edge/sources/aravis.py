"""The functions of Aravis, the library for GigE Vision and USB3 Vision cameras, that the source `genicam:` needs.

The C library is called directly. The Python binding works only with the system's interpreter and its version; the C
library works with every interpreter, releases the GIL while it waits, and exposes a picture without a copy.
"""

import ctypes
from ctypes import POINTER, c_bool, c_char_p, c_double, c_int, c_size_t, c_uint, c_uint32, c_uint64, c_void_p
from functools import cache
from typing import Any, NamedTuple

from edge.errors import SourceError

INSTALL = "on Debian and Ubuntu: apt install libaravis-0.8-0"
LIBRARIES = ("libaravis-0.8.so.0", "libaravis-0.8.0.dylib", "libaravis-0.8-0.dll")

CONTROL_LOST = ctypes.CFUNCTYPE(None, c_void_p, c_void_p)
"""Called with the device and the user data when another program has taken control or the camera is gone."""


class AravisError(Exception):
    """An error from Aravis or the camera, in Aravis's own words."""


class ControlledError(AravisError):
    """The camera answers, and another program controls it."""


class Found(NamedTuple):
    """A camera that answered the discovery: the id that opens it, and the data it reports."""

    id: str
    serial: str
    address: str
    vendor: str
    model: str
    protocol: str

    @property
    def names(self) -> tuple[str, ...]:
        """All names by which a user may refer to the camera."""
        return self.id, self.serial, self.address, f"{self.vendor}-{self.serial}"


class _GError(ctypes.Structure):
    _fields_ = (("domain", c_uint32), ("code", c_int), ("message", c_char_p))


_int_p, _uint_p, _double_p = POINTER(c_int), POINTER(c_uint), POINTER(c_double)

_PLAIN: dict[str, tuple[Any, ...]] = {  # name: result type, argument types
    "arv_update_device_list": (None,),
    "arv_get_n_devices": (c_uint,),
    **{f"arv_get_device_{what}": (c_char_p, c_uint) for what in Found._fields if what != "serial"},
    "arv_get_device_serial_nbr": (c_char_p, c_uint),
    "arv_camera_get_device": (c_void_p, c_void_p),
    "arv_camera_is_gv_device": (c_bool, c_void_p),
    "arv_gv_device_is_controller": (c_bool, c_void_p),
    "arv_stream_push_buffer": (None, c_void_p, c_void_p),
    "arv_stream_timeout_pop_buffer": (c_void_p, c_void_p, c_uint64),
    "arv_stream_get_info_uint64_by_name": (c_uint64, c_void_p, c_char_p),
    "arv_buffer_new_allocate": (c_void_p, c_size_t),
    "arv_buffer_get_status": (c_int, c_void_p),
    "arv_buffer_get_payload_type": (c_int, c_void_p),
    "arv_buffer_get_frame_id": (c_uint64, c_void_p),
    "arv_buffer_get_timestamp": (c_uint64, c_void_p),
    "arv_buffer_get_system_timestamp": (c_uint64, c_void_p),
    "arv_buffer_get_image_width": (c_int, c_void_p),
    "arv_buffer_get_image_height": (c_int, c_void_p),
    "arv_buffer_get_image_pixel_format": (c_uint32, c_void_p),
    "arv_buffer_get_data": (c_void_p, c_void_p, POINTER(c_size_t)),
    "g_object_unref": (None, c_void_p),
    "g_free": (None, c_void_p),
    "g_clear_error": (None, c_void_p),
    "g_signal_connect_data": (c_uint64, c_void_p, c_char_p, CONTROL_LOST, c_void_p, c_void_p, c_int),
}
_FALLIBLE: dict[str, tuple[Any, ...]] = {  # the same; the C function takes a GError** as last argument
    "arv_camera_new": (c_void_p, c_char_p),
    "arv_camera_create_stream": (c_void_p, c_void_p, c_void_p, c_void_p),
    "arv_camera_get_payload": (c_uint, c_void_p),
    "arv_camera_start_acquisition": (None, c_void_p),
    "arv_camera_stop_acquisition": (None, c_void_p),
    "arv_camera_set_acquisition_mode": (None, c_void_p, c_int),
    "arv_camera_is_exposure_auto_available": (c_bool, c_void_p),
    "arv_camera_set_exposure_time_auto": (None, c_void_p, c_int),
    "arv_camera_set_exposure_time": (None, c_void_p, c_double),
    "arv_camera_get_exposure_time": (c_double, c_void_p),
    "arv_camera_get_exposure_time_bounds": (None, c_void_p, _double_p, _double_p),
    "arv_camera_is_gain_auto_available": (c_bool, c_void_p),
    "arv_camera_set_gain_auto": (None, c_void_p, c_int),
    "arv_camera_set_gain": (None, c_void_p, c_double),
    "arv_camera_get_gain": (c_double, c_void_p),
    "arv_camera_get_gain_bounds": (None, c_void_p, _double_p, _double_p),
    "arv_camera_set_frame_rate": (None, c_void_p, c_double),
    "arv_camera_get_frame_rate": (c_double, c_void_p),
    "arv_camera_get_frame_rate_bounds": (None, c_void_p, _double_p, _double_p),
    "arv_camera_set_region": (None, c_void_p, c_int, c_int, c_int, c_int),
    "arv_camera_get_region": (None, c_void_p, _int_p, _int_p, _int_p, _int_p),
    "arv_camera_get_sensor_size": (None, c_void_p, _int_p, _int_p),
    "arv_camera_dup_available_pixel_formats_as_strings": (POINTER(c_char_p), c_void_p, _uint_p),
    "arv_camera_set_pixel_format_from_string": (None, c_void_p, c_char_p),
    "arv_camera_get_pixel_format_as_string": (c_char_p, c_void_p),
    "arv_camera_gv_set_packet_size": (None, c_void_p, c_int),
    "arv_camera_gv_get_packet_size": (c_uint, c_void_p),
    "arv_camera_dup_available_trigger_sources": (POINTER(c_char_p), c_void_p, _uint_p),
    "arv_camera_set_trigger": (None, c_void_p, c_char_p),
    "arv_camera_clear_triggers": (None, c_void_p),
    "arv_camera_get_trigger_source": (c_char_p, c_void_p),
    "arv_camera_get_vendor_name": (c_char_p, c_void_p),
    "arv_camera_get_model_name": (c_char_p, c_void_p),
    "arv_camera_software_trigger": (None, c_void_p),
    "arv_device_get_string_feature_value": (c_char_p, c_void_p, c_char_p),
    "arv_device_read_register": (c_bool, c_void_p, c_uint64, POINTER(c_uint32)),
}


@cache
def library() -> "Library":
    """The library of this system. Raises SourceError, with the install command, if it is not installed."""
    for name in LIBRARIES:
        try:
            return Library(ctypes.CDLL(name))
        except OSError:
            continue
    raise SourceError(f"genicam: needs Aravis 0.8, which is not installed here; {INSTALL}")


class Library:
    """The functions of Aravis by their C names."""

    def __init__(self, loaded: ctypes.CDLL) -> None:
        """Declare the argument and result types; without them ctypes truncates pointers to 32 bits."""
        self._loaded = loaded
        for name, (result, *arguments) in _PLAIN.items():
            self._declare(name, result, arguments)
        for name, (result, *arguments) in _FALLIBLE.items():
            self._declare(name, result, [*arguments, POINTER(POINTER(_GError))])

    def _declare(self, name: str, result: Any, arguments: list[Any]) -> None:
        function = getattr(self._loaded, name)
        function.restype, function.argtypes = result, arguments

    def call(self, name: str, *arguments: Any) -> Any:
        """Call the function `name`. Raises AravisError if the function reports an error."""
        if name in _PLAIN:
            return getattr(self._loaded, name)(*arguments)
        error = POINTER(_GError)()
        result = getattr(self._loaded, name)(*arguments, ctypes.byref(error))
        if error:
            message = error.contents.message.decode(errors="replace")
            self.call("g_clear_error", ctypes.byref(error))
            raise AravisError(" ".join(message.split()))
        return result

    def set_enum(self, thing: int, name: str, value: int) -> None:
        """Set the enum property `name` of the GObject at address `thing`."""
        self._loaded.g_object_set(c_void_p(thing), name.encode(), c_int(value), c_void_p(None))


def discover() -> list[Found]:
    """The cameras that answer. Takes one second, Aravis's discovery timeout. Raises SourceError without Aravis."""
    call = library().call
    call("arv_update_device_list")

    def reported(what: str, number: int) -> str:
        return (call(f"arv_get_device_{what}", number) or b"").decode(errors="replace")

    fields = ("id", "serial_nbr", "address", "vendor", "model", "protocol")
    return [Found(*(reported(what, number) for what in fields)) for number in range(call("arv_get_n_devices"))]
