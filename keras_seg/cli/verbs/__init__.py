"""The verbs of `keras-seg`, one file each, in the order of `keras-seg --help`."""

from __future__ import annotations

from keras_seg.cli.verbs import (
    audit,
    convert,
    demo,
    evaluate,
    export,
    models,
    predict,
    presets,
    push,
    quantize_aware,
    report,
    train,
    verify_dataset,
    web,
    weights,
)
from keras_seg.cli.verbs.verb import Verb

ABOUT = "Train segmentation networks, export them, and compare the files with the models."
VERBS: dict[str, Verb] = {
    "train": train.VERB,
    "convert": convert.VERB,
    "presets": presets.VERB,
    "export": export.VERB,
    "audit": audit.VERB,
    "quantize-aware": quantize_aware.VERB,
    "evaluate": evaluate.VERB,
    "predict": predict.VERB,
    "report": report.VERB,
    "push": push.VERB,
    "web": web.VERB,
    "verify-dataset": verify_dataset.VERB,
    "demo": demo.VERB,
    "models": models.VERB,
    "weights": weights.VERB,
}
