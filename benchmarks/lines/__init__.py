"""What the rendered lines codes and pour look like, as pictures and figures. Start at `benchmarks.lines.__main__`."""
