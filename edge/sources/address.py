"""Addresses of sources on the network, and what of them may be shown: never who may see the camera's pictures."""

import re

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_SHOWN = frozenset({"ch", "channel", "channelid", "media", "profile", "stream", "streamtype", "subtype", "transport"})
"""Settings in an address that say which picture it is. The values of all others are hidden: any may be a password."""


def scheme(source: str) -> str | None:
    """`rtsp` of `rtsp://…`, in lower case; None if the name is no address."""
    found = _ADDRESS.match(source)
    return found[1].lower() if found else None


def redacted(source: str) -> str:
    """The source's name as it may be logged, published and stored.

    Of an address, user and password become `***`, and so do settings in path and query but those known to be none.
    Everything before the last `@` counts as the password's: it may hold a `/` or `@` that nobody escaped. Any other
    name stays as it is.
    """
    found = _ADDRESS.match(source)
    if found is None:
        return source
    _, at, rest = source[found.end() :].rpartition("@")
    return found[0] + ("***@" if at else "") + re.sub(r"([^/?&;=#]+)=([^/?&;#]*)", _shown, rest)


def _shown(setting: "re.Match[str]") -> str:
    return setting[0] if setting[1].lower() in _SHOWN else f"{setting[1]}=***"
