"""The watch on drift: its false alarms over simulated weeks, and when it notices a lamp, a lens and a material."""
