"""The built-in production line: a rendered belt with parts of known truth. Start at `edge.demo.line`."""
