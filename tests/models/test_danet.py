"""DANet has the sizes, dilations and outputs of the published networks."""

import numpy as np
import pytest

from keras_seg import models
from tests.helpers.networks import trainable_parameters
from tests.helpers.without_values import without_values

IMAGE = np.zeros((1, 40, 56, 3), "float32")


def small_danet(input_shape=(None, None, 3), num_classes=3, **options):
    return models.danet(input_shape, num_classes, **models.find("danet").tiny | options)


@pytest.mark.parametrize(
    ("depth", "stem", "parameters"),
    [
        (50, None, 47_462_651),
        pytest.param(101, None, 66_454_779, marks=pytest.mark.slow),
        pytest.param(50, "danet", 47_586_427, marks=pytest.mark.slow),
        pytest.param(101, "danet", 66_578_555, marks=pytest.mark.slow),
    ],
)
def test_published_networks_have_the_published_parameters(depth, stem, parameters):
    options = {
        "backbone": f"resnet{depth}",
        "backbone_weights": None,
        "backbone_options": {"deep_stem": stem},
        "auxiliary_head": True,
    }
    assert trainable_parameters(lambda: models.danet((None, None, 3), 19, **options)) == parameters


class TestOutputs:
    def test_the_auxiliary_heads_score_each_attention_beside_their_sum(self):
        with without_values():
            outputs = small_danet((40, 56, 3), auxiliary_head=True).output
        assert {key: scores.shape for key, scores in outputs.items()} == {
            "logits": (None, 40, 56, 3),
            "pam": (None, 40, 56, 3),
            "cam": (None, 40, 56, 3),
        }

    @pytest.mark.parametrize("output_stride", [8, 16, 32])
    def test_logits_can_stay_at_the_stride_of_the_encoder(self, output_stride):
        options = {"output_stride": output_stride, "multi_grid": None, "upsample_logits": False}
        size = tuple(-(-n // output_stride) for n in (40, 56))
        with without_values():
            assert small_danet((40, 56, 3), **options).output.shape == (None, *size, 3)


class TestMultiGrid:
    def test_it_gives_the_dilations_of_the_last_blocks_themselves(self):
        model = small_danet()
        rates = [model.get_layer(f"layer4.{i}.conv1").dilation_rate for i in range(2)]
        assert rates == [(4, 4), (8, 8)]

    def test_a_list_that_does_not_fit_the_blocks_is_refused(self):
        with pytest.raises(ValueError, match="each needs a dilation"):
            small_danet(multi_grid=(4, 8, 16))

    def test_other_encoders_have_none(self):
        with pytest.raises(ValueError, match="multi_grid is for ResNets.*Pass multi_grid=None"):
            small_danet(backbone="mobilenetv2", backbone_options=None)
