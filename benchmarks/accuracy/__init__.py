"""Accuracy after a fixed number of steps, beside another package on the same batches."""
