"""What is special to U-Net++: dense rows, heads that are trained together and cut apart."""

import keras
import numpy as np
import pytest

from keras_seg import losses, models
from tests.helpers.slow_cases import all_but
from tests.helpers.without_values import without_values

NARROW = (4, 6, 8, 10, 12)
BACKBONE = {
    "backbone": "resnet18",
    "backbone_weights": None,
    "backbone_options": {"width": 4},
    "decoder_widths": (8, 8, 4, 4, 4),
}
PIXELS = np.random.default_rng(0).uniform(0, 255, (2, 80, 96, 3)).astype("float32")
HEADS = ["logits_1", "logits_2", "logits_3", "logits_4"]


def parameters(model):
    return sum(np.prod(weight.shape) for weight in model.trainable_weights)


@pytest.fixture(scope="module")
def supervised():
    keras.utils.set_random_seed(0)
    return models.unetplusplus((None, None, 3), 3, widths=NARROW, deep_supervision=True)


class TestPaperNetwork:
    def test_default_has_the_parameters_of_the_authors_code(self):
        with without_values():
            model = models.unetplusplus((None, None, 1), 1)
        assert parameters(model) == 9_041_601

    @pytest.mark.parametrize(("level", "count"), [(1, 100_961), (2, 511_105), (3, 2_204_961)])
    def test_pruned_models_have_the_parameters_of_the_paper(self, level, count):
        widths = (32, 64, 128, 256, 2)  # the deepest row belongs to level 4 alone
        with without_values():
            model = models.unetplusplus((96, 96, 1), 1, widths=widths, deep_supervision=True)
            assert parameters(models.prune(model, level)) == count

    @pytest.mark.parametrize(
        ("concat", "expected"),
        [
            ("up_first", ["up", "0_0", "0_1"]),
            ("up_last", ["0_0", "0_1", "up"]),
            ("up_first_newest_first", ["up", "0_1", "0_0"]),
        ],
    )
    def test_a_node_sees_its_row_and_the_one_below_in_the_stated_order(self, concat, expected):
        with without_values():
            model = models.unetplusplus(
                (32, 32, 3), 2, widths=NARROW, variant={"concat": concat}, dropout=0.0
            )
        inputs = model.get_layer("conv0_2.concat").input
        names = [tensor._keras_history.operation.name for tensor in inputs]
        wanted = {
            "up": "conv0_2.up",
            "0_0": "conv0_0.conv2.act",
            "0_1": "conv0_1.conv2.act",
        }
        assert names == [wanted[name] for name in expected]


