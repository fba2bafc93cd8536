"""What a station remembers: a journal of verdicts, the images of parts, and the audit of both."""
