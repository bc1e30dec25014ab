"""OCR computes its formulas, on HRNet and on ResNet, and reads both repositories' files."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from keras_seg import checkpoints, models
from keras_seg.backbones.hrnet import HRNetVariant
from keras_seg.layers import ObjectAttention, ObjectRegions
from keras_seg.models.variants import OCRNetVariant
from keras_seg.weights import load_strictly
from tests.helpers.networks import checkpoint, trainable_parameters
from tests.helpers.reference import image
from tests.helpers.without_values import without_values

SMALL = HRNetVariant(4, (1, 1, 1), blocks=1, stem_blocks=1, stem_width=8)
IMAGE = image((1, 56, 72, 3), 0)


def small_ocrnet(input_shape=(None, None, 3), num_classes=3, **options):
    """A network for normalised images with random weights."""
    small = {
        "backbone": SMALL,
        "backbone_weights": None,
        "mid_channels": 16,
        "key_channels": 8,
        "preprocessing": None,
    }
    return models.ocrnet(input_shape, num_classes, **small | options)


OPENSEG = {
    "backbone": "resnet101",
    "variant": OCRNetVariant(deep_stem="openseg", transform_bias=True),
}
WIDE_REGIONS = replace(OPENSEG["variant"], auxiliary_channels=512)
OPENSEG_ON_HRNET = OCRNetVariant(auxiliary_kernel=3, transform_bias=True)
PYRAMID = {"pyramid_rates": (12, 24, 36), "mid_channels": 256, "key_channels": 128}


@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        ({"backbone": "hrnet_w18_small_v1"}, 3_842_278),
        # SpatialOCRNet, ASPOCRNet and HRNet_W48_OCR of openseg.pytorch
        pytest.param(OPENSEG, 57_988_838, marks=pytest.mark.slow),
        pytest.param(
            OPENSEG | PYRAMID | {"variant": WIDE_REGIONS}, 67_256_166, marks=pytest.mark.slow
        ),
        pytest.param({"variant": OPENSEG_ON_HRNET}, 74_522_182, marks=pytest.mark.slow),
        pytest.param({"backbone": "hrnet_w18_small_v2"}, 6_379_278, marks=pytest.mark.slow),
        pytest.param({"backbone": "hrnet_w18"}, 12_080_818, marks=pytest.mark.slow),
        pytest.param({"backbone": "hrnet_w32"}, 32_953_894, marks=pytest.mark.slow),
        pytest.param({"backbone": "hrnet_w48"}, 70_372_678, marks=pytest.mark.slow),
    ],
)
def test_published_networks_have_the_published_parameters(options, parameters):
    options = options | {"backbone_weights": None}
    assert trainable_parameters(lambda: models.ocrnet((None, None, 3), 19, **options)) == parameters


def softmax(scores, axis):
    weights = np.exp(scores - scores.max(axis, keepdims=True))
    return weights / weights.sum(axis, keepdims=True)


def maps(*shapes):
    rng = np.random.default_rng(0)
    return [rng.normal(size=(2, *shape)).astype("float32") for shape in shapes]


class TestObjectRegions:
    def test_a_region_is_the_mean_of_the_features_weighted_over_the_pixels(self):
        features, scores = maps((5, 7, 6), (5, 7, 3))
        shares = softmax(scores.reshape(2, 35, 3).astype("float64"), axis=1)
        expected = np.einsum("bnk,bnc->bkc", shares, features.reshape(2, 35, 6))
        found = ObjectRegions()(features, scores)
        assert found.shape == (2, 3, 1, 6)
        np.testing.assert_allclose(found[:, :, 0], expected, atol=1e-5)

    def test_half_precision_keeps_the_shares_of_many_pixels(self):
        features = np.ones((1, 256, 512, 2), "float16")
        layer = ObjectRegions(dtype="mixed_float16")
        found = layer(features, np.zeros((1, 256, 512, 2), "float16"))
        assert found.dtype == "float16"
        np.testing.assert_allclose(found, 1, atol=1e-3)


class TestObjectAttention:
    def test_a_pixel_hears_the_regions_whose_keys_fit_its_query(self):
        queries, keys, values = maps((5, 7, 4), (3, 1, 4), (3, 1, 6))
        fits = np.einsum("bhwd,bkd->bhwk", queries.astype("float64"), keys[:, :, 0]) / 2
        expected = np.einsum("bhwk,bkc->bhwc", softmax(fits, axis=-1), values[:, :, 0])
        found = ObjectAttention()(queries, keys, values)
        np.testing.assert_allclose(found, expected, atol=1e-5)

    def test_sizes_may_be_known_only_when_the_graph_runs(self):
        shapes = ((None, None, 4), (3, 1, 4), (3, 1, 6))
        inputs = [keras.Input(shape) for shape in shapes]
        model = keras.Model(inputs, ObjectAttention()(*inputs))
        assert model.output.shape == (None, None, None, 6)
        batch = maps((5, 7, 4), (3, 1, 4), (3, 1, 6))
        np.testing.assert_allclose(model.predict(batch, verbose=0), ObjectAttention()(*batch))


class TestOutputs:
    def test_the_auxiliary_head_puts_out_the_region_scores_beside_the_logits(self):
        with without_values():
            outputs = small_ocrnet((56, 72, 3), auxiliary_head=True).output
        assert {key: scores.shape for key, scores in outputs.items()} == {
            "logits": (None, 56, 72, 3),
            "aux": (None, 56, 72, 3),
        }

    def test_for_inference_keeps_the_regions_but_not_their_output(self):
        model = small_ocrnet(auxiliary_head=True)
        shipped = models.for_inference(model)
        assert "aux_head.3" in {layer.name for layer in shipped.layers}
        np.testing.assert_array_equal(shipped(IMAGE), model(IMAGE)["logits"])

    @pytest.mark.parametrize("ceil_pool", [False, True])
    def test_on_resnet_logits_have_the_stride_of_the_encoder(self, ceil_pool):
        options = {"backbone": "resnet50", "backbone_width": 4, "upsample_logits": False}
        with without_values():
            model = small_ocrnet((56, 72, 3), ceil_pool=ceil_pool, **options)
        # pooling that rounds up makes maps of even sizes one larger
        assert model.output.shape[1:] == ((8, 10, 3) if ceil_pool else (7, 9, 3))

    def test_on_resnet_regions_come_from_the_stage_before_the_last(self):
        with without_values():
            model = small_ocrnet(backbone="resnet50", backbone_width=4)
        assert model.get_layer("aux_head.0").kernel.shape == (3, 3, 64, 16)
        assert model.get_layer("conv3x3_ocr.0").kernel.shape == (3, 3, 128, 16)

    def test_multi_grid_multiplies_the_dilations_of_the_last_stage(self):
        with without_values():
            model = small_ocrnet(backbone="resnet50", backbone_width=4, multi_grid=(1, 2, 4))
        rates = [model.get_layer(f"layer4.{i}.conv2").dilation_rate for i in range(3)]
        assert rates == [(2, 2), (8, 8), (16, 16)]
        with pytest.raises(ValueError, match="multi_grid needs a factor for each of the 3"):
            small_ocrnet(backbone="resnet50", multi_grid=(1, 2))


class TestRefusals:
    def test_an_encoder_that_is_none_of_its_own_is_answered_with_those(self):
        with pytest.raises(ValueError, match="Unknown backbone of OCR 'mobilenetv2'.*resnet101"):
            small_ocrnet(backbone="mobilenetv2")

    @pytest.mark.parametrize("option", [{"output_stride": 16}, {"multi_grid": (1, 2, 4)}])
    def test_options_of_a_resnet_are_refused_on_an_hrnet(self, option):
        with pytest.raises(ValueError, match="are for ResNets; an HRNet keeps stride 4"):
            small_ocrnet(**option)


class TestPyramid:
    """ASP-OCR: the context beside dilated convolutions of the encoder's map."""

    def test_it_takes_the_place_of_the_features_beside_the_context(self):
        model = small_ocrnet(pyramid_rates=(2, 4, 6))
        concat = model.get_layer("ocr_distri_head.concat")
        assert [x._keras_history.operation.name for x in concat.input] == [
            "ocr_distri_head.object_context_block.f_up.1.0.act",
            *(f"asp_ocr_head.conv{i}.1.act" for i in (2, 3, 4, 5)),
        ]
        rates = [model.get_layer(f"asp_ocr_head.conv{i}.0").dilation_rate for i in (2, 3, 4, 5)]
        assert rates == [(1, 1), (2, 2), (4, 4), (6, 6)]
        assert model(IMAGE).shape == (1, 56, 72, 3)

    @pytest.mark.slow  # scores with a bias are read by the test of the norms below
    def test_on_hrnet_scores_of_openseg_have_no_bias(self):
        reference = small_ocrnet(
            auxiliary_head=True,
            variant=replace(OPENSEG_ON_HRNET, auxiliary_channels=24),
            pyramid_rates=(24, 48, 72),
            upsample_logits=False,
        )
        tensors = {k: v for k, v in checkpoint(reference).items() if "num_batches" not in k}
        theirs = openseg_names(tensors, on_resnet=False, inplace_abn=False)
        for part, name in (
            ("backbone.asp_ocr_head.", "asp_ocr_head."),
            ("conv3x3.", "asp_ocr_head.context."),
            ("ocr_distri_head.object", "asp_ocr_head.context.2.object"),
            ("ocr_distri_head.conv", "asp_ocr_head.conv"),
        ):
            theirs = {k.replace(part, name): v for k, v in theirs.items()}
        found = checkpoints.convert(
            {k: v for k, v in theirs.items() if k not in ("cls_head.bias", "aux_head.2.bias")},
            "openseg",
        )
        unbiased = {name: np.zeros(3, "float32") for name in ("cls_head.bias", "aux_head.3.bias")}
        load_strictly(reference, tensors | unbiased)
        for key, scores in reference(IMAGE).items():
            np.testing.assert_array_equal(found(IMAGE)[key], scores)


