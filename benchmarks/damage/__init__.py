"""The fate of damaged pictures, by format: `python -m benchmarks.damage`, docs/reports/damage.md."""