class TestDeepSupervision:
    def test_heads_are_a_dict_whose_first_key_is_the_deepest(self, supervised):
        scores = supervised(PIXELS)
        assert [*scores] == ["logits", *HEADS]
        assert {tuple(score.shape) for score in scores.values()} == {(2, 80, 96, 3)}
        np.testing.assert_array_equal(scores["logits"], scores["logits_4"])

    def test_all_heads_train_on_one_mask(self):
        model = models.unetplusplus((16, 16, 3), 3, widths=(2, 2, 2), deep_supervision=True)
        heads = {name: losses.CrossEntropy() for name in HEADS[:2]}
        model.compile("adam", heads, run_eagerly=True)
        mask = np.random.default_rng(1).integers(0, 3, (2, 16, 16))
        before = [np.array(model.get_layer(f"final{j}").kernel) for j in (1, 2)]
        loss = model.train_on_batch(PIXELS[:, :16, :16], dict.fromkeys(HEADS[:2], mask))
        assert np.isfinite(loss).all()
        for j, kernel in enumerate(before, start=1):
            assert np.abs(model.get_layer(f"final{j}").kernel - kernel).max() > 0

    @pytest.mark.parametrize("level", all_but({1, 3}, [1, 2, 3, 4]))
    def test_a_pruned_model_is_bit_equal_to_its_head(self, supervised, level):
        pruned = models.prune(supervised, level)
        expected = supervised(PIXELS)[f"logits_{level}"]
        np.testing.assert_array_equal(pruned(PIXELS), expected)
        assert pruned.layers[-1].name == "logits"
        assert not any(layer.name.startswith(f"conv{level + 1}_") for layer in pruned.layers)

    def test_a_pruned_model_takes_the_sizes_of_its_own_depth(self, supervised):
        pruned = models.prune(supervised, 1)
        assert pruned(PIXELS[:, :34, :38]).shape == (2, 34, 38, 3)
        with pytest.raises(ValueError, match="multiple of 2 pixels"):
            pruned(PIXELS[:, :33])

    def test_a_pruned_model_has_weights_of_its_own(self, supervised):
        pruned = models.prune(supervised, 1)
        before = supervised(PIXELS)["logits_1"]
        pruned.set_weights([np.zeros_like(value) for value in pruned.get_weights()])
        np.testing.assert_array_equal(supervised(PIXELS)["logits_1"], before)

    def test_prune_refuses_what_it_cannot_do(self, supervised):
        with pytest.raises(ValueError, match=r"level must be 1 to 4\. Received: 5"):
            models.prune(supervised, 5)
        with pytest.raises(ValueError, match="deep_supervision=True"):
            models.prune(models.unetplusplus((32, 32, 3), 2, widths=NARROW), 1)

    def test_a_model_with_heads_survives_its_file(self, supervised, tmp_path):
        supervised.save(tmp_path / "m.keras")
        loaded = keras.saving.load_model(tmp_path / "m.keras", safe_mode=True)
        for name, score in supervised(PIXELS).items():
            np.testing.assert_array_equal(loaded(PIXELS)[name], score)


class TestForInference:
    def test_only_the_logits_and_what_they_need_stay(self, supervised):
        model = models.for_inference(supervised)
        np.testing.assert_array_equal(model(PIXELS), supervised(PIXELS)["logits"])
        names = {layer.name for layer in model.layers}
        assert "final4" in names and not names & {"final1", "final2", "final3"}

    def test_a_model_with_one_output_is_given_back(self):
        model = models.unetplusplus((32, 32, 3), 2, widths=NARROW)
        assert models.for_inference(model) is model

    def test_outputs_without_logits_are_refused(self):
        image = keras.Input((4, 4, 1))
        copy = keras.layers.Identity()(image)
        with pytest.raises(ValueError, match="the key 'logits'"):
            models.for_inference(keras.Model(image, {"a": copy, "b": copy}))


class TestBackbone:
    @pytest.mark.parametrize(
        "upsampling", [pytest.param("nearest", marks=pytest.mark.slow), "transposed"]
    )
    def test_mask_has_the_size_of_the_image_whatever_it_is(self, upsampling):
        model = models.unetplusplus((None, None, 3), 2, upsampling=upsampling, **BACKBONE)
        assert model(PIXELS[:, :43, :75]).shape == (2, 43, 75, 2)

    def test_an_encoder_that_begins_at_stride_4_has_a_row_less(self):
        image = x = keras.Input((None, None, 3))
        maps = {}
        for stride in (4, 8, 16, 32):
            x = keras.layers.Conv2D(4, 3, 4 if stride == 4 else 2, "same")(x)
            maps[f"stride_{stride}"] = x
        model = models.unetplusplus(backbone=keras.Model(image, maps), num_classes=2)
        assert model(PIXELS[:, :43, :75]).shape == (2, 43, 75, 2)
        names = {layer.name for layer in model.layers}
        assert {"conv0_3.conv1", "up4.conv1", "up5.conv1"} <= names

    @pytest.mark.parametrize(
        "options",
        [{"deep_supervision": True}, {"widths": NARROW}, {"decoder_widths": (8, 8)}],
    )
    def test_options_that_contradict_it_are_refused(self, options):
        with pytest.raises(ValueError, match="decoder_widths"):
            models.unetplusplus((64, 64, 3), 2, **BACKBONE | options)
