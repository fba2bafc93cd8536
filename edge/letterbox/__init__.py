"""The letterbox, one definition for training, export and the line: contract, integer arithmetic, filter weights."""
