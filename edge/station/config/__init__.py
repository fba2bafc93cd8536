"""The configuration of stations: settings from file and flags, several stations in one file, tuned settings."""
