"""The fate of each frame when cameras lose packets, lose power and freeze."""
