"""Step 3 of an export: the .onnx file."""
