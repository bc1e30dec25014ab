"""The first batches are refused, or doubted, in words that say what to write; right ones pass."""

import re
import warnings
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_seg import cli, layers, losses, metrics, models
from keras_seg.data import BuiltinDataset, check_batches, training_pipeline
from keras_seg.data.first_batch import findings, take_batches
from keras_seg.data.first_batch.network import heads, pixel_range, single_value_norms
from keras_seg.training import FirstBatchCheck, Recipe, output_losses, output_masks, train

pytestmark = pytest.mark.xdist_group("first_batch")  # one worker, so that fixtures are made once


RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (4, 16, 32, 3)).astype("float32")
MASKS = RNG.integers(0, 2, (4, 16, 32)).astype("int32")
SOME_UNKNOWN = np.where(np.arange(16)[:, None] < 4, 255, MASKS)
ONE_HOT = np.eye(2, dtype="float32")[MASKS]
HALF = IMAGES.shape[0] // 2


def unet(num_classes=2, channels=3, **options):
    return models.unet((None, None, channels), num_classes, widths=(2, 4), **options)


def small(*first, head=None, num_classes=2, channels=3):
    """A network that is not of this package: what comes first, one convolution, a head."""
    image = x = keras.Input((None, None, channels))
    for layer in first:
        x = layer(x)
    return keras.Model(image, keras.layers.Conv2D(num_classes, 1, activation=head)(x))


@pytest.fixture(scope="module")
def model():
    return unet()


def told(batches, model=None, **options):
    """(what is refused, what is doubted) of batches; "" for nothing."""
    with warnings.catch_warnings(record=True) as doubts:
        warnings.simplefilter("always")
        try:
            check_batches(batches, model, **options)
            refused = ""
        except ValueError as error:
            refused = str(error)
    return refused, " ".join(str(each.message) for each in doubts)


def compiled(model, loss, *scores):
    model.compile("adam", loss, metrics=list(scores))
    return model


