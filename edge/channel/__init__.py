"""Verdicts over ZeroMQ: the station's sockets, and the client that a controller uses. Needs pyzmq and pydantic."""
