"""`python -m keras_seg.cli` is `keras-seg`."""

import sys

from keras_seg.cli.line import main

if __name__ == "__main__":
    sys.exit(main())
