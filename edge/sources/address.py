"""Addresses of network sources, without their credentials where an address is logged or published."""

import re

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_SHOWN = frozenset({"ch", "channel", "channelid", "media", "profile", "stream", "streamtype", "subtype", "transport"})
"""URL settings that only select a picture. The values of all other settings are hidden: any may be a password."""


def scheme(source: str) -> str | None:
    """`rtsp` of `rtsp://…`, in lower case; None if the name is not a URL."""
    found = _ADDRESS.match(source)
    return found[1].lower() if found else None


def redacted(source: str) -> str:
    """The source's name as it may be logged, published and stored.

    In a URL, user and password become `***`; so do the values of settings in path and query, except for settings known
    to be harmless. Everything before the last `@` is treated as the password, which may contain an unescaped `/` or
    `@`. A name that is not a URL is returned unchanged.
    """
    found = _ADDRESS.match(source)
    if found is None:
        return source
    _, at, rest = source[found.end() :].rpartition("@")
    return found[0] + ("***@" if at else "") + re.sub(r"([^/?&;=#]+)=([^/?&;#]*)", _shown, rest)


def _shown(setting: "re.Match[str]") -> str:
    return setting[0] if setting[1].lower() in _SHOWN else f"{setting[1]}=***"
