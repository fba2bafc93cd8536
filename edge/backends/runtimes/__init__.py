"""One file for each inference runtime; `edge.backends.registry` finds them."""
