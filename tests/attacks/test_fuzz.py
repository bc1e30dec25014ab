"""Damaged, mislabelled and hostile files: read as they are, or refused by a ValueError."""

import io
import json
import math
import re
import string

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from keras_seg import cli, weights
from keras_seg.data.reading.images import read_image
from keras_seg.data.reading.masks import read_mask
from keras_seg.names import unknown_name
from keras_seg.training import Recipe
from keras_seg.training.presets import list_presets, preset_path

FEW = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF")
SUFFIXES = (".png", ".jpg", ".gif", ".bmp", ".webp", ".tif", ".npy")


def picture(mode, size, seed):
    """A picture of noise of any of Pillow's modes."""
    bands = len(Image.new(mode, (1, 1)).getbands())
    deep = {"I;16": np.uint16, "F": np.float32, "I": np.int32}
    pixels = (
        np.random.default_rng(seed)
        .integers(0, 256, (*size, bands))
        .squeeze(-1 if bands == 1 else ())
    )
    if mode in deep:
        return Image.fromarray(pixels.astype(deep[mode]))
    if mode == "1":
        return Image.fromarray((pixels > 127).astype(np.uint8) * 255).convert("1")
    if mode == "P":
        return Image.fromarray(pixels.astype(np.uint8)).convert("P")
    return Image.fromarray(
        pixels.astype(np.uint8), mode=None if mode in ("L", "RGB", "RGBA") else mode
    )


class TestPictures:
    @FEW
    @given(
        mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "F"]),
        format=st.sampled_from(FORMATS),
        suffix=st.sampled_from(SUFFIXES),
        size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
        orientation=st.integers(1, 8),
        frames=st.integers(1, 2),
        kept=st.floats(0, 1),
        flipped=st.lists(st.floats(0, 1, exclude_max=True), max_size=3),
        channels=st.sampled_from([1, 3, 4]),
    )
    def test_any_file_is_read_or_refused_by_name(
        self, tmp_path, mode, format, suffix, size, orientation, frames, kept, flipped, channels
    ):
        file, exif = io.BytesIO(), Image.Exif()
        exif[0x0112] = orientation
        pages = [picture(mode, size, seed) for seed in range(frames)]
        words = {"save_all": True, "append_images": pages[1:]} if frames > 1 else {}
        try:
            pages[0].save(file, format, exif=exif, **words)
        except (OSError, ValueError, TypeError, KeyError):  # the format has no such mode, or pages
            return
        content = bytearray(file.getvalue())
        for place in flipped:
            content[int(place * len(content))] ^= 255
        path = tmp_path / f"x{suffix}"
        path.write_bytes(content[: round(kept * len(content))] if kept < 0.9 else content)
        for read, shape in ((lambda: read_image(path, channels), 3), (lambda: read_mask(path), 2)):
            try:
                pixels = read()
            except ValueError as error:
                assert str(path) in str(error)
            else:
                assert pixels.ndim == shape and pixels.dtype in (np.uint8, np.int32)

    def test_a_decompression_bomb_is_refused(self, tmp_path, monkeypatch):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
        Image.new("L", (30, 30)).save(tmp_path / "bomb.png")
        with pytest.raises(ValueError, match=r"bomb\.png cannot be read.*decompression bomb"):
            read_image(tmp_path / "bomb.png")

    def test_links_are_followed_and_those_to_nowhere_and_to_themselves_refused(self, tmp_path):
        Image.new("L", (3, 2)).save(tmp_path / "real.png")
        for name, target in (("link", "real"), ("nowhere", "gone"), ("circle", "circle")):
            (tmp_path / f"{name}.png").symlink_to(tmp_path / f"{target}.png")
        assert read_image(tmp_path / "link.png", 1).shape == (2, 3, 1)
        with pytest.raises(FileNotFoundError, match=r"nowhere\.png"):
            read_image(tmp_path / "nowhere.png")
        with pytest.raises(ValueError, match=r"circle\.png"):
            read_image(tmp_path / "circle.png")


