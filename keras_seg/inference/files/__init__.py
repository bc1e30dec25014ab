"""What `keras-seg predict` reads and writes: inputs, predictions as files, and how to resume."""
