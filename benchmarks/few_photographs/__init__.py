"""What to expect with few photographs: figures on test by the number of good and of bad photographs."""
