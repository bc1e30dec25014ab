"""Transforms of the user: Albumentations, Keras' layers and functions, in pipelines and recipes."""

import random
import sys

import keras
import numpy as np
import pytest

from keras_seg import data, training
from keras_seg.data.transform import SampleTransform, transform_of
from keras_seg.data.wrappers.weighted import WeightedDataset
from tests.helpers.shapes import TINY_SIZE

CROP = {"crop": TINY_SIZE, "batch_size": 4, "epochs": 2}
STILL = data.Augmentation(
    flip_horizontal=False, scale=(1, 1), brightness=0, contrast=0, saturation=0
)


class Compose:
    """The call signature of `albumentations.Compose`."""

    def __init__(self, *steps, order=None):
        self.steps, self.seeds, self.generator = steps, [], np.random.default_rng()

    def set_random_seed(self, seed):
        self.generator = np.random.default_rng(seed)
        self.seeds.append(seed)

    def __call__(self, *args, force_apply=False, **data):
        assert not args and data.keys() == {"image", "mask"}
        for step in self.steps:
            data = step(self.generator, **data)
        return data


def flip(generator, image, mask):
    if generator.random() < 0.5:
        return {"image": image, "mask": mask}
    return {"image": image[:, ::-1], "mask": mask[:, ::-1]}


def batches(shapes, transform, **options):
    made = data.training_pipeline(
        shapes[0], transform=transform, augmentation=STILL, **CROP | options
    )
    return [(image.copy(), mask.copy()) for image, mask in made.as_numpy_iterator()]


def by_flip(shapes):
    """Every image and its mirror image → the mask that belongs to it."""
    known = {}
    for sample in shapes[0]:
        known[sample.image.astype("float32").tobytes()] = sample.mask
        known[sample.image[:, ::-1].astype("float32").tobytes()] = sample.mask[:, ::-1]
    return known


