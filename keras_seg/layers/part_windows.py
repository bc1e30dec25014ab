"""Where the parts of a face lie, by what a coarse labelling says."""

from __future__ import annotations

import keras
import tensorflow as tf

SHARPNESS = 4
"""Power of the probabilities that are weighed: doubtful pixels far away must not pull."""


@keras.saving.register_keras_serializable("keras_seg")
class PartWindows(keras.layers.Layer):
    """A square window around the centre of mass of each part.

    Shapes: probabilities (B, h, w, classes) of the image, called with `like` of (B, H, W, ...), the
    image → windows (B, parts, 2, 3) in float32 under every policy, see `CutWindow`. A part that is
    not found gets a window in the middle of the image.

    Args:
        parts: the classes of each part.
        sides: side of each part's window, in pixels of the image.
    """

    def __init__(self, parts, sides, **base_config):
        super().__init__(autocast=False, **base_config)
        self.parts = [list(part) for part in parts]
        self.sides = list(sides)

    def build(self, probabilities_shape, like_shape=None):
        """Holds no weights; takes the shapes of its inputs by name."""

    def call(self, probabilities, like):
        x = tf.cast(probabilities, "float32")
        mass = tf.stack(
            [tf.add_n([x[..., label] for label in part]) for part in self.parts], axis=-1
        )
        mass = mass**SHARPNESS
        total = tf.reduce_sum(mass, (1, 2)) + 1e-6
        centres = [
            tf.reduce_sum(mass * _coordinates(mass, axis), (1, 2)) / total for axis in (2, 1)
        ]
        sizes = tf.cast(tf.shape(like), "float32")
        sides = tf.constant(self.sides, "float32")
        scales = [tf.zeros_like(total) + sides / sizes[axis] for axis in (2, 1)]
        nothing = tf.zeros_like(total)
        rows = [(scales[0], nothing, centres[0]), (nothing, scales[1], centres[1])]
        return tf.stack([tf.stack(row, axis=-1) for row in rows], axis=-2)

    def compute_output_shape(self, probabilities_shape, like_shape):
        return (probabilities_shape[0], len(self.parts), 2, 3)

    def compute_output_spec(self, probabilities, like):
        shape = self.compute_output_shape(probabilities.shape, like.shape)
        return keras.KerasTensor(shape, "float32")

    def get_config(self):
        return super().get_config() | {"parts": self.parts, "sides": self.sides}


def _coordinates(x, axis: int):
    """-1 to 1 between the outer edges, along the axis."""
    size = x.shape[axis] or tf.shape(x)[axis]
    count = tf.cast(size, "float32")
    values = (2 * tf.cast(tf.range(size), "float32") + 1) / count - 1
    return tf.reshape(values, [-1 if a == axis else 1 for a in range(4)])
