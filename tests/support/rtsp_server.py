"""GStreamer's RTSP server with pictures that show the time. The system's Python runs it, because it has the bindings.

Prints the port of the server. The clock in the pictures is that of `picture_clock.py`.
"""

import argparse
import random
import threading
import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402
from picture_clock import drawn  # noqa: E402

ENCODERS = {
    "h264": "x264enc tune=zerolatency speed-preset=ultrafast bitrate=4000 key-int-max={keys} "
    "! rtph264pay name=pay0 pt=96 config-interval=1",
    "jpeg": "jpegenc quality=80 ! rtpjpegpay name=pay0 pt=26",
}


class Clock(GstRtspServer.RTSPMediaFactory):
    """One pipeline for all clients, fed at a fixed rate even if it is too slow."""

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__()
        self._options = options
        width, height = options.width, options.height
        noise = random.Random(0)
        luma = bytes(110 + noise.randrange(30) for _ in range(width)) * height
        self._background = luma + bytes([128]) * (width * height // 2)
        caps = f"video/x-raw,format=I420,width={width},height={height},framerate={options.rate}/1"
        encoder = ENCODERS[options.codec].format(keys=options.keys)
        self.set_launch(
            f"( appsrc name=source is-live=true do-timestamp=true format=time max-buffers=1 leaky-type=downstream "
            f"caps={caps} ! {encoder} )"
        )
        self.set_shared(True)
        self.set_latency(0)

    def do_configure(self, media: GstRtspServer.RTSPMedia) -> None:
        """Feed this pipeline until it is unprepared."""
        over = threading.Event()
        media.connect("unprepared", lambda _: over.set())
        source = media.get_element().get_by_name_recurse_up("source")
        threading.Thread(target=self._feed, args=(source, over), daemon=True).start()

    def _feed(self, source: Gst.Element, over: threading.Event) -> None:
        due = time.monotonic()
        while not over.is_set():
            picture = drawn(self._background, self._options.width)
            source.emit("push-buffer", Gst.Buffer.new_wrapped(picture))
            due = max(due, time.monotonic() - 0.5 / self._options.rate) + 1 / self._options.rate
            time.sleep(max(0.0, due - time.monotonic()))


def main() -> None:
    """Serve `/line` until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", default="0")
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=360)
    parser.add_argument("--rate", type=int, default=25)
    parser.add_argument("--codec", choices=ENCODERS, default="h264")
    parser.add_argument("--keys", type=int, default=25, help="frames from one key frame to the next")
    parser.add_argument("--login", help="NAME:PASSWORD")
    options = parser.parse_args()

    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(options.port)
    factory = Clock(options)
    if options.login:
        _ask_for(options.login, server, factory)
    server.get_mount_points().add_factory("/line", factory)
    server.attach(None)
    print(server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


def _ask_for(login: str, server: GstRtspServer.RTSPServer, factory: Clock) -> None:
    """Require the name and password in `login` from every client."""
    access, person = GstRtspServer.RTSPAuth(), GstRtspServer.RTSPToken()
    person.set_string("media.factory.role", "viewer")
    access.add_basic(GstRtspServer.RTSPAuth.make_basic(*login.split(":", 1)), person)
    server.set_auth(access)
    factory.add_role_from_structure(
        Gst.Structure.new_from_string("viewer, media.factory.access=true, media.factory.construct=true")
    )


if __name__ == "__main__":
    main()
