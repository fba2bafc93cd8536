"""The watch on drift: whether the line of the last hour is the line of its reference."""
