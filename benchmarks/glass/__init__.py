"""Glass to verdict: how old what a frame showed is when another process has its verdict."""
