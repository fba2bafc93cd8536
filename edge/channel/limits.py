"""All limits that the channel sets for a peer, each with its reason. Needs only the standard library.

ZeroMQ limits the size of a frame and the number of complete messages that wait. It does not limit the frames of a
message that never ends, the subscriptions of a peer, or the connections of a socket: the module `connections` does.
"""

from dataclasses import dataclass

LIMITS = (
    "bytes", "changeovers", "connections", "memory", "message", "newcomers", "penalty", "replays", "requests", "role",
    "subscriptions", "suspensions", "triggers",
)  # fmt: skip
"""The names under which metrics and log count the enforcement of a limit. `role` is a request that the role of a key
does not allow.
"""

# -------------------------------------------------------------------------------------------------------- messages

LARGEST_REQUEST = 4096
"""Bytes of a message on the control socket. A trigger with the longest id and fields has under 3,500 in UTF-8; ZeroMQ
disconnects a peer that sends a longer frame.
"""

LARGEST_SUBSCRIPTION = 512
"""Bytes of a frame received by the publishing sockets. The longest topic has under 100, the CURVE handshake up to 400.
A subscription takes up to 60 bytes of memory per character.
"""

LARGEST_MESSAGE = 1 << 16
"""Bytes of a frame that a subscriber accepts. The largest verdict, with 16 defects and a long cause, has < 10,000."""

MOST_FRAMES = 8
"""Frames of a message on the control socket. A request is one frame after the address and possibly an empty frame. A
peer whose message has more is cut; the rest of the message is read and dropped.
"""

DROPPED_AT_ONCE = 1_000
"""Frames dropped per turn of the station's loop, which takes one or two milliseconds."""

REQUESTS_WAITING = 200
"""Complete requests of one connection that wait for the station's loop; with more, ZeroMQ stops reading it."""

ANSWERS_WAITING = 200
"""Answers that wait for a controller that does not read, 0.2 MB. A replay continues as they are read."""

PUBLISHED_WAITING = 2_000
"""Messages that wait for a subscriber that does not read, about 2 MB. Further ones are lost to it, visible as a gap."""

SHOWN_WAITING = 500
"""Messages that wait for a viewer that does not read: with verdicts of 1 kB 0.5 MB, with the largest ones 5 MB.
Further ones are lost to it, visible as a gap. Viewers share the memory of one message, but those that stop reading one
after the other have different ones. The memory of previews has a limit of its own.
"""

MOST_PREVIEW_BYTES = 4 << 20
"""Bytes of the previews that wait for any viewer, over all viewers together: 60 of the largest ones, 15 s at the
highest rate. With more a preview is dropped for all of them. ZeroMQ holds in addition, per viewer, the one that it is
encrypting, at most `LARGEST_MESSAGE` bytes, and the kernel its send buffer.
"""

PREVIEW_LOOK_S, PREVIEW_LOOKS = 0.25, 4
"""While more than half of that waits, viewers of previews for which the kernel takes no byte at so many looks in
succession, at this interval in seconds, are cut: the others get previews again. A viewer reconnects by itself.
"""

RECEIVED_WAITING = 10_000
"""Messages that wait in a subscriber, 10 MB of verdicts."""

SHOWN_RECEIVED_WAITING = 2_000
"""Messages that wait in a viewer with previews. Verdicts and heartbeats come between them, so at most 30 MB."""

# ----------------------------------------------------------------------------------------------------- connections

HANDSHAKE_MS = 2_000
"""A peer that has not completed the handshake by then is disconnected. On a loaded machine CURVE takes up to 100 ms."""

MOST_UNPROVEN = 128
"""Connections of a socket without a message so far. With one more, the oldest of them are cut: a new client with a key
needs a fraction of a second, a peer without one may stay silent forever.
"""

CUT_AT_ONCE = 32
"""Number of them that are cut at once, so that a flood of connections costs little."""

MOST_OF_A_KEY = 4
"""Connections of one key to one socket. A controller needs one; after it lost its network, an old one may seem open for
`KEEPALIVE_S * (KEEPALIVES + 1)`. With one more, the connection that was silent longest is cut.
"""

KEEPALIVE_S, KEEPALIVES = 5, 3
"""Interval in seconds of the kernel's keepalive probes to a silent peer, and the number of unanswered probes after
which it ends the connection.
"""

MOST_WITHOUT_KEYS = 128
"""Connections with messages to one socket of a station without keys. A further one is cut."""

LARGEST_SUBSCRIPTION_WITHOUT_KEYS = 128
"""The same as `LARGEST_SUBSCRIPTION` without a CURVE handshake."""

MOST_SUBSCRIPTIONS = 16
"""Subscriptions of one connection. A subscriber has one, or one per kind of message."""

MOST_PREVIEW_SUBSCRIPTIONS = MOST_WITHOUT_KEYS * MOST_SUBSCRIPTIONS
"""Subscriptions to previews that are known at a time."""

