"""The operator's page: a process of its own that listens to viewers' sockets and reads records."""
