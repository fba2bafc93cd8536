"""The journal at length: bytes of a verdict, and the time of what readers ask for."""
