"""Prediction: the mask of an image of any size, by a network of any size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from keras_seg.data.as_dataset import as_images
from keras_seg.data.reading.in_memory import sorted_out
from keras_seg.data.reading.nodata import marked
from keras_seg.data.reading.ranges import ValueRange
from keras_seg.inference.runner import NetworkRunner
from keras_seg.inference.scores import Threshold, check_threshold, mask_of
from keras_seg.inference.sizing import scores_at_image_size
from keras_seg.inference.views import TestTimeAugmentation, averaged_probabilities


class Runner(NetworkRunner):
    """Predicts the masks of images with a network, whatever the format of its file.

    `keras_seg.inference.load` makes it. All runners have the attributes and the `run` method of
    `keras_seg.inference.runner.NetworkRunner`.

    Example:
        >>> model = keras_seg.models.unet((None, None, 3), 2, widths=(4, 8))
        >>> runner = keras_seg.inference.load(model)
        >>> runner.format, runner.num_classes
        ('keras', 2)
    """

    def predict(
        self,
        images: object,
        *,
        probabilities: bool = False,
        sizing: str = "auto",
        tta: TestTimeAugmentation | None = None,
        batch_size: int = 8,
        threshold: Threshold | None = None,
        value_range: ValueRange | None = None,
    ) -> np.ndarray | list[np.ndarray]:
        """Masks, or class probabilities, of images of any size.

        Shapes: one image (H, W, C) or grey (H, W) → (H, W) uint8 classes, or (H, W, num_classes)
        float32 probabilities. A batch (B, H, W, C) → the same with a batch axis. A list of images,
        each with its own size → a list. Masks of a multi-label network are (H, W, num_classes)
        uint8 of 0 and 1.

        A network of a fixed training size sees the image resized to that size. Another network of
        free size sees the image as it is, mirrored at the lower and right edge up to the next size
        that it takes. A network without padding sees the image with mirrored borders, in windows
        whose outputs meet without overlap; together they equal the output for the whole image.

        Args:
            images: an image is an array or tensor (NumPy, TensorFlow, PyTorch, JAX) of pixels in
                0..255, the path of a file, or a PIL picture. uint8 is used as it is. Other types
                need `value_range`, unless their values are 0..255 beyond doubt. Several images are
                a batch, a list, a folder, or a tf.data.Dataset, PyDataset or generator of images or
                (images, masks).
            probabilities: return probabilities instead of masks.
            sizing: how images are fitted to the network.
                "resize": the image is resized to the network's size, its scores back to the
                image's.
                "tile": windows of the network's size, half a window apart, at the image's own
                scale. Their probabilities are averaged; the middle of a window counts most.
                "auto": as in training, which the card records: "resize" if images were resized to
                one size, "tile" if they kept their scale. "resize" for a foreign file.
            tta: flips and scales whose probabilities are averaged; None for the image alone.
            batch_size: maximum number of images of one size in memory. A .keras file runs them
                together, and so does an .onnx file that takes several; other files run one by one.
            threshold: probability above which a pixel has the second of two classes, or a label of
                a multi-label network; for labels one number, or one per label. None for that of
                the card, or 0.5.
            value_range: (black, white) of images of more than 8 bits, or one such pair per band,
                which are mapped to 0..255; None for that of the training, which the card records.
                Images of 8 bits are used as they are, as in training.

        Pixels of a file that hold no data, such as NaN or the nodata value of a GeoTIFF, become 255
        in the mask and NaN in the probabilities.

        Raises: ValueError for an image that does not fit, an unknown sizing, probabilities of a
            file that outputs only classes, or a threshold that is not in 0..1 or is for more
            than two classes; FileNotFoundError for a path.

        Example:
            >>> model = keras_seg.models.unet((None, None, 3), 2, widths=(4, 8))
            >>> runner = keras_seg.inference.load(model)
            >>> runner.predict(np.zeros((50, 70, 3), np.uint8)).shape
            (50, 70)
        """
        single, images = sorted_out(as_images(images))
        gaps: list[np.ndarray | None] = []

        def pixels_of(image: object) -> np.ndarray:
            pixels, known = self.pixels_and_known(image, value_range)
            gaps.append(known)
            return pixels

        results: list[np.ndarray] = []
        for group in groups_of_one_shape(map(pixels_of, images), batch_size):
            stack = np.stack(group)
            results.extend(self._predict_one_size(stack, probabilities, sizing, tta, threshold))
        results = [marked(each, known) for each, known in zip(results, gaps, strict=True)]
        if single:
            return results[0]
        if not isinstance(images, np.ndarray):
            return results
        if results:
            return np.stack(results)
        last_axis = (self.num_classes,) if probabilities or self.card.multi_label else ()
        dtype = np.float32 if probabilities else np.uint8
        return np.zeros((0, *images.shape[1:3], *last_axis), dtype)

    def _predict_one_size(
        self,
        images: np.ndarray,
        probabilities: bool,
        sizing: str,
        tta: TestTimeAugmentation | None,
        threshold: Threshold | None,
    ) -> np.ndarray:
        """(B, H, W, C) uint8 → (B, H, W[, labels]) masks or (B, H, W, num_classes)."""
        check_threshold(self, threshold)
        if tta is None and not probabilities:
            scores, head = scores_at_image_size(self, images, sizing)
            return np.stack([mask_of(self, each, head, threshold) for each in scores])
        if probabilities and self.card.head == "argmax":
            raise ValueError(
                f"{self.what} outputs classes, so that it has no probabilities. Export it with "
                "--head logits or probabilities."
            )
        averaged = averaged_probabilities(self, images, sizing, tta)
        return averaged if probabilities else mask_of(self, averaged, "probabilities", threshold)


def groups_of_one_shape(images: Iterable[np.ndarray], at_most: int) -> Iterator[list[np.ndarray]]:
    """Consecutive images of equal shape in groups of at most this many."""
    group: list[np.ndarray] = []
    for image in images:
        if group and (image.shape != group[0].shape or len(group) == at_most):
            yield group
            group = []
        group.append(image)
    if group:
        yield group
