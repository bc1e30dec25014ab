"""Step 4 of an export, for integer files: calibration, clipped ranges, mixed precision."""
