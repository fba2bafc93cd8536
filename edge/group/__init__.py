"""Several stations that look at one part: their verdicts become one, on a verdict channel of its own."""
