"""Runs a backtest on the cores of this machine."""

import multiprocessing
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from edge.backtest.items import Item
from edge.backtest.judging import judge_chunk
from edge.backtest.plan import Plan, chunk_of
from edge.backtest.table import packed
from edge.errors import EdgeError

MOST_ATTEMPTS = 3
"""Worker processes that may die with a chunk before the backtest ends: a frame may crash a decoder."""

AHEAD = 2
"""Chunks that wait for each worker, so that none is idle."""

Store = Callable[[int, bytes], None]


def run(plan: Plan, items: Sequence[Item], todo: Sequence[int], workers: int, store: Store) -> None:
    """Judge the chunks `todo`, and `store` each as Parquet as soon as it is done.

    If a worker dies, the chunks that were being judged are judged again. Raises EdgeError if a bundle cannot be run, or
    if workers died on one chunk MOST_ATTEMPTS times.
    """
    left, deaths = [*todo], Counter[int]()
    while left:
        done: set[int] = set()
        try:
            _run(plan, items, left, workers, store, done)
        except BrokenProcessPool:
            left = [number for number in left if number not in done]
            at_work = left[: workers * AHEAD]
            deaths.update(at_work)
            if worst := [number for number in at_work if deaths[number] >= MOST_ATTEMPTS]:
                first = chunk_of(items, worst[0])[0]
                raise EdgeError(
                    f"worker processes died {MOST_ATTEMPTS} times near {first.folder}/{first.path}, for lack of memory "
                    "or because of a frame; try --workers 1 to find which"
                ) from None
        else:
            return


def _run(plan: Plan, items: Sequence[Item], left: Sequence[int], workers: int, store: Store, done: set[int]) -> None:
    """Raises BrokenProcessPool if a worker dies; `done` has the chunks that were stored."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_begin) as pool:
        waiting, numbers = iter(left), dict[Future[bytes], int]()
        try:
            for number in waiting:
                numbers[pool.submit(_work, plan, chunk_of(items, number))] = number
                if len(numbers) >= workers * AHEAD:
                    _collect(numbers, store, done)
            while numbers:
                _collect(numbers, store, done)
        except BaseException:
            for future in numbers:
                future.cancel()
            for child in multiprocessing.active_children():  # what they work at is done again
                child.kill()
            raise


def _collect(numbers: dict[Future[bytes], int], store: Store, done: set[int]) -> None:
    """Store what is finished, after waiting for at least one."""
    finished, _ = wait(numbers, return_when=FIRST_COMPLETED)
    for future in finished:
        number = numbers.pop(future)
        store(number, future.result())
        done.add(number)


def _begin() -> None:
    """Of each worker: it ends with the command, and OpenCV gets no threads of its own, since each core has a worker."""
    import cv2

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command handles Ctrl-C
    threading.Thread(target=_die_with_parent, daemon=True).start()
    cv2.setNumThreads(1)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _work(plan: Plan, items: Sequence[Item]) -> bytes:
    return packed(judge_chunk(plan, items))
