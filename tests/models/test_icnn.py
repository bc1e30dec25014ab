"""iCNN in both released forms, and the two-stage face parser."""

import keras
import numpy as np
import pytest

from keras_seg import models
from keras_seg.layers import (
    CutWindow,
    EdgePadding2D,
    PaddedMaxPooling2D,
    ParityPlanes,
    PartWindows,
    PasteWindow,
)
from keras_seg.models.face_parser import HELEN_PARTS, FacePart
from tests.helpers.shapes import Shapes

RNG = np.random.default_rng(0)
NARROW = {"widths": (2, 2, 2, 2), "interlinks": 1}


def trainable(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


class TestForms:
    @pytest.mark.parametrize(
        ("form", "labels", "parameters"),
        [("theano", 9, 447729), ("theano", 4, 428254), ("theano", 2, 422732), ("stn", 9, 559931)],
    )
    def test_default_has_the_parameters_of_the_release(self, form, labels, parameters):
        assert trainable(models.icnn((64, 64, 3), labels, form=form)) == parameters

    @pytest.mark.parametrize("form", ["theano", "stn"])
    def test_odd_sizes_give_a_mask_of_the_same_size(self, form):
        model = models.icnn((None, None, 3), 3, form=form, **NARROW)
        assert model(np.zeros((1, 45, 61, 3))).shape == (1, 45, 61, 3)

    def test_every_resolution_reaches_the_scores(self):
        model = models.icnn((32, 32, 3), 2, **NARROW)
        coarsest = model.get_layer("row3_inter0")
        before = model(image := RNG.uniform(0, 255, (1, 32, 32, 3)))
        coarsest.bias.assign_add([1.0, -1.0])
        assert np.abs(before - model(image)).max() > 1e-3

    @pytest.mark.parametrize(
        "wrong", [{"form": "caffe"}, {"widths": (8,)}, {"interlinks": 0}], ids=str
    )
    def test_options_that_make_no_icnn_are_refused(self, wrong):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            models.icnn((64, 64, 3), 2, **wrong)

    def test_part_locator_takes_its_one_size_only(self):
        assert trainable(models.part_locator()) == 5172
        with pytest.raises(ValueError, match="128x128 pixels only. Received: 64x64"):
            models.part_locator((64, 64, 9))


class TestLayers:
    @pytest.mark.parametrize("stride", [1, 2])
    @pytest.mark.parametrize("size", [(6, 8), (5, 7), (5, 8), (1, 2)])
    def test_padding_of_pooling_is_minus_infinity(self, size, stride):
        x = -RNG.uniform(1, 2, (1, *size, 2)).astype("float32")
        padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)], constant_values=-np.inf)
        rows, columns = (range(0, s, stride) for s in size)
        expected = [[padded[:, i : i + 3, j : j + 3].max((1, 2)) for j in columns] for i in rows]
        expected = np.array(expected).transpose(2, 0, 1, 3)
        for shape in ((*size, 2), (None, None, 2)):
            image = keras.Input(shape)
            model = keras.Model(image, PaddedMaxPooling2D(stride)(image))
            assert model.compute_output_shape(x.shape) == expected.shape
            np.testing.assert_array_equal(model(x), expected)

    def test_files_with_the_older_pooling_still_load(self, tmp_path):
        image = keras.Input((6, 8, 2))
        pooled = keras.layers.MaxPooling2D(3, 2)(EdgePadding2D()(image))
        keras.Model(image, pooled).save(tmp_path / "older.keras")
        model = keras.models.load_model(tmp_path / "older.keras", safe_mode=True)
        x = RNG.normal(size=(1, 6, 8, 2)).astype("float32")
        np.testing.assert_array_equal(model(x), PaddedMaxPooling2D()(x))

    def test_pooling_of_another_stride_is_refused(self):
        with pytest.raises(ValueError, match="stride must be 1 or 2. Received: 3"):
            PaddedMaxPooling2D(3)

    def test_parity_planes_are_column_then_row(self):
        planes = ParityPlanes()(np.zeros((2, 3, 4, 1), "float32"))
        assert planes.shape == (2, 3, 4, 2)
        np.testing.assert_array_equal(planes[1, :, :, 0], [[0, 1, 0, 1]] * 3)
        np.testing.assert_array_equal(planes[1, :, :, 1], [[0] * 4, [1] * 4, [0] * 4])

    def test_window_of_original_resolution_is_a_slice(self):
        image = RNG.normal(size=(1, 20, 30, 2)).astype("float32")
        window = _window(image, top=4, left=10, side=8)
        np.testing.assert_allclose(CutWindow(8)(image, window), image[:, 4:12, 10:18], atol=1e-5)
        np.testing.assert_allclose(
            CutWindow(8, mirrored=True)(image, window), image[:, 4:12, 17:9:-1], atol=1e-5
        )

    def test_window_beyond_the_border_shows_zeros_there(self):
        image = np.ones((1, 20, 30, 1), "float32")
        patch = CutWindow(8)(image, _window(image, top=-3, left=26, side=8))[0, ..., 0]
        expected = np.zeros((8, 8))
        expected[3:, :4] = 1
        np.testing.assert_allclose(patch, expected, atol=1e-5)

    @pytest.mark.parametrize("mirrored", [False, True])
    def test_pasting_undoes_cutting(self, mirrored):
        image = RNG.normal(size=(1, 20, 30, 2)).astype("float32")
        window = _window(image, top=4, left=24, side=8)
        patch = CutWindow(8, mirrored=mirrored)(image, window)
        pasted = PasteWindow(-5.0, mirrored=mirrored)(patch, window, like=image)
        expected = np.full_like(image, -5)
        expected[:, 4:12, 24:30] = image[:, 4:12, 24:30]
        np.testing.assert_allclose(pasted, expected, atol=1e-4)

    def test_whole_image_is_averaged_when_it_shrinks(self):
        image = np.full((1, 96, 128, 1), 7, "float32")
        image[:, :, ::2] = 9
        np.testing.assert_allclose(CutWindow(16)(image)[:, :, 1:-1], 8, atol=0.05)

    def test_part_windows_are_centred_on_their_part(self):
        probabilities = np.zeros((1, 16, 16, 3), "float32")
        probabilities[..., 0] = 1
        probabilities[:, 4:6, 10:14] = (0, 0.5, 0.5)
        image = np.zeros((1, 64, 128, 3), "float32")
        windows = PartWindows([(1, 2), (1,)], [32, 16])(probabilities, like=image)
        centre = [2 * 12 / 16 - 1, 2 * 5 / 16 - 1]
        np.testing.assert_allclose(windows[0, 0, :, 2], centre, atol=1e-3)
        np.testing.assert_allclose(windows[0, 0, :, :2], [[32 / 128, 0], [0, 32 / 64]])
        np.testing.assert_allclose(windows[0, 1, :, :2], [[16 / 128, 0], [0, 16 / 64]])


