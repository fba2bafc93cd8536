"""`make results`: trains every recipe as results.toml says and writes docs/reports/results.md from the run folders."""
