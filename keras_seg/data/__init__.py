"""Data sets, augmentation and `tf.data` pipelines."""

from keras_seg.data.array_dataset import ArrayDataset
from keras_seg.data.augmentation.options import Augmentation
from keras_seg.data.balance.class_weights import class_weights
from keras_seg.data.builtin import BuiltinDataset
from keras_seg.data.classes import ClassTable
from keras_seg.data.dataset import Sample, SegmentationDataset
from keras_seg.data.folder.dataset import FolderDataset
from keras_seg.data.open_by_name import open_dataset
from keras_seg.data.wrappers.cached import CachedDataset
from keras_seg.data.wrappers.readable import ReadableDataset
from keras_seg.data.wrappers.resized import ResizedDataset
from keras_seg.data.wrappers.weighted import WeightedDataset
from keras_seg.lazy import lazy_names
from keras_seg.names import IGNORE_CLASS

__all__ = [
    "IGNORE_CLASS",
    "ArrayDataset",
    "Augmentation",
    "BuiltinDataset",
    "CachedDataset",
    "ClassTable",
    "FolderDataset",
    "ReadableDataset",
    "ResizedDataset",
    "Sample",
    "SegmentationDataset",
    "WeightedDataset",
    "augment",
    "check_batches",
    "class_weights",
    "cut_mix",
    "open_dataset",
    "training_pipeline",
    "validation_pipeline",
]

# These need TensorFlow, which the data sets do not.
__getattr__, _ = lazy_names(
    __name__,
    {
        "augment": "keras_seg.data.augmentation.draw",
        "check_batches": "keras_seg.data.first_batch",
        "cut_mix": "keras_seg.data.augmentation.cut_mix",
        "training_pipeline": "keras_seg.data.pipeline",
        "validation_pipeline": "keras_seg.data.pipeline",
    },
    tensorflow_for="Data pipelines",
)
