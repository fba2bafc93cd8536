"""What becomes of damaged pictures, format by format: `python -m benchmarks.damage`, docs/reports/damage.md."""
