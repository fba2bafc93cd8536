"""Keys: CURVE certificates and keystores of the channel, Ed25519 pairs for signing bundles, and roles."""
