"""Step 2 of an export, optional: training with the roundings of the integer file."""
