"""Runs a backtest on a Ray cluster, used as it is. Needs the extra ray.

Every node must have this software, and find the bundles and the frames at the same paths, as on a shared file system.
"""

import os
import socket
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from edge.backtest.items import Item
from edge.backtest.judging import judge_chunk
from edge.backtest.plan import Plan, chunk_of
from edge.backtest.table import packed
from edge.errors import EdgeError

RETRIES = 5
"""How often Ray repeats a chunk whose worker or node was lost."""

AHEAD = 4
"""Chunks in the cluster for each of its cores."""

POLL_S = 1.0
REACH_S = 5.0


def run(
    plan: Plan, items: Sequence[Item], todo: Sequence[int], address: str, store: Callable[[int, bytes], None]
) -> None:
    """Judge the chunks `todo` on the cluster at `address`, as `ray.init` takes it, and `store` each as Parquet.

    A chunk whose worker or node is lost is judged again elsewhere, and stored once. Raises EdgeError if there is no
    such cluster, if a bundle cannot be run on a node, or if chunks were lost too often.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a factory reports to nobody
    try:
        ray: Any = import_module("ray")  # its types are incomplete
    except ImportError as error:
        raise EdgeError("--ray needs the extra ray: pip install 'edge-inspect[ray]'") from error

    try:
        _reach(address)
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", configure_logging=False)
    except (OSError, RuntimeError, ValueError) as error:
        raise EdgeError(f"--ray {address}: no cluster answers there ({_line(error)})") from error
    try:
        most_cores = max((node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]), default=0)
        if most_cores < plan.threads:
            raise EdgeError(f"no node has {plan.threads} cores, the most are {most_cores:g}; give fewer --threads")
        work = ray.remote(num_cpus=plan.threads, max_retries=RETRIES)(_work)
        planned = ray.put(plan)
        numbers: dict[Any, int] = {}
        most = max(1, int(ray.cluster_resources().get("CPU", 1) / plan.threads * AHEAD))
        for number in todo:
            numbers[work.remote(planned, chunk_of(items, number))] = number
            while len(numbers) >= most:
                _collect(ray, numbers, store)
        while numbers:
            _collect(ray, numbers, store)
    finally:
        ray.shutdown()


def _reach(address: str) -> None:
    """Raise OSError if nobody listens at HOST:PORT: Ray itself tries for minutes. Other forms are left to Ray."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and "/" not in host:
        socket.create_connection((host.strip("[]"), int(port)), REACH_S).close()


def _collect(ray: Any, numbers: dict[Any, int], store: Callable[[int, bytes], None]) -> None:
    """Store what is finished, after waiting for a while."""
    finished, _ = ray.wait([*numbers], num_returns=1, timeout=POLL_S)
    for reference in finished:
        number = numbers.pop(reference)
        try:
            content = ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            cause = error.cause if isinstance(error.cause, EdgeError) else error
            raise EdgeError(f"chunk {number} cannot be judged: {_line(cause)}") from error
        except ray.exceptions.RayError as error:
            raise EdgeError(f"chunk {number} was lost {RETRIES + 1} times: {_line(error)}") from error
        store(number, content)


def _work(plan: Plan, items: Sequence[Item]) -> bytes:
    import cv2

    cv2.setNumThreads(1)
    return packed(judge_chunk(plan, items))


def _line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
