"""Trains every row of a plan (results.toml, line_results.toml), and writes its page, pictures and numbers."""
