"""Glass to verdict: the age of a frame's content when another process has its verdict."""
