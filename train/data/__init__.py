"""Photographs for training: their listing, splits, near-duplicates, and batches."""