class TestCheckpoints:
    @FEW
    @given(
        suffix=st.sampled_from([".npz", ".safetensors", ".h5", ".npz"]),
        kept=st.floats(0, 1, exclude_max=True),
        flipped=st.lists(st.floats(0, 1, exclude_max=True), max_size=3),
    )
    def test_cut_and_changed_files_are_refused_or_read(self, tmp_path, suffix, kept, flipped):
        path, tensors = tmp_path / f"w{suffix}", {"a.weight": np.ones((4, 4), np.float32)}
        if suffix == ".npz":
            np.savez(path, **tensors)
        elif suffix == ".safetensors":
            from safetensors.numpy import save_file

            save_file(tensors, path)
        else:
            import h5py

            with h5py.File(path, "w") as file:
                file["a.weight"] = tensors["a.weight"]
        content = bytearray(path.read_bytes())
        content = content[: round(kept * len(content))]
        for place in flipped if content else ():
            content[int(place * len(content))] ^= 255
        path.write_bytes(content)
        try:
            found = weights.read(path)
        except ValueError as error:
            assert str(path) in str(error) or "holds no tensors" in str(error)
        else:
            assert all(isinstance(value, np.ndarray) for value in found.values())

    def test_python_objects_are_never_made(self, tmp_path):
        class Harm:
            def __reduce__(self):
                return (io.open, (str(tmp_path / "harm"), "w"))

        np.savez(tmp_path / "w.npz", a=np.array([Harm()], object))
        np.save(tmp_path / "x.npy", np.array([Harm()], object))
        with pytest.raises(ValueError, match="w.npz"):
            weights.read(tmp_path / "w.npz")
        with pytest.raises(ValueError, match="x.npy"):
            read_image(tmp_path / "x.npy")
        assert not (tmp_path / "harm").exists()


