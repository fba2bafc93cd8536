"""The fault drill: deliberate faults in a running line, for the tests and for a factory's acceptance test."""
