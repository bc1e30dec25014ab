"""Converted networks compute what their reference implementations computed."""

import pytest

from tests.golden.references import TOLERANCE, differences
from tests.helpers.reference import CASES

SLOW = {
    "danet_resnet50",
    "deeplabv3plus_drn54_jfzhang95",
    "deeplabv3plus_hrnet_narrow_vainf",
    "deeplabv3plus_mobilenetv2_os8_vainf",
    "deeplabv3plus_resnet101_os16_jfzhang95",
    "deeplabv3plus_resnet101_os16_vainf",
    "deeplabv3plus_smp_aux_stride4",
    "deeplabv3plus_smp_tu_resnet18_os8",
    "deeplabv3plus_xception65_jfzhang95",
    "deeplabv3plus_xception_vainf",
    "gridnet_daigo0927",
    "gridnet_niklaus",
    "hrnet_w18_aligned",
    "hrnet_w18_ocr",
    "ocr_resnet101_openseg",
    "resunetplusplus_debeshjha",
    "timm_hrnet_w18_small",
    "timm_mobilenetv2_110d",
    "timm_mobilenetv3_large_100",
    "timm_resnet50",
    "timm_tf_efficientnetv2_b0",
    "timm_vgg16_bn",
    "unet_milesial",
    "unet_smp_mobilenetv2_depth4",
    "unet_smp_resnet50_narrow",
    "unet_smp_tu_hrnet_w18_small",
    "unet_smp_tu_resnet34",
    "unet_smp_tu_tf_mobilenetv3_small",
    "unet_smp_vgg16_depth3",
    "unet_smp_xception",
    "unet_smp_xception_depth3",
    "unetplusplus_4uiiurz1_narrow",
    "unetplusplus_smp_depth4_narrow",
    "unetplusplus_smp_vgg16_narrow",
}
"""Networks whose sources, blocks and encoders occur in other cases too."""


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=[pytest.mark.slow] if path.stem in SLOW else [])
        for path in CASES
    ],
)
def test_converted_network_equals_its_reference(path):
    shares = differences(path)
    assert shares == {name: pytest.approx(0, abs=TOLERANCE) for name in shares}
