"""Every limit that the channel sets to a peer, in one place, each with its reason. Needs the standard library only.

ZeroMQ bounds one frame and the number of complete messages that wait. It bounds neither the frames of a message that
never ends, nor the subscriptions of a peer, nor the connections of a socket: those are what `connections` watches.
"""

from dataclasses import dataclass

LIMITS = (
    "bytes", "connections", "memory", "message", "newcomers", "penalty", "replays", "requests", "role",
    "subscriptions", "triggers",
)  # fmt: skip
"""The names under which the metrics and the log count that a limit acted on a peer. `role` is a request that the role
of a key does not allow.
"""

# -------------------------------------------------------------------------------------------------------- messages

LARGEST_REQUEST = 4096
"""Bytes of a message on the control socket. A trigger with the longest id has under 1,000; ZeroMQ cuts a peer that
sends a longer frame.
"""

LARGEST_SUBSCRIPTION = 512
"""Bytes of a frame on the sockets that publish. The longest topic has under 100, the handshake of CURVE up to 400. The
memory of a subscription is up to 60 bytes for each of its characters.
"""

LARGEST_MESSAGE = 1 << 16
"""Bytes of a frame that a listener accepts. The largest verdict, with 16 defects and a long cause, has under 10,000."""

MOST_FRAMES = 8
"""Frames of a message on the control socket. A request is one, behind the address and perhaps an empty frame. A peer
whose message has more is cut; what is in the message beyond is read and dropped.
"""

DROPPED_AT_ONCE = 1_000
"""Frames that are dropped in one turn of the station's loop, which takes a millisecond or two."""

REQUESTS_WAITING = 200
"""Complete requests of one connection that wait for the station's loop; then ZeroMQ stops reading that connection."""

ANSWERS_WAITING = 200
"""Answers that wait for a controller that does not read, 0.2 MB. A replay goes on as they are read."""

PUBLISHED_WAITING = 2_000
"""Messages that wait for a subscriber that does not read, about 2 MB. Those beyond are lost to it alone, as a gap."""

RECEIVED_WAITING = 10_000
"""Messages that a listener lets wait before it reads them, 10 MB of verdicts."""

# ----------------------------------------------------------------------------------------------------- connections

HANDSHAKE_MS = 2_000
"""A peer that has not ended the handshake by then is disconnected. On a loaded machine CURVE takes up to 100 ms."""

MOST_UNPROVEN = 128
"""Connections of a socket that have said nothing yet. One more, and the oldest of them are cut: a newcomer with a key
needs a fraction of a second, a peer without one stays for ever.
"""

CUT_AT_ONCE = 32
"""Of these, so that a flood of connections costs little."""

MOST_OF_A_KEY = 4
"""Connections of one key to one socket. A controller has one; of one that lost its network another may seem open for
`KEEPALIVE_S * (KEEPALIVES + 1)`. With one more, that which has been silent longest is cut.
"""

KEEPALIVE_S, KEEPALIVES = 5, 3
"""The kernel asks a silent peer every so many seconds whether it is there, and ends the connection after so many
questions without an answer.
"""

MOST_WITHOUT_KEYS = 128
"""Connections to one socket of a station without keys that have said something. One more, and that one is cut."""

LARGEST_SUBSCRIPTION_WITHOUT_KEYS = 128
"""The same as `LARGEST_SUBSCRIPTION` where there is no handshake of CURVE."""

MOST_SUBSCRIPTIONS = 16
"""Subscriptions that one connection has. A listener has one, or one for each kind of message."""

LOOK_S = 0.05
"""How often the bytes of each connection are looked at. A peer of the same machine fills up to 20 MB in that time."""

PENALTY_S = 60.0
"""A key whose connection was cut for what it sent may not connect for so long; without keys an address of the network.
On loopback nobody has to wait: honest programs of the machine have the same address.
"""

PAUSE_S = 0.005
"""Rest of the thread that watches connections after each piece of its work, so that a flood leaves the interpreter to
the station's loop.
"""

# ----------------------------------------------------------------------------------------------------------- bytes


