"""Step 4 of an export: what integer files need. Calibration, clipped ranges, mixed precision."""
