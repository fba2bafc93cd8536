"""A long run of the real station and the real gate: does it lose, repeat, grow or slow down."""
