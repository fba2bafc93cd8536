"""Keys: CURVE certificates and keystores of the channel, Ed25519 pairs that sign bundles, and what a role may do."""
