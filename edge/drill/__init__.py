"""The fault drill: faults put into a running line on purpose, for the tests and for a factory's acceptance test."""
