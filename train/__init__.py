"""From labelled photographs to a checkpoint. PyTorch lives here and in export/ only."""
