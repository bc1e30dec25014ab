"""Parameter counts and random checkpoints of networks."""

from itertools import pairwise

import numpy as np

from keras_seg.weights.loading import tensor_name
from tests.helpers.reference import state_dict
from tests.helpers.without_values import without_values


def checkpoint(model, seed=0, norm_scale=0.8):
    """Tensors in the repository's names and layout that fit a model."""
    shapes = {}
    for layer in model.layers:
        for weight in layer.weights:
            if "seed_generator" not in weight.path:
                shape = tuple(weight.shape)
                shape = (shape[3], shape[2], shape[0], shape[1]) if len(shape) == 4 else shape
                shapes[tensor_name(layer, weight)] = shape
    counters = {
        name.replace("running_mean", "num_batches_tracked"): ()
        for name in shapes
        if name.endswith("running_mean")
    }
    return state_dict(shapes | counters, seed, norm_scale)


def trainable_parameters(build):
    """Their number, without making any."""
    with without_values():
        model = build()
    return sum(np.prod(weight.shape) for weight in model.trainable_weights)


def milesial_unet(widths=(4, 4, 4, 4, 4)):
    """Tensors of a narrow U-Net of milesial/Pytorch-UNet, in PyTorch's layout."""
    rng = np.random.default_rng(0)
    tensors = {}

    def convolution(name, *shape):
        tensors[f"{name}.weight"] = rng.normal(0, 0.3, shape).astype("float32")

    def double(name, width_in, width):
        for index, channels in ((0, width_in), (3, width)):
            convolution(f"{name}.{index}", width, channels, 3, 3)
            for leaf, value in (("weight", 1), ("bias", 0), ("running_mean", 0)):
                tensors[f"{name}.{index + 1}.{leaf}"] = np.full(width, value, "float32")
            tensors[f"{name}.{index + 1}.running_var"] = np.ones(width, "float32")

    double("inc.double_conv", 3, widths[0])
    for i, (width_in, width) in enumerate(pairwise(widths), start=1):
        double(f"down{i}.maxpool_conv.1.double_conv", width_in, width)
        convolution(f"up{i}.up", width, width_in, 2, 2)
        tensors[f"up{i}.up.bias"] = np.zeros(width_in, "float32")
        double(f"up{i}.conv.double_conv", 2 * width_in, width_in)
    convolution("outc.conv", 2, widths[0], 1, 1)
    tensors["outc.conv.bias"] = np.zeros(2, "float32")
    return tensors
