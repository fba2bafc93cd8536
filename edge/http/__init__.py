"""Pages over HTTP, for a browser or a program of the plant; standard library only."""
