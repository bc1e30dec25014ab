"""Variants of networks, and the former arguments that became fields of them."""

import warnings
from dataclasses import fields

import keras
import numpy as np
import pytest

from keras_seg import models
from keras_seg.models.former_options import FORMER_OPTIONS
from keras_seg.models.variants import (
    DEEPLABV3PLUS_VARIANTS,
    DeepLabV3PlusVariant,
    UNetVariant,
    as_variant,
)
from keras_seg.training import Recipe
from keras_seg.training.network import build_model
from tests.helpers.without_values import without_values

SMALL = {"widths": (2, 4)}
WITH_VARIANT = [name for name in models.list_models() if models.find(name).variant]


def config(model: keras.Model) -> dict:
    return model.get_config()


class TestForms:
    def test_a_record_and_a_mapping_build_the_same(self):
        record = models.unet((32, 32, 3), 2, variant=UNetVariant(concat="up_first"), **SMALL)
        mapping = models.unet((32, 32, 3), 2, variant={"concat": "up_first"}, **SMALL)
        assert config(record) == config(mapping)

    def test_none_is_the_default(self):
        plain = models.unet((32, 32, 3), 2, **SMALL)
        assert config(models.unet((32, 32, 3), 2, variant=None, **SMALL)) == config(plain)

    @pytest.mark.parametrize("value", ["up_first", 3, (), [UNetVariant()]], ids=str)
    def test_anything_else_is_refused_by_name(self, value):
        with pytest.raises(ValueError, match="variant must be a UNetVariant or a mapping"):
            models.unet((32, 32, 3), 2, variant=value)

    def test_an_unknown_field_is_answered_with_the_nearest(self):
        with pytest.raises(
            ValueError, match="field of UNetVariant 'concta'. Did you mean 'concat'"
        ):
            models.unet((32, 32, 3), 2, variant={"concta": "up_first"})

    def test_a_field_is_checked_when_the_record_is_made(self):
        with pytest.raises(ValueError, match="head_kernel must be a whole number from 1"):
            UNetVariant(head_kernel=0)

    def test_a_published_variant_has_a_name(self):
        named = as_variant(DeepLabV3PlusVariant, "vainf")
        assert named is DEEPLABV3PLUS_VARIANTS["vainf"]
        with pytest.raises(ValueError, match="Unknown variant 'vainff'. Did you mean 'vainf'"):
            as_variant(DeepLabV3PlusVariant, "vainff")

    @pytest.mark.parametrize("name", WITH_VARIANT)
    def test_every_field_is_documented(self, name):
        record = models.find(name).variant
        text = "".join(base.__doc__ for base in record.__mro__[:-1])
        assert [field.name for field in fields(record) if field.name not in text] == []


class TestFormerArguments:
    @pytest.mark.parametrize("name", WITH_VARIANT)
    def test_each_is_a_field_and_no_argument(self, name):
        network = models.find(name)
        known = {field.name for field in fields(network.variant)} | {"layout"}
        assert set(FORMER_OPTIONS[name]) <= known
        assert not set(FORMER_OPTIONS[name]) & set(network.options)

    def test_it_works_and_the_warning_says_what_to_write(self):
        with pytest.warns(DeprecationWarning) as caught:
            former = models.unet((32, 32, 3), 2, concat="up_first", **SMALL)
        (warning,) = caught
        assert warning.filename == __file__
        line = "Write variant={'concat': 'up_first'}, in Python and in a recipe."
        assert str(warning.message).endswith(line)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            written = models.unet((32, 32, 3), 2, variant={"concat": "up_first"}, **SMALL)
        assert config(former) == config(written)

    def test_the_warning_points_at_the_caller_of_build_too(self):
        with pytest.warns(DeprecationWarning, match="norm and use_bias of unet are part") as caught:
            models.build("unet", (32, 32, 3), 2, norm=True, use_bias=True, **SMALL)
        assert [warning.filename for warning in caught] == [__file__]

    def test_a_layout_is_the_variant_of_that_name_with_other_changes(self):
        options = {"channels": 8, "backbone_weights": None, "upsample_logits": False}
        with without_values(), pytest.warns(DeprecationWarning, match="Write variant='vainf'"):
            models.deeplabv3plus((64, 64, 3), 2, layout="vainf", **options)
        message = "Write variant={'pyramid': 'full'"
        with without_values(), pytest.warns(DeprecationWarning, match=message) as caught:
            former = models.deeplabv3plus(
                (64, 64, 3), 2, layout="vainf", resize_grid="align_corners", **options
            )
        line = str(caught[0].message).partition("Write variant=")[2].partition(", in Python")[0]
        with without_values():
            written = models.deeplabv3plus((64, 64, 3), 2, variant=eval(line), **options)
        assert former.count_params() == written.count_params()
        assert written.get_layer("decoder.up").grid == "align_corners"

    def test_a_wrong_value_is_refused_as_before(self):
        with pytest.raises(ValueError, match="concat must be one of .* Received: 'left'"):
            models.unet((32, 32, 3), 2, concat="left")

    def test_a_recipe_with_former_words_and_one_with_a_variant_train_the_same_network(self):
        former = Recipe(
            "builtin:shapes", "run", model="unet", model_options=SMALL | {"norm": False}
        )
        written = Recipe(
            "builtin:shapes",
            "run",
            model="unet",
            model_options=SMALL | {"variant": {"norm": False}},
        )
        with pytest.warns(DeprecationWarning, match="norm of unet is part of its variant"):
            one = build_model(former, 2)
        other = build_model(written, 2)
        assert [w.shape for w in one.weights] == [w.shape for w in other.weights]
        other.set_weights(one.get_weights())
        image = np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 3)).astype("float32")
        np.testing.assert_array_equal(one(image), other(image))