LOOK_S = 0.05
"""Interval at which the bytes of each connection are checked. A local peer can send up to 20 MB in that time."""

PENALTY_S = 60.0
"""Time for which a key whose connection was cut for its traffic may not reconnect; without keys a network address. On
loopback there is no penalty, because honest programs of the machine have the same address.
"""

PAUSE_S = 0.005
"""Pause of the thread that watches connections after each step, so that during a flood the station's loop gets the
interpreter.
"""

# ----------------------------------------------------------------------------------------------------------- bytes


@dataclass(frozen=True)
class Allowance:
    """What one connection to a socket may send: `burst` bytes at once, then `rate` bytes per second. Since the last
    complete message `open_bytes` may arrive; `open_rate` bytes per second, for heartbeats, are not counted.
    `all_open_bytes` is the limit for all connections of the socket together. `is_asked` says that honest peers end
    messages continually.
    """

    burst: int
    rate: int
    open_bytes: int
    open_rate: int
    all_open_bytes: int
    is_asked: bool


CONTROL_ALLOWANCE = Allowance(1 << 20, 512 << 10, 64 << 10, 1 << 10, 2 << 20, is_asked=True)
"""A controller pings ten times a second and acknowledges each part, 100 to 200 bytes each with encryption: 20 kB/s at
100 parts per second, and 300 kB/s after a minute without a network, until all is acknowledged. An empty frame takes 35
bytes on the wire and 64 in memory.
"""

CONTROL_ALLOWANCE_WITHOUT_KEYS = Allowance(256 << 10, 256 << 10, 8 << 10, 1 << 10, 512 << 10, is_asked=True)
"""The same without encryption, where an empty frame takes 2 bytes on the wire."""

PUBLISHED_ALLOWANCE = Allowance(16 << 10, 2 << 10, 16 << 10, 1 << 10, 256 << 10, is_asked=False)
"""A subscriber subscribes once, and then sends at most ZeroMQ's heartbeats (ZMQ_HEARTBEAT_IVL), 60 bytes each with
encryption, at most sixteen per second.
"""

DRAINED_S = 0.5
"""A message counts as unfinished if more than `open_bytes` wait for this long and no message of their connection was
read: the station's loop reads each within 0.1 s.
"""

STALLED_S = 0.25
"""A station's loop without a turn for this long is blocked. Normally it has at least ten turns per second."""

MOST_GROWTH = 48 << 20
"""Growth of the station's process in bytes after which the connection with the most unfinished bytes is cut. It catches
peers that send so slowly that their rate looks like heartbeats.
"""

SUSPICIOUS_BYTES = 8 << 10
"""Bytes without a message from which on a connection may be cut because of the process's growth."""

# --------------------------------------------------------------------------------------------------------- requests


@dataclass(frozen=True)
class Pace:
    """A rate limit: `burst` at once, then `a_second` per second."""

    burst: int
    a_second: float


NEWCOMERS = Pace(burst=100, a_second=50)
"""Successful handshakes of one key, or without keys of one address. ZeroMQ allocates queues for each connection, and
frees them in the station's loop. A further one is cut after `HANDSHAKE_MS`; ZeroMQ reconnects by itself.
"""

REQUESTS = Pace(burst=6_000, a_second=1_500)
"""Requests of one peer, all types. At 100 parts/s a controller sends 110, with overdue acknowledgements 1,000."""

SERVED = Pace(burst=200, a_second=2_000)
"""Requests of all peers together: a flood takes a fifth of a core from the station. Further requests wait in ZeroMQ's
queues; when these are full, ZeroMQ stops reading.
"""

TRIGGERS = Pace(burst=100, a_second=100)
"""Triggers of one peer. The fastest lines have 50 parts per second."""

SUSPENSIONS = Pace(burst=10, a_second=1)
"""Suspensions and their ends of one peer. Each is an event of the journal."""

CHANGEOVERS = Pace(burst=20, a_second=10)
"""Changeovers of one peer. Each is an event of the journal."""

REPLAYS = Pace(burst=10, a_second=1)
"""Replays of one peer. A replay reads up to 10,000 verdicts; a controller requests one after a gap."""

REPLAYS_AT_ONCE = 4
"""Concurrent replays of all peers: each holds up to 10 MB while it is sent."""

REPLAYS_OF_A_PEER = 1
"""Concurrent replays of one peer, so that no peer takes all of them."""

REPLAY_STALLS_S = 10.0
"""A replay whose peer has read nothing for this long is cancelled."""

MOST_REFUSED = 50
"""Answers per second, to all peers together, to requests that are invalid or exceed a limit. Further ones are only
counted, so that a flood costs little.
"""

MOST_NAMED = 4
"""Keys remembered per address, to be named in the log."""

MOST_PEERS = 1_000
"""Peers whose request rate is tracked; the longest silent ones are forgotten."""

# ------------------------------------------------------------------------------------------------------------- files

BIND_PATIENCE_S = 5.0
"""Time for which a port or path in use is tried again. A stopped predecessor frees it within two seconds."""
