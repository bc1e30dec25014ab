"""Images of any size through any network: overlap-tiles, test-time augmentation, batches."""

import keras
import numpy as np
import pytest

from keras_seg import export, inference, models
from keras_seg.card import ModelCard
from keras_seg.data.classes import ClassTable
from keras_seg.data.reading.rows import ArrayRows
from keras_seg.inference import TestTimeAugmentation, bands
from keras_seg.inference.keras_runner import KerasRunner
from keras_seg.inference.tiles import meeting_positions, overlap_tiled
from tests.helpers.colour_blocks import ColourBlocks, card_of, small_network
from tests.helpers.stub_runner import Stub, darkness

pytestmark = pytest.mark.xdist_group("prediction")


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def valid_unet():
    """The paper's unpadded U-Net, narrow, with whole numbers as weights: its sums are exact."""
    model = models.unet(
        (None, None, 3), 3, widths=(2, 3, 3), padding="valid", dropout=0.0, preprocessing=None
    )
    random = np.random.default_rng(3)
    model.set_weights([random.integers(-1, 2, w.shape) for w in model.get_weights()])
    return model


class TestOverlapTiles:
    def test_together_equal_the_whole_image_to_the_bit(self, valid_unet):
        runner = KerasRunner(valid_unet)
        image, margin = noise(70, 101), runner.margin
        whole = runner.run_batch(
            np.pad(image, [(m, 60 + m) for m in margin] + [(0, 0)], "reflect")[
                None, : _size(70 + 2 * margin[0]), : _size(101 + 2 * margin[1])
            ]
        )[0, :70, :101]
        seen = []

        def run(parts):
            seen.append(parts.shape)
            return runner.run_batch(parts)

        window = (_size(2 * margin[0] + 16),) * 2
        tiles = overlap_tiled(run, image[None], window, margin, runner.size_rule[0])
        assert len(seen) > 12 and set(seen) == {(1, *window, 3)}
        np.testing.assert_array_equal(tiles[0], whole)
        assert len(np.unique(whole.argmax(-1))) > 1
        np.testing.assert_array_equal(runner.predict(image), whole.argmax(-1))

    def test_exported_file_of_one_size_gives_the_mask_of_the_whole_image(
        self, valid_unet, tmp_path
    ):
        margin = KerasRunner(valid_unet).margin[0]
        card = ModelCard(ClassTable.numbered(3), "unet", size_multiple=4)
        size = _size(2 * margin + 24)
        export.export(valid_unet, tmp_path / "unet.onnx", card=card, input_shape=(size, size, 3))
        runner = inference.load(tmp_path / "unet.onnx")
        assert runner.margin == (margin, margin)
        image = noise(50, 77)
        np.testing.assert_array_equal(
            runner.predict(image), KerasRunner(valid_unet, card).predict(image)
        )

    def test_windows_leave_no_gap_and_begin_at_multiples(self):
        starts = meeting_positions(1000, 388, 16)
        assert starts == [0, 384, 768]
        assert meeting_positions(388, 388, 16) == [0]
        with pytest.raises(ValueError, match="at least 16 pixels"):
            meeting_positions(100, 12, 16)


