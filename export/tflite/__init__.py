"""Step 3 of an export: the .tflite file."""
