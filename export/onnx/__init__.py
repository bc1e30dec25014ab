"""Step 3 of an export: a file in the ONNX format."""
