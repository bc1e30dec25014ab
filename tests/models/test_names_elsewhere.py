"""Words of other packages are answered with the words of this one."""

import pytest

from keras_seg import models
from keras_seg.models.names_elsewhere import OPTIONS_ELSEWHERE

SHAPE = (64, 64, 3)


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        ({"classes": 2}, "unet has no option 'classes'. Its name here is num_classes."),
        ({"encoder_name": "resnet34"}, "Its name here is backbone."),
        ({"encoder_weights": None}, "Its name here is backbone_weights."),
        ({"in_channels": 4}, "Its place here is input_shape, such as (None, None, 4)"),
        ({"encoder_freeze": True}, "Call models.freeze_backbone(model)"),
        ({"widht": 3}, "Did you mean 'widths'?"),
        ({"colour": 3}, "Options: activation, "),
    ],
)
def test_an_option_of_another_package_is_answered_with_ours(options, answer):
    with pytest.raises(TypeError) as error:
        models.unet(SHAPE, 2, **options)
    assert answer in str(error.value)
    with pytest.raises(ValueError) as error:
        models.build("unet", SHAPE, 2, **options)
    assert answer in str(error.value)


def test_every_name_of_the_table_is_an_option_of_a_network():
    options = {name for network in models.list_models() for name in models.find(network).options}
    assert set(OPTIONS_ELSEWHERE) <= options | {"input_shape", "num_classes"}


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("Unet", "has no attribute 'Unet'. Its name here is unet"),
        ("UnetPlusPlus", "Its name here is unetplusplus"),
        ("DeepLabV3Plus", "Its name here is deeplabv3plus"),
        ("FPN", "This package has no FPN. Its networks: danet, "),
        ("segnett", "Did you mean 'segnet'?"),
        ("__wrapped__", "has no attribute '__wrapped__'"),
    ],
)
def test_a_network_of_another_package_is_answered_with_ours(name, answer):
    with pytest.raises(AttributeError) as error:
        getattr(models, name)
    assert answer in str(error.value)
    assert not hasattr(models, name)
