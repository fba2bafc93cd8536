"""New bundles on a running line: a candidate in the shadow, its promotion, and the way back."""
