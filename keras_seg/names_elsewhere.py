"""Names that users of other packages type, and what to write here.

Losses, metrics and options of networks have tables of their own, beside their code.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

from keras_seg.names import nearest_name

PIXELS = "Leave it out: pixels in 0 to 255 go in, and the network normalises them"
NETWORK = 'Write keras_seg.models.unet((None, None, 3), 2, backbone="resnet34")'
METRICS_ELSEWHERE = {
    "MeanIoU": ("iouscore", "iou", "miou", "jaccardindex", "onehotmeaniou", "binaryiou", "jaccard"),
    "MeanDice": ("fscore", "f1score", "dice", "dicescore", "dicecoef", "f1"),
    "PixelAccuracy": ("accuracy", "globalaccuracy", "binaryaccuracy"),
    "MeanClassAccuracy": ("recall", "sensitivity", "macc"),
}
"""Metric here → names in other packages, in lower case without underscores."""
LOAD = "Write keras_seg.models.load(path), or keras_seg.inference.load(path) to predict"
PRETRAINED = (
    f"{NETWORK} for ImageNet weights, or keras_seg.checkpoints.convert(path, source) for a "
    "published checkpoint"
)
SHOW = (
    "Write keras_seg.inference.show(images, masks) to draw, keras_seg.data.class_weights(dataset, "
    "'median') to count, or keras_seg.models.freeze_backbone(model) to freeze"
)
DATA = "Write keras_seg.data.open_dataset(folder), or keras_seg.data.ArrayDataset(images, masks)"
EXPORT = 'Write keras_seg.export.export(model, "model.tflite"); the suffix decides the format'
NETWORKS = (
    *("danet", "deconvnet", "deeplabv3plus", "gridnet", "hrnet", "icnn", "ocrnet", "resunet"),
    *("resunetplusplus", "segnet", "unet", "unetplusplus"),
)

ADVICE: dict[str, tuple[str, ...]] = {
    PIXELS: ("getpreprocessing", "preprocessinput", "preprocessing", "imageconverter"),
    PRETRAINED: ("frompreset", "frompretrained", "getmodel", "createmodel", "pretrained"),
    LOAD: ("loadmodel", "loadweights", "savemodel", "load", "save"),
    "Write model.trainable = True, and compile the model again": ("settrainable", "unfreeze"),
    "Leave it out: Keras takes its backend from KERAS_BACKEND": ("setframework", "framework"),
    "Write keras_seg.backbones.list_backbones()": (
        *("getavailablebackbonenames", "getencodernames", "encoders", "listencoders"),
    ),
    "Write keras_seg.models.deeplabv3plus((None, None, 3), 2)": (
        *("deeplab", "deeplabv3", "deeplabv3imagesegmenter", "deeplabv3backbone"),
        "deeplabv3plussegmenter",
    ),
    "This package has no SegFormer. Losses, metrics and export take the one of keras-hub": (
        *("segformer", "segformerimagesegmenter", "segformerbackbone", "mitbackbone"),
    ),
    DATA: (
        *("dataset", "dataloader", "imagedatagenerator", "imagedatasetfromdirectory"),
        *("loaddata", "loaddataset", "fromdirectory", "fromfolder", "datagenerator"),
        *("datasets", "dataloaders", "loaders", "generators", "readers", "opendataset"),
    ),
    "Write keras_seg.training.train(recipe), or model.compile and model.fit": (
        *("trainer", "finetune", "train", "fit", "compile", "callbacks", "optimizers"),
        *("schedules", "engine", "recipe", "runner"),
    ),
    "Write keras_seg.inference.load(path).predict(image)": (
        *("predictor", "infer", "segment", "predict", "pipeline"),
    ),
    "Write keras_seg.inference.evaluate(runner, dataset)": ("evaluate", "evaluator", "validate"),
    SHOW: (
        *("utils", "util", "helpers", "visualization", "visualize", "viz", "plotting", "plot"),
        *("show",),
    ),
    "Write keras_seg.checkpoints.convert(path, source)": ("pretrainedmodels", "hub", "zoo"),
    'Write keras_seg.backbones.build("resnet50")': (
        *("applications", "backbone", "encoder", "featureextractor"),
    ),
    'Write keras_seg.models.build("unet", (None, None, 3), 2)': (
        *("decoders", "decoder", "heads", "architectures", "networks", "segmentation", "nets"),
        *("segmentors", "segmentationmodels", "model"),
    ),
    'Write keras_seg.losses.get("cross_entropy+dice")': ("loss", "criterions", "criterion"),
    "Write keras_seg.metrics.MeanIoU(num_classes)": ("metric", "evaluation"),
    "Write keras_seg.report.save_to_hub(model, repo)": ("pushtohub", "uploadtohub"),
    EXPORT: ("totflite", "toonnx", "exporttflite", "exportonnx", "tfliteconverter", "convert"),
    "Write keras_seg.metrics.SegmentationMetrics(num_classes)": (
        *("getstats", "precision", "confusionmatrix", "classificationreport"),
    ),
    "Write keras_seg.data.Augmentation(), or transform= for one of your own": (
        *("compose", "albumentations", "transforms", "augmentations", "augmentation", "augment"),
    ),
}
"""What to write here → names elsewhere, in lower case without underscores."""


def advice(name: str) -> str | None:
    """What to write in place of a name of another package; None if it is not known.

    Example:
        >>> advice("get_preprocessing")
        'Leave it out: pixels in 0 to 255 go in, and the network normalises them'
        >>> advice("Unet")
        'Write keras_seg.models.unet'
    """
    plain = name.lower().replace("_", "").replace("net2plus", "netplusplus")
    if plain in NETWORKS:
        return f"Write keras_seg.models.{plain}"
    return next((text for text, theirs in ADVICE.items() if plain in theirs), None)


def metric_here(name: str) -> str | None:
    """The metric of this package that is similar to one of another; None if it is not known."""
    plain = name.lower().replace("_", "")
    return next((ours for ours, theirs in METRICS_ELSEWHERE.items() if plain in theirs), None)


def attribute_error(package: str, name: str, hint: str = "") -> AttributeError:
    """The error for an attribute that a package does not have, with what to write instead.

    Args:
        package: `__name__` of the package.
        name: the attribute.
        hint: what the package itself knows about the name; it comes before the advice of this file.
    """
    text = hint or ("" if name.startswith("_") else advice(name) or "")
    return AttributeError(
        f"module {package!r} has no attribute {name!r}{text and '. '}{text.rstrip('.')}"
    )


class KnownOptions:
    """Base of classes that answer a keyword argument of another package with the one here.

    It is a base, and not a method of these classes, so that their signature stays their own.
    """

    options_elsewhere: ClassVar[Mapping[str, str]] = {}
    """Option of another package → the option here."""

    def __new__(cls, *args: Any, **options: Any) -> Self:
        known = inspect.signature(cls.__init__).parameters
        if not any(each.kind is each.VAR_KEYWORD for each in known.values()):
            for option in options:
                if option not in known:
                    raise TypeError(_unknown_option(cls, option, [*known][1:]))
        return super().__new__(cls)


def _unknown_option(cls: type[KnownOptions], option: str, known: list[str]) -> str:
    here = cls.options_elsewhere.get(option, "")
    if here.partition(" ")[0] in known:
        hint = f"Its name here is {here}."
    else:
        nearest = nearest_name(option, known)
        hint = f"Did you mean {nearest!r}? " if nearest else ""
        hint += f"Options: {', '.join(sorted(known))}."
    return f"{cls.__name__} has no option {option!r}. {hint}"


def unknown_names(package: str) -> Callable[[str], object]:
    """`__getattr__` of a package that has no other."""

    def __getattr__(name: str) -> object:
        raise attribute_error(package, name)

    return __getattr__