def openseg_names(tensors, *, on_resnet, inplace_abn):
    """Tensors of our network in openseg.pytorch's names."""
    renamed = {}
    for name, array in tensors.items():
        head, _, rest = name.partition(".")
        if head in ("aux_head", "conv3x3_ocr") and rest.startswith("1.") and not inplace_abn:
            rest = f"1.0.{rest[2:]}"
        if head == "ocr_distri_head" and inplace_abn:
            *path, leaf = rest.split(".")
            rest = ".".join((*path[:-1], leaf) if path[-2] in "13" else (*path, leaf))
        if head == "aux_head" and rest.startswith("3.") and not on_resnet:
            rest = f"2.{rest[2:]}"
        resnet_heads = {
            "aux_head": "dsn_head",
            "conv3x3_ocr": "conv_3x3",
            "ocr_distri_head": "spatial_ocr_head",
            "cls_head": "head",
        }
        heads = resnet_heads if on_resnet else {name: name for name in resnet_heads}
        heads = heads if on_resnet else heads | {"conv3x3_ocr": "conv3x3"}
        renamed[f"{heads.get(head, f'backbone.{head}')}.{rest}"] = array
    return renamed


class TestCheckpoints:
    @pytest.mark.parametrize(
        ("on_resnet", "inplace_abn"),
        [
            (True, True),
            (False, False),
            pytest.param(True, False, marks=pytest.mark.slow),
            pytest.param(False, True, marks=pytest.mark.slow),
        ],
    )
    def test_openseg_files_tell_their_norm_by_their_names(self, on_resnet, inplace_abn):
        variant = OCRNetVariant(
            auxiliary_kernel=3,
            transform_bias=True,
            negative_slope=0.01 if inplace_abn else 0.0,
            backbone_width=4,
            deep_stem="openseg" if on_resnet else None,
            ceil_pool=True,
        )
        options = {"backbone": "resnet50"} if on_resnet else {}
        reference = small_ocrnet(
            auxiliary_head=True, variant=variant, upsample_logits=False, **options
        )
        ours = checkpoint(reference)
        theirs = openseg_names(ours, on_resnet=on_resnet, inplace_abn=inplace_abn)
        found = checkpoints.convert({"state_dict": theirs, "config_dict": {}}, "openseg")
        # the same weights under our names, with the scale that InPlaceABN would have
        if inplace_abn:
            ours = {
                k: abs(v) + np.float32(1e-5) if v.ndim == 1 and k.endswith(".weight") else v
                for k, v in ours.items()
            }
        load_strictly(reference, {k: v for k, v in ours.items() if "num_batches" not in k})
        for key, scores in reference(IMAGE).items():
            np.testing.assert_array_equal(found(IMAGE)[key], scores)

    def test_a_plain_hrnet_of_the_ocr_branch_is_read_as_one(self):
        tensors = checkpoint(
            models.hrnet((None, None, 3), 3, backbone=SMALL, backbone_weights=None)
        )
        assert checkpoints.convert(tensors, "hrnet-ocr").name == "hrnet"
