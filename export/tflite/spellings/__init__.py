"""Operators of a finished .tflite file, spelt with those that a device has."""
