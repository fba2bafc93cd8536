"""The runtime of an inspection line: bundle in, verdicts out. Imports no torch."""
