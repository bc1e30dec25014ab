"""Networks on Keras' other backends, compared with TensorFlow: `python -m tests.backends`."""
