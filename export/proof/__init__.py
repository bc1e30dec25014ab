"""The last step of an export: the file is audited, compared with the Keras model, and named."""
