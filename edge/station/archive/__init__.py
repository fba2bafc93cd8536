"""The archive process: `child` runs in it, `process` is the supervisor's side of it."""
