"""Boundary loss: probabilities weighted by the signed distance to the true boundary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_seg.arguments import whole_number
from keras_seg.losses.base import Pixels, SegmentationLoss
from keras_seg.losses.class_selection import checked_selection, selected_classes
from keras_seg.masks.distances import distance_to
from keras_seg.names import IGNORE_CLASS


@keras.saving.register_keras_serializable("keras_seg")
class Boundary(SegmentationLoss):
    """Boundary loss: sum over classes of p * signed distance to the class, averaged over pixels.

    The distance in pixels is positive outside of the mask, and 0, -1, -2, .. from its border
    inwards; it is 0 everywhere if the class has no border in the image. The best loss is therefore
    below 0. The paper adds it to an overlap loss: "dice+0.01*boundary".

    The distance maps are computed from the labels inside the step, so that the loss works in
    `model.fit` with plain masks, compiled or not, on every device. With `multi_label` each label is
    a class with p = sigmoid(z) and its own ignored pixels. Accepts only hard labels.

    Differs from the paper: distances are clipped at `max_distance`, which limits the time (on a CPU
    8 images of 256x256 and two classes take about 1 s).
    Source: Kervadec et al., arXiv:1812.07032.

    Args:
        max_distance: in pixels; height plus width gives the maps of the paper.
        classes: "present" averages over the classes in the image's truth, "all" over all classes, a
            list over those of its classes that are present. The paper uses (1,) for binary masks.
        from_logits, ignore_class, reduction, multi_label, name: see `SegmentationLoss`.

    Raises: ValueError for options that do not fit.

    Example:
        >>> masks = np.array([[[0, 1], [1, 255]]])  # (batch, height, width); 255 is ignored
        >>> logits = np.array([[[[2, 0], [0, 1]], [[1, 0], [0, 0]]]], "float32")
        >>> round(float(keras_seg.losses.Boundary()(masks, logits)), 4)
        0.1865
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
    ) -> None:
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
        self.max_distance = max_distance
        self.classes = checked_selection(classes)

    def loss_of(self, pixels: Pixels) -> Any:
        """The reduced loss of a batch."""
        if len(pixels.logits.shape) != 4:
            raise ValueError(
                "The boundary loss needs labels (B, H, W) with two pixel axes. "
                f"Received labels of shape {tuple(pixels.logits.shape[:-1])}"
            )
        truth, counted = pixels.truth, pixels.counted
        if not pixels.multi_label:
            truth = ops.one_hot(pixels.ids, pixels.logits.shape[-1], dtype="float32")
            counted = counted[..., None]
        distance = signed_distance(
            truth * counted > 0, (1 - truth) * counted > 0, self.max_distance
        )
        selected = selected_classes(self.classes, ops.sum(truth * counted, (1, 2)))
        selected = ops.divide_no_nan(selected, ops.sum(selected, -1, keepdims=True))
        values = pixels.probabilities() * ops.stop_gradient(distance)
        values = values * selected[:, None, None, :]
        if not pixels.multi_label:
            return self.mean(ops.sum(values, -1), pixels.weight, pixels.counted)
        number = ops.sum(counted, -1)
        weight = ops.divide_no_nan(ops.sum(pixels.weight, -1), number)
        return self.mean(ops.sum(values * counted, -1), weight, ops.sign(number))

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return super().get_config() | {
            "max_distance": self.max_distance,
            "classes": self.classes,
        }


def signed_distance(inside: Any, outside: Any, max_distance: int) -> Any:
    """(B, H, W, C) float32 signed distance in pixels.

    Args:
        inside, outside: (B, H, W, C) bool pixels inside and outside of each class.
    """
    border = ops.any(inside, (1, 2), keepdims=True) & ops.any(outside, (1, 2), keepdims=True)
    distance = ops.where(
        inside,
        1 - distance_to(outside, max_distance),
        distance_to(inside, max_distance),
    )
    return ops.where(border, distance, 0.0)
