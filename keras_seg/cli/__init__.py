"""The command line, `keras-seg VERB`. The libraries of a verb are imported when it runs."""

from keras_seg.cli.command_line import main
from keras_seg.cli.output import DONE, INTERRUPTED, REFUSED, WRONG_INPUT

__all__ = ["DONE", "INTERRUPTED", "REFUSED", "WRONG_INPUT", "main"]