class TestPixels:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda x: x / 255, r"in 0\.\.1 \(100\.0% .*takes pixels in 0\.\.255.*images \* 255"),
            (lambda x: x / 127.5 - 1, r"in -1\.\.1 \(100\.0%.*\(images \+ 1\) \* 127\.5"),
            (lambda x: (x / 255 - 0.45) / 0.22, r"in -2\.045\.\.2\.5 .*do not subtract a mean"),
            (lambda x: x - [104, 117, 124], r"in -124\.\.151 \(4\d\.\d% .*preprocess_input"),
            (lambda x: (x * 257).astype("uint16"), r"0\.\.65535 \(99\.\d% .*images / 257"),
            (lambda x: x * 4095 / 255, r"0\.\.4095 \(9\d\.\d% .*images / 16\.0588"),
            (lambda x: x * 0, "All 4 images hold 0 in every pixel"),
            (lambda x: np.where(x > 250, np.nan, x), r"NaN or infinity in [12]\.\d% .*nan_to_num"),
            (lambda x: np.where(x > 250, np.inf, x), r"NaN or infinity in [12]\.\d%"),
            (
                lambda x: np.concatenate([x[:HALF], x[HALF:] / 255]),
                r"2 of 4 images lie in 0\.\.1, and 2 reach 255",
            ),
        ],
    )
    def test_wrong_ranges_are_refused(self, model, change, message):
        assert re.search(message, told((change(IMAGES), MASKS), model)[0], re.DOTALL)

    @pytest.mark.parametrize(
        "change",
        [
            lambda x: x,
            lambda x: x.astype("uint8"),
            lambda x: x / 8,  # dark
            lambda x: x * 1.01 - 1,  # overshoot of smooth resizing
            lambda x: np.where(np.arange(4)[:, None, None, None] == 0, 0, x),  # one black image
        ],
    )
    def test_pixels_of_cameras_pass(self, model, change):
        assert told((change(IMAGES), MASKS), model) == ("", "")

    def test_what_an_augmentation_leaves_outside_is_doubted(self, model):
        refused, doubted = told((IMAGES * 1.5, MASKS), model)
        assert not refused and "above 255" in doubted
        refused, doubted = told((IMAGES - 20, MASKS), model)
        assert not refused and "tf.clip_by_value(images, 0, 255)" in doubted
        black = np.where(np.arange(4)[:, None, None, None] < 2, 0, IMAGES)
        assert "2 of 4 images have one value" in told((black, MASKS), model)[1]

    RESCALING = keras.layers.Rescaling

    @pytest.mark.parametrize(
        ("first", "takes"),
        [
            ([], "raw"),
            ([layers.SizeGuard(2)], "raw"),
            ([RESCALING(1 / 255)], "0..255"),
            ([RESCALING(1 / 127.5, offset=-1)], "0..255"),
            ([RESCALING(1 / 65535)], "0..65535"),
            ([RESCALING(2, offset=-1)], "0..1"),
            ([keras.layers.Normalization(mean=[0.5] * 3, variance=[0.06] * 3)], "0..1"),
            ([keras.layers.Normalization(mean=[120] * 3, variance=[4000] * 3)], "0..255"),
            ([layers.Preprocessing("imagenet")], "0..255"),
            ([layers.Preprocessing("caffe")], "0..255"),
            ([layers.Preprocessing("unit"), keras.layers.BatchNormalization()], "0..255"),
            ([keras.layers.BatchNormalization()], None),
            ([lambda x: x / 255.0], "0..255"),
            ([keras.layers.RandomFlip(seed=1), RESCALING(1 / 255)], "0..255"),
            ([lambda x: (x - 127.0) / 128.0], "0..255"),
            ([keras.Sequential([keras.Input((None, None, 3)), RESCALING(1 / 255)])], "0..255"),
        ],
    )
    def test_first_layers_say_what_the_network_takes(self, first, takes):
        network = small(*first)
        assert pixel_range(network) == takes
        refused_unit, _ = told((IMAGES / 255, MASKS), network)
        refused_byte, doubted_byte = told((IMAGES, MASKS), network)
        assert bool(refused_unit) == (takes in ("0..255", "0..65535"))
        assert bool(refused_byte) == (takes in ("0..1", "0..65535"))
        assert ("no layer that normalises" in doubted_byte) == (takes == "raw")

    def test_a_layer_that_draws_is_not_asked_to(self):
        flip = keras.layers.RandomFlip(seed=1)
        network = small(flip, keras.layers.Rescaling(1 / 255))
        before = [np.array(variable) for variable in flip.variables]
        assert pixel_range(network) == "0..255"
        for old, new in zip(before, flip.variables, strict=True):
            np.testing.assert_array_equal(old, new)

    def test_networks_of_the_package_take_bytes(self, tiny_model):
        for name in ("icnn", "gridnet", "segnet_basic", "unetplusplus", "deeplabv3plus"):
            takes = pixel_range(tiny_model(name))
            assert takes == (None if name == "segnet_basic" else "0..255"), name

    def test_without_normalisation_bytes_are_doubted_and_others_pass(self):
        network = unet(preprocessing=None)
        refused, doubted = told((IMAGES, MASKS), network)
        assert not refused and re.search(r'99\.\d% .*preprocessing="unit"', doubted)
        assert told((IMAGES / 255, MASKS), network) == ("", "")
        assert told((IMAGES / 127.5 - 1, MASKS), network) == ("", "")

    def test_sequential_and_subclassed_models_are_read_too(self):
        rescaling = keras.layers.Rescaling(1 / 255)

        class Own(keras.Model):
            def __init__(self):
                super().__init__()
                self.first, self.last = rescaling, keras.layers.Conv2D(2, 1)

            def call(self, x):
                return self.last(self.first(x))

        sequential = keras.Sequential([keras.Input((16, 32, 3)), rescaling, Own().last])
        for network in (sequential, Own()):
            assert "takes pixels in 0..255" in told((IMAGES / 255, MASKS), network)[0]
            assert told((IMAGES, MASKS), network) == ("", "")


