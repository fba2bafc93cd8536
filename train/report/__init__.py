"""The report of a run, RUN/report.html: how good it is, how sure that is, and what it looks like."""
