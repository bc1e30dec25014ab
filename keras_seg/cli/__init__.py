"""`keras-seg <verb>`: the command line. A verb's libraries are imported when it is asked for."""

from keras_seg.cli.answers import DONE, INTERRUPTED, REFUSED, WRONG_INPUT
from keras_seg.cli.line import main

__all__ = ["DONE", "INTERRUPTED", "REFUSED", "WRONG_INPUT", "main"]
