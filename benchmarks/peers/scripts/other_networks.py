"""Single runs of networks of other packages with their own weights."""

import json
import os
import sys
import time

began = time.perf_counter()

import numpy as np  # noqa: E402
from serve import peak_mib, serve  # noqa: E402

words = json.loads(sys.argv[1])
size, classes, state = words["size"], words["classes"], {}
image = np.random.default_rng(0).uniform(0, 255, (1, size, size, 3)).astype(np.float32)


def torchvision():
    import torch
    import torchvision
    from torch.utils.flop_counter import FlopCounterMode

    torch.set_num_threads(words["threads"])
    imported = time.perf_counter()
    make = getattr(torchvision.models.segmentation, words["network"])
    order = torch.channels_last
    model = make(weights=None, weights_backbone=None, num_classes=classes)
    model = model.eval().to(memory_format=order)
    pixels = torch.from_numpy(image).permute(0, 3, 1, 2).contiguous(memory_format=order)

    def run():
        with torch.inference_mode():
            return model(pixels)["out"]

    def multiply_adds():
        with FlopCounterMode(display=False) as counter:
            run()
        return counter.get_total_flops() // 2

    return imported, run, sum(p.numel() for p in model.parameters()), multiply_adds


def keras_hub():
    import keras_hub

    imported = time.perf_counter()
    encoder = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 128, 256, 512],
        stackwise_num_blocks=[3, 4, 6, 3],
        stackwise_num_strides=[1, 2, 2, 2],
        block_type="bottleneck_block",
    )
    backbone = keras_hub.models.DeepLabV3Backbone(
        image_encoder=encoder,
        low_level_feature_key="P2",
        spatial_pyramid_pooling_key="P5",
        dilation_rates=[6, 12, 18],
        upsampling_size=8,
        image_shape=(size, size, 3),
    )
    segmenter = keras_hub.models.DeepLabV3ImageSegmenter(
        backbone=backbone, num_classes=classes, activation=None, preprocessor=None
    )
    return imported, *_of_keras(segmenter)


def segmentation_models():
    os.environ["SM_FRAMEWORK"] = "tf.keras"
    import segmentation_models

    imported = time.perf_counter()
    make = getattr(segmentation_models, words["network"])
    model = make(
        words["encoder"],
        input_shape=(size, size, 3),
        classes=classes,
        activation="linear",
        encoder_weights=None,
    )
    return imported, *_of_keras(model)


def _of_keras(model):
    import tensorflow as tf

    graph = tf.function(lambda pixels: model(pixels, training=False))
    pixels = tf.constant(image)
    return (
        lambda: np.asarray(graph(pixels)),
        model.count_params(),
        lambda: _operations(graph, pixels),
    )


def _operations(function, pixels):
    """Multiply-adds of the graph: half of the products and sums that TensorFlow counts."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    frozen = convert_variables_to_constants_v2(function.get_concrete_function(pixels))
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    total = tf.compat.v1.profiler.profile(frozen.graph, options=options)
    return total.total_float_ops // 2


def prepare():
    imported, run, parameters, multiply_adds = globals()[words["kind"]]()
    loaded = time.perf_counter()
    scores = run()
    first = time.perf_counter()
    run()
    # before the count, which copies the weights
    state.update(run=run, peak_mib=round(peak_mib()))
    return {
        "parameters": int(parameters),
        "multiply_adds": int(multiply_adds()),
        "output_shape": list(scores.shape),
        "import_s": round(imported - began, 2),
        "load_s": round(loaded - imported, 2),
        "first_run_s": round(first - loaded, 2),
    }


def sample():
    start = time.perf_counter()
    state["run"]()
    return {"ms": 1e3 * (time.perf_counter() - start)}


if __name__ == "__main__":
    peak = lambda: {"peak_mib": state["peak_mib"]}  # noqa: E731
    serve({"prepare": prepare, "sample": sample, "peak": peak})
