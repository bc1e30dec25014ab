"""Step 6 of an export: the file is audited, compared with the Keras model, and then named."""
