"""`python -m benchmarks.glass.gige ADDRESS SERIAL`: Aravis' fake GigE Vision camera, with a clock in its pictures.

It speaks the real protocol over the loopback interface. It draws a picture when the next one is due and sends it at
once: its exposure takes no time. Prints a line when it serves; runs until it is killed.
"""

import ctypes
import sys
import time
from ctypes import POINTER, c_char_p, c_int, c_size_t, c_uint32, c_void_p

import numpy as np

from edge.demo.clock import draw, now_us
from edge.errors import SourceError
from edge.sources.aravis import INSTALL, LIBRARIES

_FILL = ctypes.CFUNCTYPE(None, c_void_p, c_void_p, c_uint32, c_uint32, c_uint32)

_FUNCTIONS = {  # result type, argument types
    "arv_gv_fake_camera_new": (c_void_p, c_char_p, c_char_p),
    "arv_gv_fake_camera_is_running": (c_int, c_void_p),
    "arv_gv_fake_camera_get_fake_camera": (c_void_p, c_void_p),
    "arv_fake_camera_set_fill_pattern": (None, c_void_p, _FILL, c_void_p),
    "arv_buffer_get_data": (c_void_p, c_void_p, POINTER(c_size_t)),
    "arv_buffer_get_image_width": (c_int, c_void_p),
    "arv_buffer_get_image_height": (c_int, c_void_p),
}


class ClockCamera:
    """Sends noise with a clock in Mono8, at the rate and region that its user sets."""

    def __init__(self, address: str, serial: str) -> None:
        """Switch it on. Raises SourceError without Aravis, or if another camera has this address."""
        self._aravis = _load()
        for name, (result, *arguments) in _FUNCTIONS.items():
            function = getattr(self._aravis, name)
            function.restype, function.argtypes = result, arguments
        self._noise = np.random.default_rng(0).integers(90, 160, 4096 * 4096, np.uint8)
        self._fill_pattern = _FILL(self._fill)  # kept: Aravis calls it from its own thread
        self._camera = self._aravis.arv_gv_fake_camera_new(address.encode(), serial.encode())
        if not self._aravis.arv_gv_fake_camera_is_running(self._camera):
            raise SourceError(f"port 3956 of {address} is taken: another fake camera runs here; end it")
        fake = self._aravis.arv_gv_fake_camera_get_fake_camera(self._camera)
        self._aravis.arv_fake_camera_set_fill_pattern(fake, self._fill_pattern, None)

    def _fill(self, buffer: int, data: int | None, exposure_us: int, gain: int, pixel_format: int) -> None:
        moment = now_us()
        width, height = (getattr(self._aravis, f"arv_buffer_get_image_{side}")(buffer) for side in ("width", "height"))
        address = self._aravis.arv_buffer_get_data(buffer, None)  # allocated for the picture, not filled yet
        pixels = np.ctypeslib.as_array((ctypes.c_uint8 * (height * width)).from_address(address))
        offset = moment % 4096  # a sensor's noise never repeats
        pixels[:] = self._noise[offset : offset + pixels.size]
        draw(pixels.reshape(height, width), moment)


def _load() -> ctypes.CDLL:
    for name in LIBRARIES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise SourceError(f"the fake camera needs Aravis 0.8, which is not installed here; {INSTALL}")


if __name__ == "__main__":
    try:
        camera = ClockCamera(*sys.argv[1:])
    except SourceError as error:
        sys.exit(str(error))
    print("on", flush=True)
    while True:
        time.sleep(60)