class TestShapes:
    @pytest.mark.parametrize(
        ("images", "masks", "message"),
        [
            (np.moveaxis(IMAGES, -1, 1), MASKS, r"channels first.*np\.moveaxis\(images, 1, -1\)"),
            (IMAGES, np.moveaxis(ONE_HOT, -1, 1), r"come first.*np\.moveaxis\(masks, 1, -1\)"),
            (IMAGES, MASKS[:, None], r"come first.*masks\[:, 0\]"),
            (IMAGES, np.swapaxes(MASKS, 1, 2), r"exchanged.*np\.swapaxes\(masks, 1, 2\)"),
            (IMAGES, MASKS[:, :8], "sizes differ"),
            (IMAGES, MASKS[:2], "4 images and 2 masks"),
            (IMAGES[..., 0], MASKS, r"channels is missing.*images\[\.\.\., None\]"),
            (IMAGES[..., :1], MASKS, r"have one channel .*takes 3.*np\.repeat"),
            (IMAGES[..., [0, 1, 2, 2]], MASKS, r"have 4 channels .*images\[\.\.\., :3\]"),
            (IMAGES[:, :15], MASKS[:, :15], "height of 15 pixels, .*multiples of 2.* 14 and 16"),
            (np.repeat(MASKS[..., None], 3, -1), IMAGES, r"images hold 2 values, .*swapped"),
            (IMAGES, MASKS[0, 0], "has a class for each pixel"),
        ],
    )
    def test_what_does_not_belong_together_is_refused(self, model, images, masks, message):
        batches = [(images, masks)]
        assert re.search(message, told(batches, model)[0], re.DOTALL)

    def test_without_a_model_axes_and_sizes_are_seen(self):
        assert "channels first" in told((np.moveaxis(IMAGES, -1, 1), MASKS))[0]
        assert "sizes differ" in told((IMAGES, MASKS[:, :8]))[0]
        assert told((IMAGES / 255, MASKS)) == ("", "")

    def test_single_samples_are_told_from_batches(self, model):
        samples = tf.data.Dataset.from_tensor_slices((IMAGES, MASKS))
        assert "dataset.batch(8)" in told(samples, model)[0]
        assert told(samples.batch(2), model) == ("", "")

    def test_other_forms_that_keras_takes_pass(self, model):
        assert told((IMAGES, MASKS[..., None]), model) == ("", "")
        assert told((IMAGES, ONE_HOT), model) == ("", "")
        grey = unet(channels=1)
        assert told((IMAGES[..., 0], MASKS), grey) == ("", "")  # Keras adds the axis

    def test_scores_of_another_size_are_refused_and_of_unpadded_networks_taken(self):
        smaller = models.deeplabv3plus(
            (None, None, 3),
            2,
            backbone="resnet18",
            backbone_weights=None,
            channels=8,
            upsample_logits=False,
        )
        images = RNG.uniform(0, 255, (2, 64, 64, 3))
        masks = RNG.integers(0, 2, (2, 64, 64))
        assert "scores of 16x16 pixels" in told((images, masks), smaller)[0]
        valid = unet(padding="valid")
        (rows, columns) = valid.compute_output_shape((1, 64, 64, 3))[1:3]
        assert "output_masks" in told((images, masks), valid)[0]
        assert told((images, masks[:, :rows, :columns]), valid) == ("", "")

    def test_a_network_of_fixed_size_names_it(self):
        fixed = models.unet((32, 32, 3), 2, widths=(2, 4))
        assert "height of 16 pixels, and the network takes 32" in told((IMAGES, MASKS), fixed)[0]


