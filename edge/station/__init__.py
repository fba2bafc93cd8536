"""The running line: a supervisor with sockets and deadlines, a capture child and an inference child with the pixels."""
