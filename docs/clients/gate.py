"""A minimal, safe gate controller in Python: gate.py VERDICTS STATION DECIDE_MS [CONTROL]. README.md explains it."""

import contextlib
import json
import os
import re
import sys
import time

import zmq


def leave(why):
    """What a person got wrong is one line."""
    print(why, file=sys.stderr)
    sys.exit(2)


if len(sys.argv) not in (4, 5):
    leave("usage: gate.py VERDICTS STATION DECIDE_MS [CONTROL]")
endpoint, station, decide_ms, *control_endpoint = sys.argv[1:]
if not re.fullmatch("[0-9]{1,5}", decide_ms) or not 1 <= int(decide_ms) <= 60000:
    leave("DECIDE_MS is a whole number, 1 to 60000")
context, clock = zmq.Context(), time.monotonic_ns
epoch, past, last = None, set(), 0
sent, lease, is_ready, is_alive = 0, 0, False, False  # the station's word holds until `lease`, by its own clock
asked, clock_set, ahead = 0, 0, 0 if not control_endpoint else float("inf")  # how far the station's clock is ahead


def connect(kind, endpoint):
    """A socket, encrypted if there are keys."""
    socket = context.socket(kind)
    socket.setsockopt(zmq.MAXMSGSIZE, 65536)
    socket.setsockopt(zmq.HEARTBEAT_IVL, 1000)  # a connection that died without a word is made again
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 3000)
    if "EDGE_SERVER_KEY" in os.environ:
        try:
            socket.curve_serverkey, socket.curve_publickey, socket.curve_secretkey = (
                os.environ[f"EDGE_{whose}_KEY"].encode() for whose in ("SERVER", "PUBLIC", "SECRET")
            )
        except (KeyError, ValueError, zmq.ZMQError):
            leave("EDGE_SERVER_KEY, EDGE_PUBLIC_KEY and EDGE_SECRET_KEY are keys of 40 characters each")
    try:
        socket.connect(endpoint)
    except zmq.ZMQError as error:
        leave(f"{endpoint!r} is no endpoint: {error}")
    return socket


def now():
    """The station's time, if anything too late; infinitely late while it is not known, and then nothing passes."""
    return float("inf") if control_endpoint and clock() - clock_set > 5e9 else clock() + ahead


def whole(value, least=0):
    """The value, if it is a whole number."""
    if type(value) is not int or value < least:
        raise ValueError(f"no number: {value!r}")
    return value


def hear(topic, payload):
    """Take one message; what is malformed raises and changes nothing."""
    global epoch, last, sent, lease, is_ready, is_alive, ahead, asked
    kind, m = topic.split(b"/")[2], json.loads(payload.decode())
    is_verdict, is_heartbeat = kind == b"verdict", kind == b"heartbeat"
    if kind not in (b"verdict", b"heartbeat", b"state") or m["protocol"] != "evp1" or m["station"] != station:
        raise ValueError("not of this station")
    reached = whole(m["seq"], 1) - 1 if is_verdict else whole(m["last_seq"])  # verdicts before this message
    run = "" + m["epoch"]
    part, captured = (json.dumps("" + m["part"]), whole(m["timing"]["captured"])) if is_verdict else ("", 0)
    moment, until = (whole(m["sent"]), whole(m["valid_until"])) if is_heartbeat else (0, 0)
    if run in past:
        if is_heartbeat and now() < until:
            print("reject all two stations of one name", flush=True)
            sys.exit(1)
        return
    if run != epoch:
        if epoch is not None:  # another run, which knows nothing of the parts on the belt
            print("reject all new epoch", flush=True)
            past.add(epoch)
        last = reached if epoch is None else 0  # what went before we came is history
        epoch, sent, lease, is_alive = run, 0, 0, False
        ahead, asked = float("inf") if control_endpoint else 0, 0
    if reached > last:
        print(f"reject {last + 1}..{reached} - gap", flush=True)
    if is_verdict and reached >= last:  # else it came before, or its place was a gap
        why = doubt(m, captured)
        print(f"reject {reached + 1} {part} {why}" if why else f"pass {reached + 1} {part}", flush=True)
    if is_heartbeat and moment > sent:
        sent, lease, is_ready = moment, until, m["ready"] is True
    last = max(last, reached + is_verdict)


def doubt(m, captured):
    """Why a part must not pass; None if nothing speaks against it."""
    if m["verdict"] != "good" or m["reason"] != "clear":
        return json.dumps(m["reason"])
    if m["simulated"] is not False and os.environ.get("EDGE_SIMULATED") != "1":
        return "simulated"
    if not is_ready or now() > lease:
        return "not ready" if now() <= lease else "no heartbeat"
    return None if 0 <= now() - captured <= int(decide_ms) * 1e6 else "late"


def hear_pong(payload):
    """The station's clock was at `now` some time after we asked: it is no further ahead than if that took no time."""
    global ahead, clock_set
    m = json.loads(payload.decode())
    if m["type"] == "pong" and m["nonce"] == asked // 1000 and m["epoch"] == epoch:
        ahead, clock_set = whole(m["now"]) - asked, asked


verdicts = connect(zmq.SUB, endpoint)
verdicts.subscribe(f"evp1/{station}/")
control = connect(zmq.DEALER, control_endpoint[0]) if control_endpoint else None
has_complained = False
while True:
    zmq.select([verdicts, control] if control else [verdicts], [], [], 0.05)
    for socket, take in ((control, hear_pong), (verdicts, hear)):
        while socket and socket.poll(0):
            try:
                take(*socket.recv_multipart())
            except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
                if not has_complained:  # once: nobody may be reading
                    print(f"ignored what is no message, and will not say so again: {error!r}", file=sys.stderr)
                has_complained = True
    was_alive, is_alive = is_alive, now() <= lease
    if was_alive and not is_alive:
        print("reject all heartbeat lost", flush=True)
    if control and clock() - asked > 1e9:
        asked = clock()
        with contextlib.suppress(zmq.Again):
            control.send(json.dumps({"type": "ping", "nonce": asked // 1000}).encode(), zmq.NOBLOCK)
