"""What `keras-seg predict` reads and writes."""
