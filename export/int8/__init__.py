"""Step 4 of an export: what integers need. Calibration, clipped ranges, mixed precision."""