@dataclass(frozen=True)
class Allowance:
    """What one connection to a socket may send: `burst` bytes at once, after that `rate` bytes a second. `open_bytes`
    may come since the last complete message, of which `open_rate` a second are signs of life and do not count; over
    all connections of the socket together `all_open_bytes`. `is_asked` says that honest peers end messages all the
    time.
    """

    burst: int
    rate: int
    open_bytes: int
    open_rate: int
    all_open_bytes: int
    is_asked: bool


CONTROL_ALLOWANCE = Allowance(1 << 20, 512 << 10, 64 << 10, 1 << 10, 2 << 20, is_asked=True)
"""A controller pings ten times a second and acknowledges each part, 100 to 200 bytes each with encryption: at 100 parts
a second 20 kB/s, after a minute without a network 300 kB/s till it owes nothing more. A frame without content takes 35
bytes on the wire and 64 in memory.
"""

CONTROL_ALLOWANCE_WITHOUT_KEYS = Allowance(256 << 10, 256 << 10, 8 << 10, 1 << 10, 512 << 10, is_asked=True)
"""The same without encryption, where a frame without content takes 2 bytes on the wire."""

PUBLISHED_ALLOWANCE = Allowance(16 << 10, 2 << 10, 16 << 10, 1 << 10, 256 << 10, is_asked=False)
"""A listener subscribes once, and then sends at most the signs of life of ZeroMQ (ZMQ_HEARTBEAT_IVL), 60 bytes each
with encryption, sixteen a second at most.
"""

DRAINED_S = 0.5
"""A message counts as one that does not end when none of its connection was read for so long: the station's loop reads
each within 0.1 s.
"""

STALLED_S = 0.25
"""A station's loop that did not come by for so long is held up. It comes by ten times a second at least."""

MOST_GROWTH = 48 << 20
"""Bytes by which the station's process grows before the connection is cut that sent the most without ending a message.
It catches what sends so slowly that no rate tells it from signs of life.
"""

SUSPICIOUS_BYTES = 8 << 10
"""Bytes without a message of a connection that may be cut for the process's growth."""

# --------------------------------------------------------------------------------------------------------- requests


@dataclass(frozen=True)
class Pace:
    """So many at once, after that so many a second."""

    burst: int
    a_second: float


NEWCOMERS = Pace(burst=100, a_second=50)
"""Handshakes of one key, or without keys of one address, that succeed. ZeroMQ sets up queues for each connection, and
takes them down in the station's loop. One beyond is cut after `HANDSHAKE_MS`, and comes again by itself.
"""

REQUESTS = Pace(burst=6_000, a_second=1_500)
"""Of one peer, of all kinds. A controller of 100 parts a second makes 110, and one that owes acknowledgements 1,000."""

SERVED = Pace(burst=200, a_second=2_000)
"""Of all peers together, in turn: a flood takes a fifth of a core from the station. What is beyond waits in queues of
ZeroMQ, which then stops reading.
"""

TRIGGERS = Pace(burst=100, a_second=100)
"""Of one peer. The fastest lines have 50 parts a second."""

REPLAYS = Pace(burst=10, a_second=1)
"""Of one peer. A replay reads up to 10,000 verdicts; a controller asks once after a gap."""

REPLAYS_AT_ONCE = 4
"""Of all peers: each holds up to 10 MB while it is sent."""

REPLAYS_OF_A_PEER = 1
"""At once, so that no peer takes the turns of the others."""

REPLAY_STALLS_S = 10.0
"""A replay whose peer has read nothing for so long is given up."""

MOST_REFUSED = 50
"""Answers of a second, to all peers together, that say why a request beyond a limit, or what is no request, is not met.
More are only counted: a flood buys no work.
"""

MOST_NAMED = 4
"""Keys that are remembered of one address, to be named in the log."""

MOST_PEERS = 1_000
"""Peers whose pace is remembered; those that were silent longest are forgotten."""

# ------------------------------------------------------------------------------------------------------------- files

BIND_PATIENCE_S = 5.0
"""How long a port or path that another process has is tried again. A predecessor that was stopped leaves in two."""
