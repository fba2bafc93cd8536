"""The code reader: `child` runs in a process of its own, `process` is the supervisor's side of it."""
