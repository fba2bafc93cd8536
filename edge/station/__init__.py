"""The running line: a supervisor with sockets and deadlines; capture, inference and archive children with pixels."""
