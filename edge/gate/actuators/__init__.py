"""What a gate moves, one file a kind: `base` is what they share, `registry` picks one by its name."""
