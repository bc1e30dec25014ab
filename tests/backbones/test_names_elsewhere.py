"""Encoders of other packages are answered with the nearest of the same kind."""

import keras
import pytest

from keras_seg import backbones
from keras_seg.backbones.names_elsewhere import ENCODERS_ELSEWHERE, unknown_backbone


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("densenet121", "Nearest: resnet50."),
        ("efficientnetb0", "Nearest: efficientnetv2_b0."),
        ("efficientnet-b7", "EfficientNetB0(include_top=False)"),
        ("timm-tf_efficientnet_lite0", "Nearest: efficientnet_lite0."),
        ("timm-efficientnet-b0", "Nearest: efficientnetv2_b0."),
        ("se_resnext50_32x4d", "Nearest: resnet50 or resnet101."),
        ("inceptionresnetv2", "Nearest: keras_xception"),
        ("mobilenet_v1", "Nearest: mobilenetv2."),
        ("mit_b0", "Nearest: convnext_tiny."),
        ("vgg13_bn", "Nearest: vgg16."),
    ],
)
def test_an_encoder_of_another_package(name, nearest):
    with pytest.raises(ValueError) as error:
        backbones.find(name)
    message = str(error.value)
    assert message.startswith(f"This package has no encoder {name!r}. ")
    assert nearest in message and "Known: convnext_tiny, " in message


@pytest.mark.parametrize(
    ("name", "hint"), [("resnet5", "Did you mean 'resnet50'"), (7, "Unknown backbone '7'")]
)
def test_a_misspelt_name_has_the_nearest(name, hint):
    with pytest.raises(ValueError, match=hint):
        backbones.find(name)


def test_the_table_names_encoders_that_there_are():
    for family in ENCODERS_ELSEWHERE:
        assert set(family.nearest) <= set(backbones.list_backbones())
        assert family.application is None or hasattr(keras.applications, family.application)


def test_no_encoder_of_this_package_is_called_foreign():
    known = backbones.list_backbones()
    assert not [name for name in known if unknown_backbone(name, known).startswith("This")]
