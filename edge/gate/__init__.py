"""The reference controller: opens a gate for a part only on an in-time final good for that very part.

Needs the standard library, pyzmq and pydantic. `Gate` decides and touches no socket; `Controller` joins it to a
station.
"""
