"""Tests of the installed wheel with several pairs of TensorFlow and Keras.

`python -m tests.versions` is the command; `__main__.py` describes it.
"""
