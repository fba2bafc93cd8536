"""Tests the finder of parts on the moving belt. Start with `python -m benchmarks.presence`."""
