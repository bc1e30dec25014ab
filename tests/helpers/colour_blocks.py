"""A data set that a network of three layers can learn, and such networks, for the tests."""

import keras
import numpy as np
from keras import layers as kl

from keras_seg.card import ModelCard
from keras_seg.data.classes import ClassTable
from keras_seg.data.dataset import Sample, SegmentationDataset
from keras_seg.layers import Preprocessing, Resize

COLOURS = np.array([[60, 70, 80], [190, 80, 70], [70, 180, 90], [90, 60, 190]])


class ColourBlocks(SegmentationDataset):
    """Noisy blocks of 8 by 8 pixels, their colour is their class; the top rows are unknown."""

    def __init__(self, num_classes=3, length=12, size=(40, 48), channels=3):
        self.name, self.split, self.channels = "blocks", "val", channels
        self.classes = ClassTable(tuple("abcd"[:num_classes]))
        self.length, self.size = length, size

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        if not 0 <= index < self.length:
            raise IndexError(index)
        random = np.random.default_rng(index)
        rows, columns = -(-self.size[0] // 8), -(-self.size[1] // 8)
        blocks = random.integers(0, len(self.classes), (rows, columns))
        mask = np.kron(blocks, np.ones((8, 8), int))[: self.size[0], : self.size[1]]
        image = COLOURS[mask][..., : self.channels] + random.normal(
            0, 25, (*self.size, self.channels)
        )
        mask[:2] = 255
        return Sample(str(index), image.clip(1, 254).astype(np.uint8), mask.astype(np.int32))


def small_network(
    outputs=3, *, size=(None, None), channels=3, extra_output=False, policy="float32"
):
    """Every kind of layer that the networks of this package use, in one small model."""
    keras.utils.set_random_seed(1)
    keras.config.set_dtype_policy(policy)
    try:
        image = keras.Input((*size, channels), name="image")
        x = Preprocessing("imagenet" if channels == 3 else "unit", name="preprocessing")(image)
        x = kl.Conv2D(8, 3, padding="same", use_bias=False, name="first")(x)
        skip = x = kl.ReLU(name="act")(kl.BatchNormalization(name="norm")(x))
        x = kl.DepthwiseConv2D(3, padding="same", dilation_rate=2, use_bias=False, name="wide")(x)
        x = kl.ReLU(name="wide_act")(kl.BatchNormalization(name="wide_norm")(x))
        x = kl.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="down")(x)
        ups = [kl.Conv2DTranspose(8, 2, 2, name="up")(x), Resize(2, name="resize")(x)]
        x = kl.Concatenate(name="cat")([skip, *ups])
        logits = kl.Conv2D(outputs, 1, dtype="float32", name="head")(kl.Dropout(0.5)(x))
    finally:
        keras.config.set_dtype_policy("float32")
    if not extra_output:
        return keras.Model(image, logits)
    return keras.Model(image, {"logits": logits, "auxiliary": kl.Conv2D(2, 1)(skip)})


def trained(model, dataset):
    """Fits a network to a data set until it is far better than chance."""
    samples = [dataset[i] for i in range(len(dataset))]
    images = np.stack([sample.image for sample in samples]).astype(np.float32)
    masks = np.stack([sample.mask for sample in samples])
    outputs = model.output.shape[-1]
    loss = (
        keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255)
        if outputs > 1
        else keras.losses.BinaryCrossentropy(from_logits=True)
    )
    if outputs == 1:
        masks = (masks == 1).astype(np.float32)[..., None]
    model.compile(keras.optimizers.Adam(0.02), loss=loss, jit_compile=False)
    model.fit(images, masks, epochs=8, batch_size=4, verbose=0)
    return model


def card_of(dataset):
    return ModelCard(dataset.classes, "small", size_multiple=2)
