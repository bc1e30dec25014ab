"""Boundary loss: probabilities weighted by the signed distance to the true boundary."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import ops

from keras_seg.arguments import whole_number
from keras_seg.losses.base import Pixels, SegmentationLoss
from keras_seg.losses.classes import check_classes, chosen_classes
from keras_seg.masks.distances import distance_to
from keras_seg.names import IGNORE_CLASS


@keras.saving.register_keras_serializable("keras_seg")
class Boundary(SegmentationLoss):
    """sum over classes of p * signed distance to the class, averaged over the pixels that count.

    The distance in pixels is positive outside of the mask, and 0, -1, -2, .. from its border
    inwards; 0 everywhere if the image has no border of the class. The best loss is therefore
    below 0, and the paper adds it to a loss of regions: "dice+0.01*boundary".

    The maps are made from the labels inside the step, so that the loss works in `model.fit` with
    plain masks, compiled or not, on every device. Differs from the paper: distances end at
    `max_distance`, which bounds the time (on a CPU; 8 images of 256x256 and two classes take about
    1 s). With `multi_label` the labels are the classes, each with sigmoid(z) for p and with its own
    ignored pixels. Takes hard labels alone. Source: Kervadec et al., arXiv:1812.07032.

    Args:
        max_distance: in pixels; the sum of height and width for the paper's own maps.
        classes: "present" (in the image's truth) averages over these, "all" over all, a list over
            those of the list that are present; the paper takes (1,) for binary masks.
    """

    takes_soft_labels = False

    def __init__(
        self,
        *,
        max_distance: int = 64,
        classes: str | Sequence[int] = "present",
        from_logits: bool = True,
        ignore_class: int | None = IGNORE_CLASS,
        reduction: str | None = "sum_over_batch_size",
        multi_label: bool = False,
        name: str = "boundary",
    ):
        super().__init__(
            from_logits=from_logits,
            ignore_class=ignore_class,
            reduction=reduction,
            multi_label=multi_label,
            name=name,
        )
        max_distance = whole_number(max_distance, "max_distance")
        if max_distance < 1:
            raise ValueError(f"max_distance must be 1 pixel or more. Received: {max_distance}")
        self.max_distance, self.classes = max_distance, check_classes(classes)

    def loss_of(self, pixels: Pixels):
        if len(pixels.logits.shape) != 4:
            raise ValueError(
                "The boundary loss needs labels (B, H, W), whose neighbours it can see. "
                f"Received labels of shape {tuple(pixels.logits.shape[:-1])}"
            )
        truth, counted = pixels.truth, pixels.counted
        if not pixels.multi_label:
            truth = ops.one_hot(pixels.ids, pixels.logits.shape[-1], dtype="float32")
            counted = counted[..., None]
        distance = signed_distance(
            truth * counted > 0, (1 - truth) * counted > 0, self.max_distance
        )
        chosen = chosen_classes(self.classes, ops.sum(truth * counted, (1, 2)))
        chosen = ops.divide_no_nan(chosen, ops.sum(chosen, -1, keepdims=True))
        values = pixels.probabilities() * ops.stop_gradient(distance)
        values = values * chosen[:, None, None, :]
        if not pixels.multi_label:
            return self.mean(ops.sum(values, -1), pixels.weight, pixels.counted)
        number = ops.sum(counted, -1)
        weight = ops.divide_no_nan(ops.sum(pixels.weight, -1), number)
        return self.mean(ops.sum(values * counted, -1), weight, ops.sign(number))

    def get_config(self):
        return super().get_config() | {
            "max_distance": self.max_distance,
            "classes": self.classes,
        }


def signed_distance(inside, outside, max_distance: int):
    """(B, H, W, C) float32 from masks of what is inside and outside of each class (bool)."""
    border = ops.any(inside, (1, 2), keepdims=True) & ops.any(outside, (1, 2), keepdims=True)
    distance = ops.where(
        inside,
        1 - distance_to(outside, max_distance),
        distance_to(inside, max_distance),
    )
    return ops.where(border, distance, 0.0)
