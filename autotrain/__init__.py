"""`edge-train auto`: trains the recipes that the photographs allow, and keeps the one that is best on validation."""
