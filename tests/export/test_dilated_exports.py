"""Dilated convolutions stay dilated in exported files, at every output stride of every network."""

import keras
import numpy as np
import pytest

from keras_seg import inference, models
from keras_seg.export import export

RESNET = {"backbone": "resnet18", "backbone_options": {"width": 8}, "channels": 8}
NETWORKS = {
    "deeplabv3plus-mobilenetv2-8": (
        "deeplabv3plus",
        {"backbone": "mobilenetv2", "backbone_options": {}, "output_stride": 8, "channels": 8},
    ),
    "deeplabv3plus-resnet-8": ("deeplabv3plus", RESNET | {"output_stride": 8}),
    "deeplabv3plus-resnet-16": ("deeplabv3plus", RESNET | {"output_stride": 16}),
    # as PyTorch's codes of DeepLabV3+ pad it
    "deeplabv3plus-mobilenetv2-padded-8": (
        "deeplabv3plus",
        {
            "backbone": "mobilenetv2_timm",
            "backbone_options": {"alpha": 0.35, "pad_first": True},
            "output_stride": 8,
            "channels": 8,
        },
    ),
    "danet-8": ("danet", {"output_stride": 8}),
    "danet-16": ("danet", {"output_stride": 16, "multi_grid": None}),
    "ocrnet-8": ("ocrnet", {"backbone": "resnet18", "backbone_width": 8, "output_stride": 8}),
    "ocrnet-16": (
        "ocrnet",
        {
            "backbone": "resnet18",
            "backbone_width": 8,
            "output_stride": 16,
            "multi_grid": (1, 2),
            "pyramid_rates": (3, 6, 9),
        },
    ),
}


RARER = {
    *("deeplabv3plus-mobilenetv2-8", "deeplabv3plus-resnet-8", "deeplabv3plus-resnet-16"),
    *("deeplabv3plus-mobilenetv2-padded-8", "danet-8", "danet-16", "ocrnet-8"),
}
"""Cases of the slow suite; conformance/test_exported_models.py exports DANet at stride 8, too."""
CASES = [pytest.param(case, marks=[pytest.mark.slow] if case in RARER else []) for case in NETWORKS]


@pytest.mark.parametrize("case", CASES)
def test_no_convolution_falls_apart_into_batches(case, tmp_path):
    name, options = NETWORKS[case]
    options = models.find(name).tiny | {"backbone_weights": None} | options
    keras.utils.set_random_seed(0)
    model = models.build(name, (72, 104, 3), 3, **options)
    report = export(model, tmp_path / "m.tflite")
    assert report.audit.problems == ()
    assert not any("BATCH_ND" in operator for operator in report.audit.operators)
    pixels = np.random.default_rng(0).integers(0, 256, (72, 104, 3), np.uint8)
    expected = np.asarray(model(pixels[None].astype("float32")))[0]
    found = inference.load(report.path).run(pixels)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.slow
@pytest.mark.parametrize("size", [(64, 96), (128, 160)])
def test_small_deeplab_with_16_bit_maps(size, tmp_path):
    """A file of this kind was once refused for an overflow in LiteRT."""
    keras.utils.set_random_seed(0)
    model = models.build("deeplabv3plus", (*size, 3), 3, **models.find("deeplabv3plus").tiny)
    images = np.random.default_rng(0).integers(0, 256, (4, *size, 3)).astype(np.uint8)
    report = export(model, tmp_path / "m.tflite", quantize="int16x8", calibration=images)
    assert not report.audit.islands
    scores = [inference.load(each).run(images[0]) for each in (model, report.path)]
    assert np.abs(np.subtract(*scores)).max() < 0.05 * np.abs(scores[0]).max()
