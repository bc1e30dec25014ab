"""Masks as palette pictures."""

import numpy as np
from PIL import Image

from keras_seg.data import ClassTable
from keras_seg.data.mask_colors import palette_of


def palette_picture(mask: np.ndarray, classes: ClassTable) -> Image.Image:
    """An (H, W) mask as a palette picture: class indices as values, in the classes' colours."""
    picture = Image.fromarray(mask.astype(np.uint8))
    picture.putpalette(palette_of(classes).tobytes())
    return picture