class TestFunctions:
    def test_image_and_mask_change_alike_and_from_epoch_to_epoch(self, shapes):
        known, made = by_flip(shapes), batches(shapes, Compose(flip))
        for image, mask in made:
            assert image.dtype == np.float32 and mask.dtype == np.int32
            for one, labels in zip(image, mask, strict=True):
                np.testing.assert_array_equal(labels, known[one.tobytes()])
        seen = {one.tobytes() for image, _ in made for one in image}
        assert len(seen) > len(shapes[0])

    def test_a_resumed_pipeline_sees_the_same_batches(self, shapes):
        whole = batches(shapes, Compose(flip))
        resumed = batches(shapes, Compose(flip), start_step=2)
        for (image, mask), (again, labels) in zip(whole[2:], resumed, strict=True):
            np.testing.assert_array_equal(image, again)
            np.testing.assert_array_equal(mask, labels)

    @pytest.mark.parametrize("library", [random, np.random])
    def test_global_random_numbers_follow_from_the_seed_and_stay_as_they_were(
        self, shapes, library
    ):
        def noisy(image, mask):
            return {"image": image // 2 + np.uint8(100 * library.random()), "mask": mask}

        library.seed(5)
        before = library.random()
        library.seed(5)
        first, second, other = (batches(shapes, noisy, seed=seed) for seed in (0, 0, 1))
        assert library.random() == before
        np.testing.assert_array_equal(first[0][0], second[0][0])
        assert np.abs(first[0][0] - other[0][0]).max() > 5

    def test_a_function_may_take_the_seed(self, shapes):
        seeds = []

        def transform(image, mask, seed):
            seeds.append(seed)
            return {"image": image, "mask": mask}

        batches(shapes, transform)
        assert len({*seeds}) >= 16

    def test_sizes_may_change_before_the_crop(self, shapes):
        def half(image, mask):
            return {"image": image[::2, ::2], "mask": mask[::2, ::2, None].astype("int64")}

        ((image, mask), *_) = batches(shapes, half, crop=(16, 16))
        assert image.shape == (4, 16, 16, 3) and mask.shape == (4, 16, 16)

    def test_labels_move_with_the_image(self):
        image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
        labels = np.stack([image[..., 0] % 2, image[..., 0] > 20], -1).astype(np.uint8)
        change = SampleTransform(
            lambda image, mask: {"image": image[:, ::-1], "mask": mask[:, ::-1]},
            channels=3,
            num_classes=2,
        )
        moved, mask = change(image, labels, 0)
        np.testing.assert_array_equal(moved, image[:, ::-1])
        np.testing.assert_array_equal(mask, labels[:, ::-1])


WRONG = {
    "nothing": (lambda image, mask: None, "must return a mapping.*Received: NoneType"),
    "a pair": (lambda image, mask: (image, mask), "Received: tuple"),
    "no mask": (lambda image, mask: {"image": image}, r"Received: \['image'\]"),
    "normalised": (
        lambda image, mask: {"image": image / 127.5 - 1.0, "mask": mask},
        "leave out steps such as Normalize",
    ),
    "unit": (
        lambda image, mask: {"image": image / 255, "mask": mask},
        "returns images of 0.* leave out steps such as Normalize, ToFloat",
    ),
    "tensor": (
        lambda image, mask: {"image": np.moveaxis(image, -1, 0), "mask": mask},
        "Leave out steps such as ToTensorV2",
    ),
    "image alone": (lambda image, mask: {"image": image[::2], "mask": mask}, "one height"),
    "smooth": (lambda image, mask: {"image": image, "mask": mask * 0.5}, "fractions.*nearest"),
    "fill": (lambda image, mask: {"image": image, "mask": mask + 7}, "fill_mask=255"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_results_are_refused_before_the_training(case, shapes):
    transform, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        data.training_pipeline(shapes[0], transform=transform, **CROP)


def test_what_is_no_transform_is_refused(shapes):
    with pytest.raises(TypeError, match="called as transform.*Received: 3"):
        data.training_pipeline(shapes[0], transform=3, **CROP)
    weighted = WeightedDataset(data.BuiltinDataset("cells", length=4, size=TINY_SIZE))
    with pytest.raises(ValueError, match="not the weights"):
        data.training_pipeline(weighted, transform=Compose(flip), **CROP)


@pytest.mark.parametrize("layer", [keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(3, 1)])
def test_layers_that_take_no_mask_are_refused_by_name(shapes, layer):
    told = rf"the Keras layer {type(layer).__name__} does not take an image with its mask"
    with pytest.raises(ValueError, match=told):
        batches(shapes, [keras.layers.RandomFlip(), layer])


def test_a_function_of_other_arguments_is_refused(shapes):
    def turned(picture, labels):
        return {"image": picture, "mask": labels}

    told = r"Received: turned\(picture, labels\)\. Name its arguments image and mask"
    with pytest.raises(TypeError, match=told):
        batches(shapes, turned)


def test_new_classes_are_told(shapes):
    def swap(image, mask):
        return {"image": image, "mask": np.where(mask == 1, 2, 0).astype(np.uint8)}

    class One(data.ArrayDataset):
        pass

    images = np.stack([sample.image for sample in shapes[0]])
    masks = np.stack([sample.mask == 1 for sample in shapes[0]]).astype(np.uint8)
    one = One(images, masks, classes=["a", "b", "c"])
    with pytest.warns(UserWarning, match=r"with the classes \[2\], which the mask before"):
        data.training_pipeline(one, transform=swap, **CROP)


class TestKeras:
    def test_layers_move_the_mask_with_the_image(self, shapes):
        made = batches(shapes, [keras.layers.RandomFlip("horizontal")])
        known = by_flip(shapes)
        for image, mask in made:
            for one, labels in zip(image, mask, strict=True):
                np.testing.assert_array_equal(labels, known[one.tobytes()])
        again = batches(shapes, keras.layers.RandomFlip("horizontal"))
        np.testing.assert_array_equal(made[0][0], again[0][0])
        assert len({one.tobytes() for image, _ in made for one in image}) > len(shapes[0])

    def test_new_area_is_unknown(self, shapes):
        layer = keras.layers.RandomTranslation((0.5, 0.5), 0.0, fill_mode="constant")
        for image, mask in batches(shapes, [layer, keras.layers.RandomBrightness(0.1)]):
            assert (mask[:, : TINY_SIZE[0] // 2 - 2] == 255).all() or (
                mask[:, -TINY_SIZE[0] // 2 + 2 :] == 255
            ).all()
            assert set(np.unique(mask)) <= {0, 1, 2, 255}
            assert image.max() > 1


def test_albumentations(shapes):
    albumentations = pytest.importorskip("albumentations")
    transform = albumentations.Compose(
        [
            albumentations.HorizontalFlip(p=0.5),
            albumentations.RandomBrightnessContrast(p=0.5),
            albumentations.Affine(rotate=(-30, 30), fill_mask=255, p=1),
        ]
    )
    first, second = batches(shapes, transform), batches(shapes, transform)
    for (image, mask), (again, labels) in zip(first, second, strict=True):
        np.testing.assert_array_equal(image, again)
        np.testing.assert_array_equal(mask, labels)
        assert set(np.unique(mask)) <= {0, 1, 2, 255} and (mask == 255).any()
    normalised = albumentations.Compose([albumentations.Normalize()])
    with pytest.raises(ValueError, match="leave out steps such as Normalize"):
        batches(shapes, normalised)


MODULE = """
calls = []

def train(image, mask):
    calls.append(image.shape)
    return {"image": image[:, ::-1], "mask": mask[:, ::-1]}
"""


class TestRecipes:
    @pytest.mark.usefixtures("without_tracing")
    def test_a_recipe_names_the_transform(self, shapes_folder, tmp_path, monkeypatch):
        (tmp_path / "own_transforms_for_a_test.py").write_text(MODULE)
        monkeypatch.chdir(tmp_path)
        path = list(sys.path)
        recipe = training.Recipe(
            data=str(shapes_folder),
            output=str(tmp_path / "run"),
            model_options={"widths": [4, 8]},
            transform="own_transforms_for_a_test:train",
            crop=(32, 32),
            epochs=1,
            overlays=0,
        )
        assert training.Recipe.from_yaml(_saved(recipe, tmp_path)) == recipe
        training.train(recipe)
        module = sys.modules.pop("own_transforms_for_a_test")
        assert len(module.calls) >= 8 and sys.path == path

    @pytest.mark.parametrize(
        ("path", "message"),
        [
            ("train", 'an import path, "module:name"'),
            ("no_such_module_here:train", "no module 'no_such_module_here'"),
            ("keras_seg.names:unknown_nam", "Did you mean 'unknown_name'"),
        ],
    )
    def test_paths_that_lead_nowhere(self, path, message):
        with pytest.raises(ValueError, match=message):
            transform_of(path)


def _saved(recipe, folder):
    path = folder / "recipe.yaml"
    path.write_text(recipe.to_yaml())
    return path