class TestRecipes:
    @FEW
    @given(
        key=st.sampled_from(sorted(set(Recipe.__dataclass_fields__))),
        place=st.integers(0, 20),
        letter=st.sampled_from(string.ascii_lowercase),
    )
    def test_one_wrong_letter_is_answered_with_the_entry(self, tmp_path, key, place, letter):
        place %= len(key)
        misspelt = key[:place] + letter + key[place + 1 :]
        if misspelt in Recipe.__dataclass_fields__ or len(key) < 5:
            return
        path = tmp_path / "recipe.yaml"
        path.write_text(json.dumps({"data": "d", "output": "o", misspelt: 1}))
        with pytest.raises(ValueError, match=f"Did you mean '{key}'"):
            Recipe.from_yaml(path)

    def test_yaml_makes_no_objects(self, tmp_path):
        path = tmp_path / "recipe.yaml"
        path.write_text(f"data: !!python/object/apply:os.mkdir ['{tmp_path / 'harm'}']\n")
        with pytest.raises(ValueError, match="is not a recipe"):
            Recipe.from_yaml(path)
        assert not (tmp_path / "harm").exists()

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("epochs: 1\nepochs: 2\n", "'epochs' occurs twice"),
            ("model_options: {a: 1, a: 2}\n", "'a' occurs twice"),
            ("model_options: &x {widths: *x}\n", "nested without an end"),
            ("classes: " + "[" * 100_000, "nested without an end"),
        ],
    )
    def test_entries_are_there_once_and_end(self, tmp_path, text, said):
        path = tmp_path / "recipe.yaml"
        path.write_text(f"data: d\noutput: o\n{text}")
        with pytest.raises(ValueError, match=said):
            Recipe.from_yaml(path)

    def test_entries_may_be_shared(self, tmp_path):
        path = tmp_path / "recipe.yaml"
        path.write_text("data: d\noutput: o\nresize: &size [64, 64]\ncrop: *size\n")
        assert Recipe.from_yaml(path).crop == (64, 64)

    @FEW
    @given(content=st.binary(max_size=40))
    def test_any_bytes_are_a_recipe_or_refused_by_name(self, tmp_path, content):
        path = tmp_path / "recipe.yaml"
        path.write_bytes(content)
        with pytest.raises((ValueError, TypeError)) as refused:
            Recipe.from_yaml(path)
        assert isinstance(refused.value, ValueError) and str(path) in str(refused.value)

    @pytest.mark.parametrize(
        ("entry", "said"),
        [
            ({"batch_size": "eight"}, "'batch_size' must be a whole number. Received: 'eight'"),
            ({"batch_size": True}, "'batch_size' must be a whole number. Received: True"),
            (
                {"crop": [64]},
                "'crop' must be a list of 2 whole numbers, as in [256, 256]. Received: [64]",
            ),
            ({"learning_rate": None}, "'learning_rate' must be a number. Received: None"),
            ({"learning_rate": math.nan}, "'learning_rate' must be a number. Received: nan"),
            ({"classes": ["a", 1]}, "'classes' must be a list of texts or null"),
            ({"jit": "yes"}, "'jit' must be true or false. Received: 'yes'"),
            ({"augmentation": 3}, "'augmentation' must be a mapping. Received: 3"),
            ({"model_options": {3: 4}}, "'model_options' must be a mapping of names"),
            ({"output": ""}, "output is empty"),
            ({"seed": 2**32}, "seed must be less than 2**32"),
            ({"schedule_options": {"power": -1}}, "power must not be negative"),
            ({"augmentation": {"scale": 2}}, "'augmentation.scale' must be a list of 2 numbers"),
        ],
    )
    def test_a_value_of_another_type_is_said_with_its_entry(self, tmp_path, entry, said):
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump({"data": "d", "output": "o"} | entry))
        with pytest.raises(ValueError, match=re.escape(said)) as refused:
            Recipe.from_yaml(path)
        assert str(path) in str(refused.value)

    def test_the_command_line_says_it_too(self, tmp_path, capsys):
        path = tmp_path / "recipe.yaml"
        path.write_text("batch_size: eight\n")
        words = ["train", "--config", str(path), "--data", "d", "--output", "o"]
        assert cli.main(words) == cli.WRONG_INPUT
        assert f"entry of {path} 'batch_size' must be a whole number" in capsys.readouterr().err

    def test_numbers_without_a_point_are_numbers(self, tmp_path):
        path = tmp_path / "recipe.yaml"
        path.write_text("data: d\noutput: o\nlearning_rate: 1e-3\naugmentation: {scale: [1, 2e0]}")
        recipe = Recipe.from_yaml(path)
        assert recipe.learning_rate == 0.001 and recipe.augmentation.scale == (1, 2)

    @FEW
    @given(data=st.data())
    def test_any_value_of_any_entry_is_taken_or_refused_by_name(self, tmp_path, data):
        key = data.draw(st.sampled_from(sorted(Recipe.__dataclass_fields__)))
        plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
        value = data.draw(
            st.recursive(
                plain,
                lambda inner: (
                    st.lists(inner, max_size=3)
                    | st.dictionaries(st.text(max_size=5), inner, max_size=2)
                ),
                max_leaves=4,
            )
        )
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump({"data": "d", "output": "o"} | {key: value}))
        try:
            recipe = Recipe.from_yaml(path)
        except ValueError as error:
            assert str(path) in str(error)
        else:
            assert Recipe.from_yaml(_written(tmp_path, recipe)) == recipe


def _written(folder, recipe):
    (folder / "again.yaml").write_text(recipe.to_yaml())
    return folder / "again.yaml"


def test_every_preset_is_named_when_it_is_misspelt():
    for name in list_presets():
        with pytest.raises(ValueError, match=name):
            preset_path(name[:-1] + "!")
    assert "Did you mean 'unet'" in unknown_name("model", "unett", ["unet", "danet"])
    starts = unknown_name("preset", "hrnet", ["hrnet-cityscapes", "unet-isbi"])
    assert "Did you mean 'hrnet-cityscapes'" in starts