class TestLabels:
    @pytest.mark.parametrize(
        ("masks", "message"),
        [
            (MASKS * 255, r"only 0 and 255.*%.*searchsorted\(\[0, 255\]"),
            (MASKS * 7, r"outside the (2 )?classes.* \d\d\.\d% .*searchsorted"),
            (MASKS * 0.5, r"fractions in \d\d\.\d%"),
            (MASKS / 255, "divided by 255, as images are"),
            (MASKS - 1, r"negative values in \d\d\.\d% .*ignore_class=-1"),
            (MASKS * 0 + 255, "only 255, which means unknown"),
            (np.where(MASKS, np.nan, 0.0), r"NaN in \d\d\.\d%"),
            (np.eye(3)[MASKS], "one-hot labels of 3 classes, .* 2 channels.*num_classes=3"),
            (ONE_HOT * 255, r"from 0 to 255 .*100\.0% .*Divide them by 255"),
            (ONE_HOT * 0 + 1, r"In 100\.0% of the pixels several channels .*multi_label"),
            (ONE_HOT / 2, r"In 100\.0% of the pixels .*sum to less than 1"),
            (np.repeat(MASKS[..., None], 3, -1), r"three equal channels.*masks\[\.\.\., 0\]"),
            (np.stack([MASKS * 128, MASKS, MASKS], -1), "colour pictures.*number of its class"),
        ],
    )
    def test_wrong_labels_are_refused(self, model, masks, message):
        assert re.search(message, told((IMAGES, masks), model)[0], re.DOTALL)

    @pytest.mark.parametrize(
        ("masks", "message"),
        [
            (MASKS * 0, "only one class: 0"),
            (np.where(np.arange(32) < 31, 255, MASKS), "96.9% of the pixels are 255"),
        ],
    )
    def test_doubtful_labels_are_told(self, model, masks, message):
        refused, doubted = told((IMAGES, masks), model)
        assert not refused and message in doubted

    def test_a_network_of_far_too_many_classes_is_doubted(self):
        refused, doubted = told((IMAGES, MASKS), unet(21))
        assert not refused
        assert re.search("only the classes 0 to 1, .*has 21.*num_classes=2", doubted)

    def test_absent_classes_are_told_when_all_masks_were_seen(self):
        network = unet(3)
        assert "No mask holds 1 of the 3 classes: 2" in told((IMAGES, MASKS), network)[1]
        some = told((IMAGES, MASKS), network, batch_size=1, number_of_batches=2)
        assert "No mask" not in some[1]

    def test_one_channel_takes_two_classes(self):
        network = unet(1)
        assert told((IMAGES, SOME_UNKNOWN), network) == ("", "")
        refused, doubted = told((IMAGES, MASKS * 0.75), network)  # soft labels, it may be
        assert not refused and "take these for probabilities of class 1" in doubted
        assert "divided by 255" in told((IMAGES, MASKS / 255), network)[0]
        assert "takes masks of 0 and 1: masks[..., 1]" in told((IMAGES, ONE_HOT), network)[0]

    def test_labels_that_overlap_are_taken_where_they_are_meant(self):
        several = RNG.integers(0, 2, (4, 16, 32, 3)).astype("float32")
        network = unet(3)
        assert "several channels" in told((IMAGES, several), network)[0]
        assert told((IMAGES, several), network, multi_label=True) == ("", "")
        unknown = np.where(several[..., :1] > 0, 255, several)
        assert told((IMAGES, unknown), network, multi_label=True) == ("", "")
        assert "hold only 0 and 255" in told((IMAGES, several * 255), network, multi_label=True)[0]
        assert "hold 2 in" in told((IMAGES, several * 2), network, multi_label=True)[0]
        assert "(B, H, W, 3)" in told((IMAGES, MASKS), network, multi_label=True)[0]

    @pytest.mark.parametrize(
        ("weights", "message"),
        [
            (np.zeros(4), "All sample weights are 0"),
            (np.full((4, 16, 32), np.nan), "NaN or negative"),
            (-np.ones(4), "NaN or negative"),
            (np.ones((4, 2)), r"one number for an image.*\(4, 2\)"),
        ],
    )
    def test_weights_of_pixels(self, model, weights, message):
        assert re.search(message, told((IMAGES, MASKS, weights), model)[0])
        for right in (np.ones(4), np.ones((4, 16, 32)), np.ones((4, 16, 32, 1))):
            assert told((IMAGES, MASKS, right), model) == ("", "")


