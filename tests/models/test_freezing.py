"""`freeze_backbone` stops the weights and statistics of the backbone, also of a loaded model."""

import keras
import numpy as np
import pytest

from keras_seg import backbones, losses, models
from keras_seg.card import ModelCard
from keras_seg.data.classes import ClassTable
from keras_seg.models.freezing import DECODERS, backbone_layers

OPTIONS = {
    "backbone": "resnet18",
    "backbone_weights": None,
    "backbone_options": {"width": 4},
    "decoder_widths": (4, 4, 4),
}


@pytest.fixture(scope="module")
def unet():
    return models.unet((32, 32, 3), 2, **OPTIONS)


def test_the_backbone_does_not_move_and_the_rest_does(unet, tmp_path):
    path = tmp_path / "model.keras"
    models.save(unet, path, ModelCard(ClassTable.numbered(2)))
    model = models.load(path)  # frozen after loading, as a user does
    model.compile("sgd", losses.get("cross_entropy"))
    sentence = models.freeze_backbone(model)
    layers = backbone_layers(model)
    count = sum(layer.count_params() for layer in layers)
    assert sentence == (
        f"Frozen: {len(layers)} layers of the backbone with {count:,} weights. Call compile again, "
        "so that this applies."
    )
    model.compile("sgd", losses.get("cross_entropy"), run_eagerly=True)
    before = {weight.path: weight.numpy() for weight in model.weights}
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3)).astype("float32")
    model.fit(image, np.ones((1, 32, 32), "uint8"), verbose=0)
    moved = {w.path for w in model.weights if not np.array_equal(w.numpy(), before[w.path])}
    frozen = {weight.path for layer in layers for weight in layer.weights}
    assert any("moving_mean" in path for path in frozen)
    assert not moved & frozen
    assert moved == before.keys() - frozen


def test_a_network_inside_of_another_model(unet):
    outer = keras.Sequential([keras.Input((32, 32, 3)), unet, keras.layers.Softmax()])
    assert models.freeze_backbone(outer) == models.freeze_backbone(unet)
    assert models.unfreeze_backbone(outer) == models.unfreeze_backbone(unet)


def test_norms_alone_and_unfreezing(unet):
    everything = {weight.path for weight in unet.trainable_weights}
    assert models.freeze_backbone(unet, norms_only=True).startswith("Frozen: ")
    lost = everything - {weight.path for weight in unet.trainable_weights}
    assert lost and all("gamma" in path or "beta" in path for path in lost)
    assert models.unfreeze_backbone(unet).startswith("Trained: ")
    assert {weight.path for weight in unet.trainable_weights} == everything


def test_the_backbone_is_the_encoder_alone(unet):
    encoder = backbones.build("resnet18", (32, 32, 3), width=4)
    names = [layer.name for layer in encoder.layers if layer.weights]
    # three steps up use the maps to stride 8
    used = [name for name in names if not name.startswith(("layer3", "layer4"))]
    assert sorted(layer.name for layer in backbone_layers(unet)) == sorted(used)


@pytest.mark.slow
@pytest.mark.parametrize("name", DECODERS)
def test_every_network_with_a_backbone(name):
    """The encoder of each network, by the names of the encoder and not of the decoder."""
    resnet = {"backbone": "resnet18", "backbone_options": {"width": 8}}
    options, encoder = {
        "danet": (resnet | {"multi_grid": None, "auxiliary_head": True}, "resnet18"),
        "deeplabv3plus": (resnet, "resnet18"),
        "hrnet": ({"backbone": "hrnet_w18_small_v1"}, "hrnet_w18_small_v1"),
        "ocrnet": ({"backbone": "hrnet_w18_small_v1"}, "hrnet_w18_small_v1"),
        "unet": (resnet, "resnet18"),
        "unetplusplus": (resnet, "resnet18"),
    }[name]
    model = models.build(name, (64, 64, 3), 2, backbone_weights=None, **options)
    names = [layer.name for layer in backbones.build(encoder, (64, 64, 3)).layers if layer.weights]
    assert sorted(layer.name for layer in backbone_layers(model)) == sorted(names)


def test_networks_that_take_a_backbone_are_known():
    takes = {name for name in models.list_models() if "backbone" in models.find(name).options}
    assert takes == set(DECODERS)


@pytest.mark.parametrize("change", [models.freeze_backbone, models.unfreeze_backbone])
def test_a_network_without_a_backbone_is_refused(change):
    with pytest.raises(ValueError, match="with a backbone is expected .* Received: 'unet'"):
        change(models.unet((32, 32, 3), 2, widths=(4, 8)))
