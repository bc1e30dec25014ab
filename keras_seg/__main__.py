"""`python -m keras_seg` is the same as `keras-seg`."""

import sys

from keras_seg.cli.command_line import main

if __name__ == "__main__":
    sys.exit(main())