class TestSingleValues:
    @pytest.fixture(scope="class")
    def deeplab(self):
        return models.deeplabv3plus(
            (None, None, 3), 2, backbone="resnet18", backbone_weights=None, channels=8
        )

    def test_ours_cope_and_are_told(self, deeplab):
        refused, doubted = told((IMAGES, MASKS), deeplab, batch_size=1)
        assert not refused and re.search("one image, .*'aspp.pool_bn'.*batch_size of 2", doubted)

    @pytest.mark.parametrize(("batch_size", "expected"), [(2, False), (3, True), (4, False)])
    def test_the_last_batch_counts(self, deeplab, batch_size, expected):
        _, doubted = told((IMAGES, MASKS), deeplab, batch_size=batch_size)
        assert ("The last batch has one image" in doubted) == expected

        class Batches(keras.utils.PyDataset):
            def __len__(self):
                return -(-len(IMAGES) // batch_size)

            def __getitem__(self, index):
                part = slice(index * batch_size, (index + 1) * batch_size)
                return IMAGES[part], MASKS[part]

        _, doubted = told(Batches(), deeplab, number_of_batches=1)
        assert ("The last batch has one image" in doubted) == expected

    def test_those_of_keras_are_refused(self):
        image = keras.Input((None, None, 3))
        x = keras.layers.Conv2D(4, 1)(keras.layers.Rescaling(1 / 255)(image))
        pooled = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
        pooled = keras.layers.BatchNormalization(name="pooled_norm")(pooled)
        network = keras.Model(image, keras.layers.Conv2D(2, 1)(x * pooled))
        for batch_size, first in ((1, "Batches have"), (3, "The last batch has")):
            refused, _ = told((IMAGES, MASKS), network, batch_size=batch_size)
            assert refused.startswith(f"{first} one image, of which the batch norm 'pooled_norm'")
        network.get_layer("pooled_norm").trainable = False
        assert told((IMAGES, MASKS), network, batch_size=1) == ("", "")

    def test_small_crops_have_maps_of_one_pixel(self, model, tiny_model):
        _, doubted = told((IMAGES[:, :2, :2], MASKS[:, :2, :2]), model, batch_size=1)
        assert "2 batch norms (down1." in doubted
        hrnet = tiny_model("hrnet")
        assert single_value_norms(hrnet, (1, 64, 64, 3)) == ([], [])
        coping, spoilt = single_value_norms(hrnet, (1, 32, 32, 3))
        assert "stage4.0.branches.3.0.bn1" in coping and not spoilt

    def test_devices_share_a_batch(self, deeplab):
        first = take_batches((IMAGES, MASKS), 1, batch_size=4)
        (found,) = findings(first, deeplab, replicas=4)
        assert "one image on each device" in found.message and "batch_size of 8" in found.message
        assert findings(first, deeplab, replicas=2) == []
        norm = deeplab.get_layer("aspp.pool_bn")
        norm.synchronized = True
        try:  # takes the images of all devices together
            assert findings(first, deeplab, replicas=4) == []
        finally:
            norm.synchronized = False

    def test_batches_of_a_strategy_are_those_of_devices(self, deeplab):
        strategy = tf.distribute.MirroredStrategy(["CPU:0"])
        batches = tf.data.Dataset.from_tensor_slices((IMAGES, MASKS)).batch(1)
        _, doubted = told(strategy.experimental_distribute_dataset(batches), deeplab)
        assert "one image, of which the batch norm 'aspp.pool_bn'" in doubted


class TestCompiled:
    @pytest.mark.parametrize(
        ("head", "name"),
        [(None, "logits"), ("softmax", "softmax"), ("sigmoid", "sigmoid")],
    )
    def test_the_last_activation_is_found_behind_what_only_moves_pixels(self, head, name):
        network = small(head=head)
        assert heads(network) == {"": name}
        larger = keras.layers.UpSampling2D()(network.output)
        assert heads(keras.Model(network.input, larger)) == {"": name}
        assert heads(keras.Sequential([network, keras.layers.Activation("linear")])) == {"": name}
        wrapped = keras.Input((None, None, 3))
        assert heads(keras.Model(wrapped, network(wrapped))) == {"": name}
        assert heads(unet(activation=head)) == {"": name}

    def test_values_tell_where_layers_do_not(self):
        network = small(head="softmax")
        own = keras.Model(network.input, keras.layers.Lambda(lambda x: x)(network.output))
        assert heads(own) == {"": None}
        assert heads(own, IMAGES[:1]) == {"": "softmax"}
        logits = small(head=None)
        own = keras.Model(logits.input, keras.layers.Lambda(lambda x: 9 * x)(logits.output))
        assert heads(own, IMAGES[:1]) == {"": "logits"}

    RIGHT = (
        (None, losses.get("cross_entropy+dice"), metrics.MeanIoU(2)),
        (None, keras.losses.SparseCategoricalCrossentropy(from_logits=True), "accuracy"),
        ("softmax", losses.get({"name": "dice", "from_logits": False}), metrics.MeanIoU(2)),
        ("softmax", "sparse_categorical_crossentropy", "accuracy"),
        ("softmax", "crossentropy", metrics.SegmentationMetrics(2)),
    )

    @pytest.mark.parametrize(("head", "loss", "metric"), RIGHT)
    def test_right_losses_pass(self, head, loss, metric):
        assert told((IMAGES, MASKS), compiled(unet(activation=head), loss, metric)) == ("", "")

    @pytest.mark.parametrize("loss", ["categorical_crossentropy", "dice", "tversky", "mse"])
    def test_losses_of_keras_take_one_hot_masks(self, loss):
        network = compiled(unet(activation="softmax"), loss)
        assert told((IMAGES, ONE_HOT), network) == ("", "")
        refused, _ = told((IMAGES, MASKS), network)
        assert "compares each of the 2 channels with the number of the class" in refused

    @pytest.mark.parametrize(
        ("head", "loss", "message"),
        [
            ("softmax", losses.get("cross_entropy"), "ends in a softmax.*squashed twice"),
            ("softmax", losses.get("focal+0.5*dice"), "2 things.*\n1. The loss 'focal'.*\n2. "),
            (None, losses.get({"name": "dice", "from_logits": False}), "takes probabilities"),
            (None, "sparse_categorical_crossentropy", "takes probabilities .*from_logits=True"),
            (
                "softmax",
                keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                "squashed twice",
            ),
            (None, "cross_entropy+dice", r'losses\.get\("cross_entropy\+dice"\)'),
            (None, "crossentropi", "Keras has no 'crossentropi'"),
        ],
    )
    def test_losses_that_do_not_fit_the_head_are_refused(self, head, loss, message):
        network = compiled(unet(activation=head), loss)
        assert re.search(message, told((IMAGES, MASKS), network)[0], re.DOTALL)

    def test_one_channel(self):
        logits, squashed = unet(1), unet(1, activation="sigmoid")
        binary = keras.losses.BinaryCrossentropy
        pair = (IMAGES, MASKS)
        assert told(pair, compiled(squashed, binary(), metrics.MeanIoU(2, from_logits=False))) == (
            "",
            "",
        )
        assert told(pair, compiled(logits, binary(from_logits=True), metrics.MeanIoU(2))) == (
            "",
            "",
        )
        assert "takes probabilities" in told(pair, compiled(logits, "binary_crossentropy"))[0]
        assert "squashed twice" in told(pair, compiled(squashed, losses.get("dice")))[0]
        refused, _ = told(pair, compiled(squashed, binary(), metrics.MeanIoU(2)))
        assert "from_logits=True and cuts scores at 0" in refused
        refused, _ = told(pair, compiled(logits, binary(from_logits=True), metrics.ClassIoU(2, 1)))
        assert not refused
        _, doubted = told(pair, compiled(logits, binary(from_logits=True), "accuracy"))
        assert "'accuracy' cuts at 0.5" in doubted
        refused, _ = told(pair, compiled(logits, "sparse_categorical_crossentropy"))
        assert "the network has one: the share of a single class is always 1" in refused

    @pytest.mark.parametrize(
        ("num_classes", "loss"),
        [
            (1, keras.losses.BinaryCrossentropy(from_logits=True)),
            (2, keras.losses.SparseCategoricalCrossentropy(from_logits=True)),
        ],
    )
    def test_losses_of_keras_do_not_know_255(self, num_classes, loss):
        network = compiled(unet(num_classes), loss)
        assert "takes 255, which means unknown in 25.0%" in told((IMAGES, SOME_UNKNOWN), network)[0]
        knows = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255)
        assert told((IMAGES, SOME_UNKNOWN), compiled(unet(), knows)) == ("", "")
        _, doubted = told((IMAGES, SOME_UNKNOWN), compiled(unet(), knows, "accuracy"))
        assert "counts 25.0% of the pixels, which are 255 (unknown), as wrong" in doubted

    def test_metrics_of_scores(self):
        network = compiled(unet(), losses.get("dice"), keras.metrics.MeanIoU(2))
        assert "takes class indices as predictions" in told((IMAGES, MASKS), network)[0]
        network = compiled(unet(), losses.get("dice"), metrics.MeanIoU(3))
        assert "counts 3 classes, and the network outputs 2" in told((IMAGES, MASKS), network)[0]

    @pytest.mark.parametrize(
        ("weights", "refusal", "doubt"),
        [
            ([1, 5, 1], "", ""),
            ([1, 5], "has 2 numbers, and there are 3 classes", ""),
            ([0, 0, 3], "leaves only class 2", ""),
            ([1, 1, 3], "", "class 2 (3), which has none of the 2,048 pixels"),
        ],
    )
    def test_class_weights(self, weights, refusal, doubt):
        masks = np.where((MASKS == 1) & (doubt == ""), RNG.integers(1, 3, MASKS.shape), MASKS)
        if not refusal and doubt:
            masks = MASKS
        loss = losses.CrossEntropy(class_weights=weights)
        refused, doubted = told((IMAGES, masks), compiled(unet(3), loss))
        assert refusal in refused and bool(refusal) == bool(refused)
        assert doubt in doubted

    def test_class_weights_as_keras_writes_them(self):
        network = unet(3)
        refused, _ = told((IMAGES, MASKS), network, class_weights={0: 1.0, 5: 2.0})
        assert "names class 5, and the classes are 0 to 2" in refused
        _, doubted = told((IMAGES, MASKS), network, class_weights={0: 1.0, 2: 2.0})
        assert "class 2 (2), which has none" in doubted
        assert told((IMAGES, MASKS), unet(2), class_weights={1: 2.0}) == ("", "")

    def test_networks_with_several_outputs(self):
        network = models.unetplusplus(
            (None, None, 3), 2, widths=(2, 2, 4, 4, 4), deep_supervision=True
        )
        network.compile("sgd", **output_losses(network, "cross_entropy", num_classes=2))
        batches = tf.data.Dataset.from_tensor_slices((IMAGES, MASKS)).batch(2)
        batches = batches.map(output_masks(network))
        assert told(batches, network) == ("", "")
        halves = batches.map(lambda image, mask: (image / 255, mask))
        assert "takes pixels in 0..255" in told(halves, network)[0]


