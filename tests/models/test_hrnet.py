"""HRNet has the sizes and outputs of the published networks."""

import numpy as np
import pytest

from keras_seg import checkpoints, models
from keras_seg.backbones.hrnet import HRNetVariant
from keras_seg.layers import Resize
from tests.helpers.networks import checkpoint, trainable_parameters
from tests.helpers.reference import image
from tests.helpers.without_values import without_values

SMALL = HRNetVariant(4, (1, 2, 1), blocks=1, stem_blocks=2, stem_width=8)
SMALLEST = HRNetVariant(4, (1, 1, 1), blocks=1, stem_blocks=1, stem_width=8)
IMAGE = image((1, 72, 104, 3), 0)


def small_hrnet(input_shape=(None, None, 3), num_classes=3, **options):
    """A network for normalised images with random weights."""
    options = {"backbone": SMALL, "backbone_weights": None, "preprocessing": None} | options
    return models.hrnet(input_shape, num_classes, **options)


@pytest.mark.parametrize(
    ("backbone", "parameters"),
    [
        ("hrnet_w18_small_v1", 1_540_819),
        pytest.param("hrnet_w48", 65_859_379, marks=pytest.mark.slow),
        pytest.param("hrnet_w18_small_v2", 3_939_579, marks=pytest.mark.slow),
        pytest.param("hrnet_w18", 9_641_119, marks=pytest.mark.slow),
        pytest.param("hrnet_w32", 29_546_515, marks=pytest.mark.slow),
        pytest.param("hrnet_w64", 116_640_339, marks=pytest.mark.slow),
    ],
)
def test_published_networks_have_the_published_parameters(backbone, parameters):
    options = {"backbone": backbone, "backbone_weights": None}
    assert trainable_parameters(lambda: models.hrnet((None, None, 3), 19, **options)) == parameters


class TestHeads:
    def test_v2_scores_all_four_resolutions(self):
        with without_values():
            mixed = small_hrnet().get_layer("last_layer.0")
        assert mixed.kernel.shape == (1, 1, 60, 60)

    def test_v1_scores_the_highest_resolution_and_builds_nothing_else(self):
        with without_values():
            model = small_hrnet(head="v1")
        assert model.get_layer("last_layer.0").kernel.shape == (1, 1, 4, 4)
        names = {layer.name for layer in model.layers}
        assert "stage4.0.fuse_layers.0.3.0" in names
        assert not any(name.startswith("stage4.0.fuse_layers.1") for name in names)

    def test_v2p_scores_a_pyramid_of_four_levels(self):
        with without_values():
            outputs = small_hrnet((72, 104, 3), head="v2p", upsample_logits=False).output
        assert [*outputs] == ["logits", "logits_8", "logits_16", "logits_32"]
        sizes = [scores.shape[1:] for scores in outputs.values()]
        assert sizes == [(18, 26, 3), (9, 13, 3), (5, 7, 3), (3, 4, 3)]

    def test_v2p_gives_every_level_at_the_size_of_the_image(self):
        outputs = small_hrnet(backbone=SMALLEST, head="v2p")(IMAGE)
        assert {tuple(scores.shape) for scores in outputs.values()} == {(1, 72, 104, 3)}

    def test_logits_can_stay_at_stride_4(self):
        with without_values():
            model = small_hrnet((72, 104, 3), upsample_logits=False)
        assert model.output.shape == (None, 18, 26, 3)


class TestRefusals:
    def test_an_encoder_that_is_no_hrnet_is_answered_with_the_nearest(self):
        with pytest.raises(ValueError, match="Did you mean 'hrnet_w48'"):
            models.hrnet((64, 64, 3), 2, backbone="hrnetw48", backbone_weights=None)

    @pytest.mark.parametrize("option", [{"head": "v3"}, {"resize_grid": "corners"}])
    def test_options_that_make_no_hrnet_are_refused(self, option):
        with pytest.raises(ValueError, match="must be one of"):
            small_hrnet(**option)

    def test_sizes_of_your_own_have_no_imagenet_weights(self):
        with pytest.raises(ValueError, match="backbone_weights='imagenet'. Pass None"):
            small_hrnet(backbone_weights="imagenet")


class TestCheckpoints:
    @pytest.mark.parametrize("head", ["v1", "v2"])
    def test_sizes_and_head_are_read_off_the_shapes(self, head):
        with without_values():
            reference = small_hrnet(head=head, upsample_logits=False)
        model = checkpoints.convert(checkpoint(reference), "hrnet")
        assert model.count_params() == reference.count_params()
        assert model.output.shape == reference.output.shape

    @pytest.mark.slow
    def test_the_loss_that_a_file_holds_beside_the_network_is_ignored(self):
        tensors = checkpoint(small_hrnet())
        plain = checkpoints.convert(tensors, "hrnet")
        wrapped = {f"model.{name}": array for name, array in tensors.items()}
        wrapped["loss.criterion.weight"] = np.ones(3, "float32")
        for file in (wrapped, {"state_dict": wrapped, "epoch": 3}):
            model = checkpoints.convert(file, "hrnet")
            np.testing.assert_array_equal(model(IMAGE), plain(IMAGE))

    def test_files_of_inplace_abn_have_positive_scales(self):
        with without_values():
            tensors = checkpoint(small_hrnet(backbone=SMALLEST))
        scale = tensors["bn1.weight"] = -tensors["bn1.weight"]
        gamma = checkpoints.convert(tensors, "hrnet").get_layer("bn1").gamma
        np.testing.assert_array_equal(gamma, scale)
        uncounted = {k: v for k, v in tensors.items() if not k.endswith("num_batches_tracked")}
        gamma = checkpoints.convert(uncounted, "hrnet").get_layer("bn1").gamma
        np.testing.assert_allclose(gamma, -scale + 1e-5)

    def test_the_grid_is_an_option(self):
        with without_values():
            tensors = checkpoint(small_hrnet(backbone=SMALLEST))
        for flag, grid in ((False, "half_pixel"), (True, "align_corners")):
            model = checkpoints.convert(tensors, "hrnet", align_corners=flag)
            assert {x.grid for x in model.layers if isinstance(x, Resize)} == {grid}