class TestFaceParser:
    def test_patches_of_perfect_networks_join_to_the_true_mask(self):
        mask = _face_mask()
        image = 20.0 * np.eye(9, dtype="float32")[mask][None]
        model = models.face_parser(
            (None, None, 9),
            stage1=_picks(9, range(9), 64),
            nets={
                "brows": _picks(9, (0, (1, 2)), 32),
                "eyes": _picks(9, (0, (3, 4)), 32),
                "nose": _picks(9, (0, 5), 32),
                "mouth": _picks(9, (0, 6, 7, 8), 32),
            },
            patch_size=32,
        )
        np.testing.assert_array_equal(np.argmax(model(image), -1)[0], mask)

    def test_patches_for_training_show_the_parts_of_a_network_with_its_own_classes(self):
        mask = _face_mask()
        image = (10.0 * mask)[..., None].astype("float32")
        unknown = np.where(mask == 7, 255, mask)
        patches, masks = models.part_patches(image[None], unknown[None], "mouth", size=32)
        assert patches.shape == (1, 32, 32, 1) and masks.shape == (1, 32, 32)
        for label, own in ((6, 1), (7, 255), (8, 3)):  # the window lies on whole pixels or halves
            assert np.sum(masks == own) == pytest.approx(np.sum(mask == label), rel=0.1)
        patches, masks = models.part_patches(image[None], mask[None], "nose", size=32)
        np.testing.assert_array_equal(masks[0, 9:23, 9:23], 1)
        np.testing.assert_allclose(patches[0, 9:23, 9:23], 50, atol=1e-3)
        assert np.sum(masks) == 14 * 14
        left, right = models.part_patches(image[None], mask[None], "eyes", size=32)[1]
        np.testing.assert_array_equal(left, right[:, ::-1])
        with pytest.raises(ValueError, match="Did you mean 'eyes'"):
            models.part_patches(image[None], mask[None], "eye")

    def test_only_right_parts_are_mirrored(self):
        assert [part.mirrored for part in HELEN_PARTS] == [False, True, False, True, False, False]

    def test_gradients_reach_all_networks_and_files_keep_it(self, tmp_path):
        import tensorflow as tf

        model = _tiny_parser(auxiliary_head=True)
        image = RNG.uniform(0, 255, (2, 40, 48, 3)).astype("float32")
        with tf.GradientTape() as tape:
            outputs = model(image, training=True)
            loss = tf.add_n([tf.reduce_mean(output**2) for output in outputs.values()])
        assert list(outputs) == ["logits", "stage1"]
        assert all(output.shape == (2, 40, 48, 5) for output in outputs.values())
        assert all(g is not None for g in tape.gradient(loss, model.trainable_weights))
        model.save(tmp_path / "m.keras")
        loaded = keras.saving.load_model(tmp_path / "m.keras", safe_mode=True)
        np.testing.assert_array_equal(model(image)["logits"], loaded(image)["logits"])

    @pytest.mark.slow  # its layers are those of other networks
    def test_leaves_as_a_file_of_built_in_operators(self, tmp_path):
        from keras_seg import inference
        from keras_seg.export import export

        model, image = _tiny_parser(), Shapes("val", 1)[0].image
        report = export(model, tmp_path / "m.tflite", input_shape=image.shape)
        assert report.audit.problems == ()
        expected = model(image[None].astype("float32"))[0]
        found = inference.load(tmp_path / "m.tflite").run(image)
        np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())

    def test_locator_gives_the_windows(self):
        model = models.face_parser(
            (None, None, 3),
            stage1=models.icnn((128, 128, 3), 9, **NARROW),
            nets=_tiny_nets(16),
            locator=models.part_locator(),
            stage1_size=128,
            patch_size=16,
        )
        assert model(np.zeros((1, 40, 48, 3))).shape == (1, 40, 48, 9)

    def test_parts_and_networks_that_do_not_fit_are_refused(self):
        with pytest.raises(ValueError, match=r"labels of all parts.*Received: \[1, 3\]"):
            models.face_parser(parts=(FacePart("a", (1,)), FacePart("b", (3,))))
        with pytest.raises(ValueError, match="network for 'nose'.* to 2 classes"):
            models.face_parser(nets=_tiny_nets(64) | {"nose": models.icnn(num_classes=3, **NARROW)})


