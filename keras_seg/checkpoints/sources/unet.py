"""U-Nets in circulation."""

from __future__ import annotations

import keras

from keras_seg import models
from keras_seg.checkpoints.registry import Shapes, source


@source("milesial", ignore=[r"^mask_values$"])
def milesial(shapes: Shapes, input_shape, options: dict) -> keras.Model:
    """milesial/Pytorch-UNet: transposed up-sampling, or bilinear where there is no `up1.up`."""
    transposed = "up1.up.weight" in shapes
    widths = [shapes["inc.double_conv.0.weight"][0]] + [
        shapes[f"down{level}.maxpool_conv.1.double_conv.0.weight"][0] for level in range(1, 5)
    ]
    if not transposed:
        widths[-1] *= 2
    found = {
        "widths": tuple(widths),
        "upsampling": "transposed" if transposed else "bilinear",
        "preprocessing": None,
    }
    num_classes = shapes["outc.conv.weight"][0]
    return models.build("unet", input_shape, num_classes, **found | options)
