"""The report of a run, RUN/report.html: metrics with their uncertainty, and pictures."""
