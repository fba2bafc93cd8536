"""Photographs for training: which there are, whether they can be used, and how a batch of them is made."""
