"""The side of a station that a PLC reads and writes: a handshake, its registers, and fieldbuses that carry them."""