def _tiny_nets(size):
    counts = {"brows": 2, "eyes": 2, "nose": 2, "mouth": 4}
    return {name: models.icnn((size, size, 3), n, **NARROW) for name, n in counts.items()}


def _tiny_parser(**options):
    """Of three parts: two that share a network, one of them mirrored, and one of two labels."""
    parts = (
        FacePart("eyes", (1,)),
        FacePart("eyes", (2,), mirrored=True),
        FacePart("lips", (3, 4)),
    )
    nets = {
        name: models.icnn((16, 16, 3), n, **NARROW) for name, n in {"eyes": 2, "lips": 3}.items()
    }
    stage1 = models.icnn((32, 32, 3), 5, **NARROW)
    words = {"parts": parts, "stage1": stage1, "nets": nets, "stage1_size": 32, "patch_size": 16}
    return models.face_parser(**words, **options)


def _window(image, top, left, side):
    height, width = image.shape[1:3]
    x, y = (2 * (left + side / 2) / width - 1, 2 * (top + side / 2) / height - 1)
    return np.array([[[side / width, 0, x], [0, side / height, y]]], "float32")


def _face_mask():
    mask = np.zeros((100, 120), int)
    for label, (top, left) in enumerate([(20, 20), (20, 80), (36, 24), (36, 84)], start=1):
        mask[top : top + 5, left : left + 14] = label
    mask[48:62, 52:66] = 5
    mask[70:73, 44:70], mask[73:76, 46:68], mask[76:81, 44:70] = 6, 7, 8
    return mask


def _picks(channels, groups, size):
    """A network whose classes are sums of channels: a perfect labelling of one-hot images."""
    x = keras.Input((size, size, channels))
    layer = keras.layers.Conv2D(len(groups), 1, use_bias=False)
    model = keras.Model(x, layer(x))
    kernel = np.zeros((1, 1, channels, len(groups)), "float32")
    for i, group in enumerate(groups):
        for channel in np.atleast_1d(group):
            kernel[..., channel, i] = 1
    if len(groups) < channels:  # other parts are background to this network
        kernel[..., 0] = kernel[..., 1:].sum(-1) == 0
    layer.set_weights([kernel])
    return model
