"""Whether an address is open to the network, which the user must allow explicitly."""

import ipaddress

from edge.errors import ChannelError


def is_loopback(host: str) -> bool:
    """Whether only processes of this machine reach this host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_reach(host: str, is_meant: bool, danger: str, remedy: str, statement: str = "--insecure") -> None:
    """Raise ChannelError, in one line, if `host` is open to the network and `statement` was not given."""
    if not (is_loopback(host) or is_meant):
        raise ChannelError(f"{danger}; {remedy}, or say {statement} if that is meant")
