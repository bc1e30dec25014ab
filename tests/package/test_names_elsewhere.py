"""A name of another package is answered with the line to write here."""

import inspect
import re

import pytest

import keras_seg
from keras_seg import backbones, data, export, inference, losses, metrics, models, training
from keras_seg.names_elsewhere import ADVICE, NETWORKS, advice


@pytest.mark.parametrize(
    ("package", "name", "answer"),
    [
        (keras_seg, "Unet", "Write keras_seg.models.unet"),
        (keras_seg, "DeepLabV3Plus", "Write keras_seg.models.deeplabv3plus"),
        (keras_seg, "get_preprocessing", "Leave it out: pixels in 0 to 255"),
        (keras_seg, "set_framework", "KERAS_BACKEND"),
        (keras_seg, "utils", "Write keras_seg.inference.show(images, masks) to draw"),
        (keras_seg, "datasets", "Write keras_seg.data.open_dataset(folder)"),
        (keras_seg, "encoders", "Write keras_seg.backbones.list_backbones()"),
        (keras_seg, "decoders", 'Write keras_seg.models.build("unet"'),
        (keras_seg, "train", "Write keras_seg.training.train(recipe)"),
        (keras_seg, "load", "Write keras_seg.models.load(path)"),
        (keras_seg, "iou_score", "Its name here is keras_seg.metrics.MeanIoU"),
        (keras_seg, "bce_jaccard_loss", "keras_seg.losses.get('cross_entropy+jaccard')"),
        (models, "get_preprocessing", "Leave it out: pixels in 0 to 255"),
        (models, "from_preset", 'Write keras_seg.models.unet((None, None, 3), 2, backbone="'),
        (models, "from_pretrained", "keras_seg.checkpoints.convert(path, source)"),
        (models, "load_model", "Write keras_seg.models.load(path)"),
        (models, "set_trainable", "model.trainable = True"),
        (models, "DeepLabV3ImageSegmenter", "Write keras_seg.models.deeplabv3plus("),
        (models, "SegFormerImageSegmenter", "This package has no SegFormer"),
        (models, "UnetPlusPlus", "Its name here is unetplusplus"),
        (backbones, "get_preprocessing", "Leave it out"),
        (backbones, "get_available_backbone_names", "Write keras_seg.backbones.list_backbones()"),
        (losses, "bce_jaccard_loss", "keras_seg.losses.get('cross_entropy+jaccard')"),
        (losses, "DiceLoss", "keras_seg.losses.get('dice')"),
        (metrics, "IOUScore", "The similar metric here is MeanIoU"),
        (metrics, "FScore", "The similar metric here is MeanDice"),
        (metrics, "get_stats", "Write keras_seg.metrics.SegmentationMetrics(num_classes)"),
        (data, "DataLoader", "Write keras_seg.data.open_dataset(folder)"),
        (data, "ImageDataGenerator", "Write keras_seg.data.open_dataset(folder)"),
        (training, "finetune", "Write keras_seg.training.train(recipe)"),
        (inference, "Predictor", "Write keras_seg.inference.load(path).predict(image)"),
        (export, "to_tflite", 'Write keras_seg.export.export(model, "model.tflite")'),
    ],
)
def test_an_attribute_is_answered(package, name, answer):
    with pytest.raises(AttributeError) as error:
        getattr(package, name)
    assert f"has no attribute {name!r}. " in str(error.value)
    assert answer in str(error.value)
    assert not hasattr(package, name)


@pytest.mark.parametrize("package", [keras_seg, models, inference, metrics, data])
def test_an_unknown_name_gets_no_advice(package):
    with pytest.raises(AttributeError, match="has no attribute '__wrapped__'$"):
        _ = package.__wrapped__


def test_every_line_of_advice_names_what_exists():
    named = {path for text in ADVICE for path in re.findall(r"keras_seg\.(\w+)\.(\w+)", text)}
    assert len(named) > 8
    for room, name in named:
        assert hasattr(getattr(keras_seg, room), name)
    assert all(advice(name) == f"Write keras_seg.models.{name}" for name in NETWORKS)
    assert set(NETWORKS) <= set(models.list_models())


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        (
            lambda: losses.Dice(class_indexes=[1]),
            "Dice has no option 'class_indexes'. Its name here",
        ),
        (lambda: losses.Focal(ignore_index=0), "Its name here is ignore_class."),
        (lambda: losses.Jaccard(mode="multilabel"), "Its name here is multi_label."),
        (lambda: losses.Dice(smoth=1), "Did you mean 'smooth'?"),
        (
            lambda: metrics.MeanIoU(classes=2),
            "MeanIoU has no option 'classes'. Its name here is num",
        ),
        (lambda: metrics.MeanIoU(2, ignore_index=0), "Its name here is ignore_class."),
        (lambda: metrics.ClassIoU(2, class_idx=1), "Its name here is class_id."),
        (lambda: metrics.MeanDice(2, colour=1), "Options: dtype, from_logits"),
    ],
)
def test_an_option_of_a_loss_or_metric_is_answered(call, answer):
    with pytest.raises(TypeError) as error:
        call()
    assert answer in str(error.value)


@pytest.mark.parametrize(
    "cls", [losses.SegmentationLoss, losses.Dice, metrics.ConfusionMetric, metrics.MeanIoU]
)
def test_the_signature_of_a_class_is_still_its_own(cls):
    assert "options" not in inspect.signature(cls).parameters
    assert "ignore_class" in inspect.signature(cls).parameters


def test_a_class_of_a_user_takes_its_own_options():
    class Plain(losses.SegmentationLoss):
        pass

    class Open(losses.SegmentationLoss):
        def __init__(self, **options):
            self.shade = options.pop("shade")
            super().__init__(**options)

    assert Plain(ignore_class=3).ignore_class == 3
    assert Open(shade=2, ignore_class=3).shade == 2


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        ({"activation": "linear"}, "Received: 'linear'. Write None."),
        ({"activation": "softmax2d"}, "Write 'softmax'."),
        ({"image_encoder": 1}, "Its name here is backbone."),
        ({"decoder_filters": (1,)}, "Its name here is decoder_widths."),
        ({"decoder_block_type": "transpose"}, "Its name here is upsampling."),
        ({"decoder_use_batchnorm": True}, "Leave it out: the decoder has batch norm."),
        ({"in_channels": 4}, "Its place here is input_shape, such as (None, None, 4)"),
        ({"input_shape": "resnet34"}, "An encoder is named by backbone='resnet34'."),
    ],
)
def test_an_option_of_a_network_is_answered(options, answer):
    with pytest.raises((TypeError, ValueError)) as error:
        models.build("unet", **{"input_shape": (32, 32, 3), "num_classes": 2, **options})
    assert answer in str(error.value)
