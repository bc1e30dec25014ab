"""Every paper's recipe is shipped, starts, and trains."""

import math
import re
from dataclasses import replace

import pytest

from keras_seg import cli, models, training
from keras_seg.data import BuiltinDataset, ClassTable
from keras_seg.models.hrnet import HRNetVariant
from keras_seg.training import Recipe
from keras_seg.training.presets import list_presets, preset_path, summary
from keras_seg.training.recipe_io import from_record, read_yaml
from tests.helpers.shapes import Shapes

TINY_HRNET = HRNetVariant(4, (1, 1, 1), blocks=1, stem_blocks=1, stem_width=8)
TINY = {
    "danet-cityscapes": {
        "backbone": "resnet18",
        "backbone_options": {"width": 8},
        "multi_grid": (4, 8),
    },
    "deconvnet-voc-stage1": models.find("deconvnet").tiny,
    "deconvnet-voc-stage2": models.find("deconvnet").tiny,
    "deeplabv3plus-voc": {"backbone": "resnet18", "backbone_options": {"width": 8}, "channels": 8},
    "gridnet-cityscapes": {"features": (4, 4, 8), "columns": 4},
    "hrnet-cityscapes": {"backbone": TINY_HRNET},
    "icnn-helen": models.find("icnn").tiny,
    "ocrnet-cityscapes": {"backbone": TINY_HRNET, "mid_channels": 8, "key_channels": 8},
    "resunet-roads": models.find("resunet").tiny,
    "resunetplusplus-polyps": models.find("resunetplusplus").tiny,
    "segnet-camvid": models.find("segnet").tiny,
    "unet-isbi": {"widths": (4, 4, 8, 8, 8)},
    "unetplusplus-nuclei": {"widths": (4, 4, 8, 8, 8)},
}
"""Options that make each preset's network small; everything else stays as in the paper."""


def record(name):
    return read_yaml(preset_path(name)) | {"data": "shapes", "output": "run"}


def tiny_recipe(name, output):
    recipe = from_record(record(name), Recipe)
    options = recipe.model_options | TINY[name]
    if "backbone_weights" in options or "backbone" in options:
        options["backbone_weights"] = None
    crop = (188, 188) if name == "unet-isbi" else (32, 32)
    return replace(
        recipe,
        output=str(output),
        model_options=options,
        crop=crop,
        resize=recipe.resize and crop,
        batch_size=2,
        steps_per_epoch=2,
        epochs=1,
        overlays=1,
    )


class TestPresets:
    def test_the_papers_are_there(self):
        assert set(list_presets()) == set(TINY)

    @pytest.mark.parametrize("name", sorted(TINY))
    def test_file_is_a_whole_recipe_of_a_network(self, name):
        recipe = from_record(record(name), Recipe)
        assert recipe.model in models.list_models() and recipe.model in name.replace("-", "_")
        assert "arXiv:" in summary(name) or "arXiv:" in preset_path(name).read_text()

    @pytest.mark.parametrize("name", sorted(TINY))
    def test_preset_starts_and_trains_two_steps(self, name, tmp_path, monkeypatch, without_tracing):
        recipe = tiny_recipe(name, tmp_path / "run")
        weights = recipe.loss.get("class_weights") if isinstance(recipe.loss, dict) else None
        classes = 3 if weights is None else len(weights)

        def open_dataset(source, split, *, channels, **options):
            return GreyCells(split) if channels == 1 else ManyShapes(split, classes)

        monkeypatch.setattr("keras_seg.training.data_sets.open_dataset", open_dataset)
        result = training.train(recipe)
        assert result.new_steps == 2 and result.epochs == 1 and result.finished
        assert math.isfinite(result.best_miou)
        assert models.read_card(result.model_path).network == recipe.model

    def test_flags_win_over_the_preset(self, monkeypatch, tmp_path):
        seen = []
        monkeypatch.setattr("keras_seg.training.train", seen.append)
        monkeypatch.setattr("keras_seg.cli.verbs.train.report_training", lambda *result: 0)
        arguments = ["--preset", "danet-cityscapes", "--data", "d", "--output", "o"]
        flags = ["--epochs", "3", "--optimizer_options.head_rate", "5", "--crop", "[96,128]"]
        assert cli.main(["train", *arguments, *flags]) == 0
        (recipe,) = seen
        assert (recipe.model, recipe.epochs, recipe.crop) == ("danet", 3, (96, 128))
        assert (recipe.optimizer_options.head_rate, recipe.optimizer_options.decay_all) == (5, True)

    def test_presets_are_listed(self, capsys):
        assert cli.main(["presets"]) == 0
        listed = capsys.readouterr().out
        assert all(name in listed for name in TINY)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("batchsize: 3", "'batchsize'. Did you mean 'batch_size'"),
            ("augmentation: {scales: [1, 1]}", "under augmentation 'scales'. Did you mean 'scale'"),
            (
                "optimizer_options: {nestrov: true}",
                "under optimizer_options 'nestrov'. Did you mean 'nesterov'",
            ),
            ("[1", "is not a YAML file"),
        ],
    )
    def test_misspelt_entries_of_files_are_answered_with_the_nearest(
        self, text, message, tmp_path, capsys
    ):
        path = tmp_path / "recipe.yaml"
        path.write_text(text)
        assert cli.main(["train", "--config", str(path), "--data", "d", "--output", "o"]) == 2
        assert re.search(message, capsys.readouterr().err)

    def test_unknown_preset_is_answered_with_the_nearest(self, capsys):
        assert cli.main(["train", "--preset", "unet-isb", "--data", "d", "--output", "o"]) == 2
        assert "Did you mean 'unet-isbi'" in capsys.readouterr().err


class ManyShapes(Shapes):
    """Shapes in a table of more classes."""

    def __init__(self, split, classes):
        super().__init__(split, 4 if split == "train" else 1, (48, 48))
        self.classes = ClassTable.numbered(classes)


class GreyCells(BuiltinDataset):
    """Cells with instances, in one channel."""

    channels = 1

    def __init__(self, split):
        super().__init__("cells", split, length=2, size=(96, 96))

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        return sample._replace(image=sample.image[..., :1])
