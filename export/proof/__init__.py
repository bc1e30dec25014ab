"""Step 5 of an export: audits the file, compares it with the Keras model, and publishes it."""
