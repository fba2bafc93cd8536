"""A real station behind edge-plc, and a PLC that polls it: latency, escapes, lost and repeated results."""
