"""Pictures for people, and shared parts of self-contained HTML pages; the pages need the extra `verify`."""
