"""Converted networks compute what their reference implementations computed."""

import numpy as np
import pytest

from keras_seg.checkpoints import convert
from tests.helpers.reference import CASES, image, read_golden, state_dict

ENCODER_OUTPUTS = ("features", "stride_32")
"""What ImageNet networks are compared by: the last map before the pooling, or HRNet's branches."""
ONLY_OUTPUT = {"stn_selectnet": "theta"}
"""Networks that give something else than scores."""
SLOW = {
    "danet_resnet50",
    "deeplabv3plus_drn54_jfzhang95",
    "deeplabv3plus_hrnet_narrow_vainf",
    "deeplabv3plus_resnet101_os16_jfzhang95",
    "deeplabv3plus_resnet101_os16_vainf",
    "deeplabv3plus_smp_tu_resnet18_os8",
    "deeplabv3plus_xception65_jfzhang95",
    "deeplabv3plus_xception_vainf",
    "hrnet_w18_aligned",
    "ocr_resnet101_openseg",
    "timm_hrnet_w18_small",
    "timm_mobilenetv2_110d",
    "timm_mobilenetv3_large_100",
    "timm_resnet50",
    "timm_tf_efficientnetv2_b0",
    "timm_vgg16_bn",
    "unet_milesial",
    "unet_smp_tu_resnet34",
    "unet_smp_xception",
}
"""Large networks whose sources, blocks and encoders have smaller ones among the cases too."""


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=[pytest.mark.slow] if path.stem in SLOW else [])
        for path in CASES
    ],
)
def test_converted_network_equals_its_reference(path):
    facts, expected = read_golden(path)
    state = state_dict(facts["manifest"], facts["seed"], facts["norm_scale"])
    shape = facts["input_shape"]
    if isinstance(shape[0], list):  # a network of several inputs
        pixels = [image(one, facts["seed"]) for one in shape]
        input_shape = [array.shape[1:] for array in pixels]
    else:
        pixels = image(shape, facts["seed"])
        input_shape = pixels.shape[1:]
    model = convert(state, facts["source"], input_shape, **facts["options"])
    found = model(pixels)
    found = found if isinstance(found, dict) else {ONLY_OUTPUT.get(path.stem, "logits"): found}
    compared = sorted(set(found) & set(expected))
    assert {"logits", "logits_1", *ENCODER_OUTPUTS, *ONLY_OUTPUT.values()} & set(compared)
    for name in compared:
        thinned = np.asarray(found[name])[:, :: facts["step"], :: facts["step"]]
        tolerance = 1e-4 * np.abs(expected[name]).max()
        np.testing.assert_allclose(thinned, expected[name], rtol=0, atol=tolerance, err_msg=name)
