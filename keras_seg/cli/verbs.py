"""The verbs of `keras-seg`, in the order of its help."""

from __future__ import annotations

from pathlib import Path

from keras_seg.cli.files import convert_verb, export_verb, web_verb
from keras_seg.cli.lists import models_verb, presets_verb
from keras_seg.cli.runs import demo_verb, quantize_aware_verb, report_verb
from keras_seg.cli.uses import evaluate_verb, predict_verb, verify_verb

ABOUT = "Train segmentation networks, export them, and prove the files equal."
TRAIN_HELP = "images and masks in, model.keras out"
# Functions are not called like rooms of the package, because jsonargparse looks a function up under
# every shorter path that its name could have, which would load those rooms for `--help`.
VERBS = {
    "convert": convert_verb,
    "presets": presets_verb,
    "export": export_verb,
    "quantize-aware": quantize_aware_verb,
    "evaluate": evaluate_verb,
    "predict": predict_verb,
    "report": report_verb,
    "web": web_verb,
    "verify-dataset": verify_verb,
    "demo": demo_verb,
    "models": models_verb,
}
EXPLICIT = {
    "models": {"name": {"nargs": "?", "type": str, "help": "a network; all if left out"}},
    "convert": {
        "--source": {"type": str, "required": True, "help": "repository it comes from"},
        "--output": {"type": Path, "required": True, "help": ".keras file to write"},
    },
    "predict": {
        "inputs": {
            "nargs": "+",
            "type": str,
            "help": "image or video files, folders, patterns, camera:0",
        },
        "--value_range": {
            "nargs": 2,
            "type": float,
            "metavar": ("BLACK", "WHITE"),
            "help": "values of black and white in images of more than 8 bits, such as 0 4095; by "
            "default those of the training, which the file tells",
        },
        "--overlay": {"action": "store_true", "help": "also the colours over the image"},
        "--probabilities": {"action": "store_true", "help": "also of the classes, as .npz"},
        "--uncertainty": {"action": "store_true", "help": "also of a Bayesian network, as .png"},
        "--overwrite": {"action": "store_true", "help": "also what was finished before"},
    },
}
"""Arguments that signatures cannot tell: lists of positions, and options without a default."""


def summary(name: str) -> str:
    """A verb in one line, as the list of verbs has it."""
    return VERBS[name].__doc__.splitlines()[0].rstrip(".").lower()
