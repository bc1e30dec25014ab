"""The look at the first batches as a callback, and as `train` has it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import keras

from keras_seg.data.dataset import SegmentationDataset
from keras_seg.data.first_batch import check_batches, doubtful, findings, look, refuse
from keras_seg.data.first_batch.check import NUMBER_OF_BATCHES
from keras_seg.data.histogram import class_histogram
from keras_seg.names import IGNORE_CLASS


class FirstBatchCheck(keras.callbacks.Callback):
    """`keras_seg.data.check_batches` when `fit` begins, before its first step.

        model.fit(batches, callbacks=[FirstBatchCheck(batches)])
        model.fit(images, masks, batch_size=8, callbacks=[
            FirstBatchCheck((images, masks), batch_size=8)
        ])

    Keras shows no batch to a callback, so it is made with the data that `fit` gets. They are looked
    at apart from the training, whatever `jit_compile`, `steps_per_execution` or a strategy make of
    the steps. Keras itself looks at shapes before any callback: where these are wrong,
    `check_batches(batches, model)` before `fit` says it in better words.

    Args: as `keras_seg.data.check_batches`, without the model.

    Raises: ValueError for a generator, which would lose the batches that are looked at:
        `model.fit(check_batches(generator, model))` gives them again. In `fit`, ValueError with
        what is wrong, and warnings for what is doubtful.

    Example:

        images = np.random.default_rng(0).uniform(0, 255, (8, 64, 64, 3))
        masks = (images[..., 0] > 128).astype("int32")
        check = keras_seg.training.FirstBatchCheck((images, masks), batch_size=4)
        model.fit(images, masks, batch_size=4, callbacks=[check])
    """

    def __init__(
        self,
        batches,
        *,
        number_of_batches: int = NUMBER_OF_BATCHES,
        batch_size: int | None = None,
        num_classes: int | None = None,
        ignore_class: int | None = IGNORE_CLASS,
        multi_label: bool | None = None,
        class_weights: Sequence[float] | Mapping[int, float] | None = None,
    ):
        super().__init__()
        if isinstance(batches, Iterator):
            raise ValueError(
                "FirstBatchCheck cannot look at a generator, which gives each batch once: those "
                "that it takes would be missing in training. Write "
                "model.fit(keras_seg.data.check_batches(generator, model), ...)."
            )
        self.batches = batches
        self.options = {
            "number_of_batches": number_of_batches,
            "batch_size": batch_size,
            "num_classes": num_classes,
            "ignore_class": ignore_class,
            "multi_label": multi_label,
            "class_weights": class_weights,
        }

    def on_train_begin(self, logs=None):
        check_batches(self.batches, self.model, **self.options)


def check_first_batches(
    batches, model: keras.Model, dataset: SegmentationDataset, *, replicas: int, tells: bool
) -> None:
    """What `train` does before its first step.

    Args:
        batches: of all devices together, from `dataset`.
        tells: whether this process says on stderr what is doubtful.

    Raises: ValueError with what is wrong.
    """

    def count_all():
        return dict(enumerate(class_histogram(dataset).sum(axis=0).tolist()))

    # crops of other places come in every epoch
    looked = replace(look(batches, NUMBER_OF_BATCHES), whole=False)
    found = findings(looked, model, replicas=replicas, count_all=count_all)
    if tells:
        for message in doubtful(found):
            sys.stderr.write(f"Look at the data: {message}\n")
    refuse(found)
