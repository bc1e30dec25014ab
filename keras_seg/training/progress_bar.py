"""Keras' progress bar, whose last line also fits a narrow terminal."""

from __future__ import annotations

import sys

import keras


class ProgressBar(keras.callbacks.ProgbarLogger):
    """Writes the scores of the validation on a line of their own.

    Keras writes them behind the bar, where the terminal breaks the line in the middle of a name.
    """

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        training = {k: v for k, v in (logs or {}).items() if not k.startswith("val_")}
        validation = {k: v for k, v in (logs or {}).items() if k.startswith("val_")}
        super().on_epoch_end(epoch, training)
        if validation and self.verbose == 1:
            sys.stdout.write(f"{validation_line(validation)}\n")


def validation_line(scores: dict[str, float]) -> str:
    """The scores of the validation.

    Example:
        >>> validation_line({"val_loss": 1.02374, "val_mean_iou": 0.449})
        'validation - loss: 1.0237 - mean_iou: 0.4490'
    """
    texts = (f"{name.removeprefix('val_')}: {float(score):.4f}" for name, score in scores.items())
    return " - ".join(["validation", *texts])
