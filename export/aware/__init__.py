"""Step 2 of an export, optional: training with the rounding of the integer file."""
