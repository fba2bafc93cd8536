"""The inference process: `child` runs in it, `process` and `seat` are the supervisor's side of it."""
