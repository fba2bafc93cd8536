"""`python -m benchmarks.subscribers ENDPOINT STATION COUNT`: COUNT subscribers in one process, a socket each.

Prints a line `{}` when all are connecting. Prints a second line when the station has stopped: `received`, the number of
verdicts, and `ms`, the milliseconds from publication until a subscriber had the verdict, of all verdicts.
"""

import json
import re
import sys
import time

import zmq

from edge.verdict import PROTOCOL

SILENCE_MS = 60_000
PUBLISHED = re.compile(rb'"published": ?(\d+)')
STOPPED = re.compile(rb'"state": ?"stopped"')


def main(endpoint: str, station: str, count: int) -> None:
    """Listen until every subscriber has received the station's stop, or nothing for a minute."""
    context, poller = zmq.Context(), zmq.Poller()
    topics = {f"{PROTOCOL}/{station}/verdict/".encode(): True, f"{PROTOCOL}/{station}/state/".encode(): False}
    sockets = [context.socket(zmq.SUB) for _ in range(count)]
    for one in sockets:
        one.set(zmq.RCVHWM, 10_000)
        one.set(zmq.LINGER, 0)
        for topic in topics:
            one.subscribe(topic)
        one.connect(endpoint)
        poller.register(one, zmq.POLLIN)
    print("{}", flush=True)
    samples: list[float] = []
    listening = set(sockets)
    while listening and (ready := poller.poll(SILENCE_MS)):
        for one, _ in ready:
            while True:  # read every queued message: one poll of a hundred sockets costs more than a message
                try:
                    topic, payload = one.recv_multipart(zmq.NOBLOCK)
                except zmq.Again:
                    break
                at_ns = time.monotonic_ns()
                if topics[topic]:
                    found = PUBLISHED.search(payload)
                    samples.append((at_ns - int(found[1])) / 1e6 if found else float("nan"))
                elif STOPPED.search(payload):
                    listening.discard(one)
    print(json.dumps({"received": len(samples), "ms": samples}), flush=True)
    for one in sockets:
        one.close()
    context.term()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
