"""What a station was asked to do: settings from file and flags, several stations in one file, tuned settings."""
