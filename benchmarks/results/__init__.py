"""`make results`: trains every recipe as results.toml says and writes docs/results.md from the run folders."""
