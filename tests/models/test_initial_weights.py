"""Weights of a file in a network with other classes: everything but the heads is taken."""

import keras
import numpy as np
import pytest

from keras_seg import models
from keras_seg.card import ModelCard
from keras_seg.data.classes import ClassTable

SHAPE = (None, None, 3)


def saved(model, tmp_path, classes=5):
    path = tmp_path / "model.keras"
    models.save(model, path, ModelCard(ClassTable.numbered(classes)))
    return path


def small_unet(num_classes, **options):
    return models.unet(SHAPE, num_classes, **{"widths": (4, 8)} | options)


def equal_layers(model, other):
    """Names of the layers with equal weights; biases of 0 alone do not count."""
    theirs = {layer.name: layer for layer in other.layers}
    return {
        layer.name
        for layer in model.layers
        if layer.weights
        and layer.name in theirs
        and all(map(np.array_equal, layer.get_weights(), theirs[layer.name].get_weights()))
    }


def test_a_file_with_the_same_classes_is_taken_whole(tmp_path):
    source, model = small_unet(5), small_unet(5)
    path = saved(source, tmp_path)
    assert models.load_weights_from(model, path) == f"Weights of {path}: 14 of 14 layers."
    for ours, theirs in zip(model.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_head_of_classes_with_other_names_is_told(tmp_path):
    path = saved(small_unet(2), tmp_path, classes=2)
    told = models.load_weights_from(small_unet(2), path, classes=["background", "road"])
    assert told.endswith(
        " layers. The head belongs to the classes class 0, class 1; here they are background, road."
    )
    assert "here they" not in models.load_weights_from(small_unet(3), path, classes=["a", "b", "c"])


def test_the_head_of_other_classes_starts_from_random_values(tmp_path):
    source, model = small_unet(5), small_unet(2)
    source.get_layer("inc.double_conv.1").moving_mean.assign([1, 2, 3, 4])
    head = model.get_layer("outc.conv").get_weights()
    path = saved(source, tmp_path)
    assert models.load_weights_from(model, path) == (
        f"Weights of {path}: 13 of 14 layers; the head has 5 classes there and 2 here, so it "
        "starts from random values."
    )
    assert len(equal_layers(model, source)) == 13
    assert all(map(np.array_equal, head, model.get_layer("outc.conv").get_weights()))


def test_heads_of_deep_supervision_may_be_missing_in_the_file(tmp_path):
    options = {"widths": (4, 4, 4), "deep_supervision": True}
    source = models.for_inference(models.unetplusplus(SHAPE, 5, **options))
    model = models.unetplusplus(SHAPE, 2, **options)
    sentence = models.load_weights_from(model, saved(source, tmp_path))
    assert "the head has 5 classes there and 2 here" in sentence
    assert sentence.endswith("So do the heads that the file does not have (1 layers).")
    heads = {layer.name for layer in model.layers if layer.name.startswith("final")}
    assert len(heads) == 2
    assert {layer.name for layer in model.layers if layer.weights} - equal_layers(
        model, source
    ) == heads


def test_deep_supervision_and_one_head_take_the_weights_of_each_other(tmp_path):
    options = {"widths": (4, 4, 4)}
    many = models.unetplusplus(SHAPE, 5, **options, deep_supervision=True)
    one = models.unetplusplus(SHAPE, 5, **options)
    told = models.load_weights_from(one, saved(many, tmp_path))
    total = sum(bool(layer.weights) for layer in one.layers)
    assert told.endswith(f": {total} of {total} layers.")
    pixels = np.random.default_rng(0).uniform(0, 255, (1, 16, 16, 3)).astype("float32")
    np.testing.assert_array_equal(one(pixels), many(pixels)["logits"])
    other = models.unetplusplus(SHAPE, 2, **options, deep_supervision=True)
    told = models.load_weights_from(other, saved(one, tmp_path))
    assert "the head has 5 classes there and 2 here" in told
    assert told.endswith("So do the heads that the file does not have (1 layers).")
    with pytest.raises(ValueError, match="belongs to another network"):
        models.load_weights_from(small_unet(5), saved(one, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("name", models.list_models())
def test_every_network_keeps_all_but_its_heads(name, tmp_path):
    tiny = models.find(name).tiny
    source, model = models.build(name, SHAPE, 5, **tiny), models.build(name, SHAPE, 2, **tiny)
    sentence = models.load_weights_from(model, saved(source, tmp_path))
    layers = [layer for layer in model.layers if layer.weights]
    left_out = {"gridnet": 4, "icnn": 2, "ocrnet": 2}.get(name, 1)
    assert f"{len(layers) - left_out} of {len(layers)} layers" in sentence
    assert "5" in sentence and "2 here" in sentence


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        ({"widths": (8, 16)}, r"inc.double_conv.0 \(3, 3, 3, 8\) here, .* \(3, 3, 3, 4\) there"),
        ({"widths": (4, 8, 16)}, "down2.* here, no further layer there"),
        ({"upsampling": "bilinear"}, r"down1.* here, .* there|no further layer here"),
    ],
)
def test_another_network_is_refused_with_the_first_layer(options, difference, tmp_path):
    model = small_unet(2, **options)
    before = model.get_weights()
    with pytest.raises(ValueError, match=f"belongs to another network than unet: {difference}"):
        models.load_weights_from(model, saved(small_unet(5), tmp_path))
    assert all(map(np.array_equal, before, model.get_weights()))


def test_automatic_names_are_paired_by_order_and_others_are_not(tmp_path):
    def model(num_classes, name=None):
        image = keras.Input((8, 8, 3))
        x = keras.layers.Conv2D(3, 1, name=name)(image)
        return keras.Model(image, keras.layers.Conv2D(num_classes, 1)(x))

    sentence = models.load_weights_from(model(2), saved(model(5), tmp_path))
    assert "1 of 2 layers" in sentence
    with pytest.raises(ValueError, match="another network"):
        models.load_weights_from(model(2), saved(model(5, name="stem"), tmp_path))


def test_a_checkpoint_of_pytorch_is_answered_with_the_verb(tmp_path):
    with pytest.raises(ValueError, match=r"keras-seg convert .*carvana.pth --source"):
        models.load_weights_from(small_unet(2), tmp_path / "carvana.pth")


def test_a_sequential_of_keras_is_another_network(tmp_path):
    plain = keras.Sequential([keras.Input(SHAPE), keras.layers.Conv2D(2, 1)])
    plain.save(tmp_path / "plain.keras")
    with pytest.raises(ValueError, match="belongs to another network than unet"):
        models.load_weights_from(small_unet(2), tmp_path / "plain.keras")
    again = keras.Sequential([keras.Input(SHAPE), keras.layers.Conv2D(2, 1)])
    assert "1 of 1 layers" in models.load_weights_from(again, tmp_path / "plain.keras")
    assert again.get_weights()[0].tolist() == plain.get_weights()[0].tolist()


def test_a_head_of_one_channel_is_called_so(tmp_path):
    told = models.load_weights_from(small_unet(2), saved(small_unet(1), tmp_path, classes=2))
    assert "the head has 1 channel there and 2 here" in told