class TestData:
    def test_a_generator_gives_all_its_batches_again(self, model):
        def generator():
            for start in range(4):
                yield IMAGES[start : start + 1], MASKS[start : start + 1]

        again = check_batches(generator(), model, number_of_batches=2)
        for (image, mask), expected in zip(again, generator(), strict=True):
            np.testing.assert_array_equal(image, expected[0])
            np.testing.assert_array_equal(mask, expected[1])
        network = compiled(unet(), losses.get("dice"))
        network.run_eagerly = True
        history = network.fit(check_batches(generator(), network), steps_per_epoch=4, verbose=0)
        assert len(history.history["loss"]) == 1
        with pytest.raises(ValueError, match=r"model\.fit\(keras_seg\.data\.check_batches"):
            FirstBatchCheck(generator())

    def test_others_are_given_back_as_they_are(self, model):
        batches = tf.data.Dataset.from_tensor_slices((IMAGES, MASKS)).batch(2)
        assert check_batches(batches, model) is batches
        pairs = [(IMAGES, MASKS)]
        assert check_batches(pairs, model) is pairs

    @pytest.mark.parametrize(
        ("batches", "message"),
        [
            ((IMAGES[:0], MASKS[:0]), "the data are empty"),
            ([IMAGES], r"must be \(images, masks\)"),
            (tf.data.Dataset.from_tensor_slices(IMAGES).batch(2), "must be"),
            ([(IMAGES, np.full((4, 16, 32), "road"))], "pixels and labels are numbers"),
        ],
    )
    def test_what_is_no_data(self, model, batches, message):
        with pytest.raises(ValueError, match=message):
            check_batches(batches, model)
        with pytest.raises(TypeError, match="takes what model.fit takes"):
            check_batches(3, model)

    @pytest.mark.parametrize("options", [{}, {"jit_compile": True}, {"steps_per_execution": 2}])
    def test_the_callback_stops_fit_before_its_first_step(self, options):
        network = unet()
        network.compile("adam", losses.get("dice"), **options)
        before = network.get_weights()
        wrong = (IMAGES / 255, MASKS)
        with pytest.raises(ValueError, match=r"^The images lie in 0\.\.1"):
            network.fit(*wrong, callbacks=[FirstBatchCheck(wrong)], verbose=0)
        for old, new in zip(before, network.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)
        if options:
            return  # right ones are trained on as without the callback, and compiled for long
        right = (IMAGES, MASKS)
        check = FirstBatchCheck(right, batch_size=2)
        network.run_eagerly = True
        network.fit(*right, batch_size=2, callbacks=[check], verbose=0)

    @pytest.mark.parametrize(
        ("name", "batch_size"),
        [
            ("cells", 4),
            pytest.param("faces", 4, marks=pytest.mark.slow),
            pytest.param("streets", 4, marks=pytest.mark.slow),
            ("streets", 1),
        ],
    )
    def test_built_in_data_pass(self, name, batch_size):
        dataset = BuiltinDataset(name, "train", length=8)
        network = unet(len(dataset.classes))
        arguments = output_losses(network, "cross_entropy+dice", num_classes=len(dataset.classes))
        network.compile("adam", **arguments)
        batches = training_pipeline(dataset, crop=(64, 64), batch_size=batch_size, epochs=1)
        assert told(batches, network) == ("", "")


