"""A long run of the real station and the real gate: lost or repeated verdicts, growing memory, growing latency."""