class TestTestTimeAugmentation:
    def test_pointwise_network_is_left_as_it_is(self):
        image = noise(30, 41)
        plain = Stub(darkness).predict(image, probabilities=True)
        turned = Stub(darkness).predict(image, probabilities=True, tta=TestTimeAugmentation("both"))
        np.testing.assert_allclose(turned, plain, atol=1e-6)
        np.testing.assert_allclose(plain.sum(-1), 1, atol=1e-5)

    def test_is_the_mean_over_image_and_mirror_image(self):
        model = small_network()
        runner, image = KerasRunner(model), noise(32, 48)
        views = np.stack([image, image[:, ::-1]]).astype(np.float32)
        straight, mirrored = keras.ops.softmax(model(views, training=False)).numpy()
        found = runner.predict(image, probabilities=True, tta=TestTimeAugmentation())
        np.testing.assert_allclose(found, (straight + mirrored[:, ::-1]) / 2, atol=1e-5)

    def test_left_is_right_in_the_mirror(self):
        def left_half(images):  # the right answer for every view: what lies left is "left eye"
            scores = np.zeros((*images.shape[:3], 2), np.float32)
            scores[:, :, :4, 0] = scores[:, :, 4:, 1] = 9
            return scores

        runner = Stub(left_half, classes=2)
        runner.card = ModelCard(ClassTable(("left eye", "right eye")), "stub")
        mask = runner.predict(noise(6, 8), tta=TestTimeAugmentation())
        np.testing.assert_array_equal(mask, np.repeat([[0] * 4 + [1] * 4], 6, 0))

    def test_scales_show_the_image_larger_and_smaller(self):
        seen = []

        def watch(images):
            seen.append(images.shape[1:3])
            return darkness(images)

        tta = TestTimeAugmentation("none", (0.5, 1, 2))
        assert Stub(watch, multiple=4).predict(noise(20, 31), tta=tta).shape == (20, 31)
        assert seen == [(12, 16), (20, 32), (40, 64)]
        fixed = Stub(darkness, (16, 16, 3), trained_size=(16, 16))
        with pytest.raises(ValueError, match="sees them at one scale"):
            fixed.predict(noise(20, 31), tta=tta)

    @pytest.mark.parametrize("words", [{"flips": "vertical"}, {"scales": ()}, {"scales": (0,)}])
    def test_refuses_others(self, words):
        with pytest.raises(ValueError, match="Received"):
            TestTimeAugmentation(**words)


class TestBatches:
    def test_batch_and_list_are_the_single_images(self):
        runner = KerasRunner(small_network(), card_of(ColourBlocks()))
        images = [noise(31, 40), noise(31, 40)[::-1], noise(20, 20), noise(31, 40)[:, ::-1]]
        single = [runner.predict(image) for image in images]
        for mask, expected in zip(runner.predict(images), single, strict=True):
            np.testing.assert_array_equal(mask, expected)
        batch = runner.predict(np.stack(images[:2]), batch_size=1)
        np.testing.assert_array_equal(batch, np.stack(single[:2]))

    @pytest.mark.parametrize("padding", ["same", "valid"])
    @pytest.mark.parametrize("large", [False, True])
    def test_windows_of_a_keras_model_run_together_and_say_the_same(
        self, valid_unet, monkeypatch, padding, large
    ):
        model = valid_unet if padding == "valid" else small_network()
        side = _size(2 * KerasRunner(model).margin[0] + 16) if padding == "valid" else 16
        card = ModelCard(ClassTable.numbered(3), "small")
        runner = KerasRunner(model, card, input_shape=(side, side, 3))
        seen = []
        monkeypatch.setattr(runner, "_forward", _watched(runner._forward, seen))
        image = noise(40, 93)
        masks = {}
        for windows in (1, 4):
            runner.pixels_at_once = windows * side**2
            masks[windows] = _mask(runner, image, large)
            assert min(windows, 3) <= max(seen) <= windows
        assert len(np.unique(masks[1])) > 1
        np.testing.assert_array_equal(masks[4], masks[1])

    def test_one_logit_has_the_probabilities_of_two_classes(self):
        runner = Stub(lambda images: images[..., :1].astype(np.float32) - 100, classes=2)
        found = runner.predict(np.full((2, 2, 3), 100, np.uint8), probabilities=True)
        np.testing.assert_array_equal(found, np.full((2, 2, 2), 0.5))

    def test_classes_have_no_probabilities(self):
        runner = Stub(lambda images: darkness(images).argmax(-1), head="argmax")
        with pytest.raises(ValueError, match="no probabilities"):
            runner.predict(noise(4, 4), probabilities=True)


def _watched(forward, seen):
    """`forward`, noting the length of every batch."""

    def run(images):
        seen.append(len(images))
        return forward(images)

    return run


def _mask(runner, image, large):
    if not large:
        return runner.predict(image)
    found = bands.predict_in_bands(runner, ArrayRows(image))
    return np.concatenate([band.mask for band in found])


def _size(at_least, multiple=4, offset=12):
    """The next size that the narrow U-Net takes."""
    return at_least + (offset - at_least) % multiple