@pytest.mark.usefixtures("without_tracing")
class TestTrain:
    @pytest.fixture
    def recipe(self, shapes_folder, tmp_path):
        return Recipe(
            data=str(shapes_folder),
            output=str(tmp_path / "run"),
            model_options={"widths": [2, 4]},
            crop=(32, 32),
            batch_size=2,
            epochs=1,
            steps_per_epoch=1,
            overlays=0,
        )

    def test_refuses_before_the_first_step_and_trains_once_it_is_mended(self, recipe, capsys):
        wrong = replace(recipe, loss={"name": "cross_entropy", "class_weights": [0, 1, 0]})
        with pytest.raises(ValueError, match="^class_weights leaves only class 1"):
            train(wrong)
        assert not (Path(recipe.output) / "checkpoints").exists()
        assert train(recipe).finished
        assert "Look at the data" not in capsys.readouterr().err

    def test_the_command_line_says_it_in_a_line(self, recipe, capsys):
        path = Path(recipe.output).with_suffix(".yaml")
        wrong = {"name": "cross_entropy", "class_weights": [0, 1, 0]}
        path.write_text(replace(recipe, loss=wrong).to_yaml())
        assert cli.main(["train", "--config", str(path)]) == cli.WRONG_INPUT
        (line,) = [line for line in capsys.readouterr().err.splitlines() if "class_weights" in line]
        assert line.startswith("keras-seg train: class_weights leaves only class 1")

    def test_crops_that_show_one_class_and_borders_by_chance_are_no_doubt(self, recipe, capsys):
        masks = sorted(Path(recipe.data, "masks").glob("train*.png"))
        for path in masks[1:]:  # one image alone shows classes
            Image.fromarray(
                np.where(np.arange(96) < 48, 255, np.zeros((64, 1), int)).astype("uint8")
            ).save(path)
        of_one = replace(recipe, batch_size=1, crop=(32, 32), steps_per_epoch=2)
        assert train(of_one).finished
        assert "Look at the data" not in capsys.readouterr().err

    def test_doubts_are_told_and_trained_on(self, recipe, capsys):
        options = {"widths": [2, 4], "preprocessing": None}
        assert train(replace(recipe, model_options=options)).finished
        told = capsys.readouterr().err
        assert re.search(r"Look at the data: The images lie in .*no layer that normalises", told)

    def test_classes_that_only_the_first_batches_lack_are_no_doubt(self, recipe, capsys):
        loss = {"name": "cross_entropy", "class_weights": [1, 2, 3]}
        assert train(replace(recipe, crop=(4, 4), batch_size=1, loss=loss)).finished
        assert "class_weights" not in capsys.readouterr().err


def test_a_path_in_the_place_of_the_model_is_refused():
    with pytest.raises(TypeError, match=r"models\.load\(path\).*model\.keras"):
        check_batches((IMAGES, MASKS), "model.keras")
