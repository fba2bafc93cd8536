"""The finder of parts, judged by the moving belt. Start at `python -m benchmarks.presence`."""
