"""What becomes of damaged pictures, format by format: `python -m benchmarks.damage`, docs/damage.md."""
