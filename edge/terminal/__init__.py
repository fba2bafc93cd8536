"""Standard output and error: what is left of them, and tables and progress bars on a terminal."""
