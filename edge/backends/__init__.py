"""Inference runtimes: one file each in `runtimes`, one interface, found by name."""

from edge.backends.base import Backend, Fixed, Graph, Output, Runtime
from edge.backends.golden import check_golden, check_static, tiled
from edge.backends.loader import computes_float32, is_exact_here, load_backend, load_from, refuses, tried
from edge.backends.registry import preload, runtime_of
from edge.runtimes import RUNTIMES

__all__ = [
    "RUNTIMES",
    "Backend",
    "Fixed",
    "Graph",
    "Output",
    "Runtime",
    "check_golden",
    "check_static",
    "computes_float32",
    "is_exact_here",
    "load_backend",
    "load_from",
    "preload",
    "refuses",
    "runtime_of",
    "tiled",
    "tried",
]
