"""What the moving statistics of batch norm cost, and what recalibrating brings.

    python -m benchmarks.measure.batch_norm_statistics DATA

DATA is the name of a data set, such as a folder. A narrow DeepLabV3+ is trained on it three times
for each batch size. The validation mIoU is measured as trained, with the sample variance (Bessel's
correction) in the batch norm of the image pooling, and recalibrated. Six minutes on two cores.
"""

from __future__ import annotations

import sys

import keras
import numpy as np

from keras_seg import data, losses, metrics, models, training
from keras_seg.layers import BatchNormalization
from keras_seg.training.network import batch_norms

SIZE = (96, 128)
STEPS = {2: 240, 4: 120, 8: 60}
"""Batch size → training steps, so that all see as many images."""
RECALIBRATED = {2: 92, 4: 92, 8: 46}
"""Batch size → batches of the recalibration."""
SEEDS = range(3)
PLAIN = data.Augmentation(scale=(1, 1), brightness=0, contrast=0, saturation=0)


def main() -> None:
    train, val = (data.ResizedDataset(data.open_dataset(sys.argv[1], s), SIZE)
                  for s in ("train", "val"))  # fmt: skip
    samples = [val[i] for i in range(0, len(val), 2)]
    images = np.stack([sample.image for sample in samples]).astype("float32")
    masks = np.stack([sample.mask for sample in samples])
    print("batch  seed  as trained  sample variance  recalibrated")
    for batch in STEPS:
        for seed in SEEDS:
            scores = measured(train, images, masks, batch, seed)
            print(f"{batch:5}  {seed:4}  " + "  ".join(f"{score:6.2f}" for score in scores))


def measured(
    train: data.SegmentationDataset, images: np.ndarray, masks: np.ndarray, batch: int, seed: int
) -> tuple[float, float, float]:
    """Validation mIoU in %: as trained, with the sample variance, recalibrated."""

    def batches(steps: int) -> object:
        return data.training_pipeline(
            train,
            crop=SIZE,
            batch_size=batch,
            epochs=1,
            steps=steps,
            augmentation=PLAIN,
            seed=seed,
        )

    def miou() -> float:
        metric = metrics.MeanIoU(len(train.classes))
        metric.update_state(masks, model.predict(images, batch_size=16, verbose=0))
        return 100 * float(metric.result())

    keras.utils.set_random_seed(seed)
    model = models.deeplabv3plus(
        (*SIZE, train.channels),
        len(train.classes),
        backbone="resnet18",
        backbone_weights=None,
        backbone_options={"width": 16},
        channels=48,
    )
    loss = losses.get("cross_entropy")
    model.compile(keras.optimizers.Adam(1e-3), loss, jit_compile=False)
    model.fit(batches(STEPS[batch]), steps_per_epoch=STEPS[batch], verbose=0)
    trained = miou()
    pooling = pooling_norm(model)
    variance = np.asarray(pooling.moving_variance)
    pooling.moving_variance.assign(variance * batch / (batch - 1))
    sample_variance = miou()
    pooling.moving_variance.assign(variance)
    training.recalibrate(model, batches(RECALIBRATED[batch]))
    return trained, sample_variance, miou()


def pooling_norm(model: keras.Model) -> BatchNormalization:
    """The batch norm behind the image pooling, which has one value per image and channel."""
    (norm,) = [each for each in batch_norms(model) if tuple(each.input.shape[1:3]) == (1, 1)]
    return norm


if __name__ == "__main__":
    main()
