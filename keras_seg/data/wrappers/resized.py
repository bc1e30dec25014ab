"""A data set resized to one fixed size."""

from __future__ import annotations

from keras_seg.data.dataset import Sample, SegmentationDataset
from keras_seg.data.reading.resize import resize_image, resize_mask


class ResizedDataset(SegmentationDataset):
    """Resizes every image and mask of another data set to (height, width) pixels.

    Images are resized bilinearly with antialiasing; masks, instances and weights by the nearest
    pixel.

    Args:
        dataset: the data set to resize.
        size: (height, width) in pixels.

    Example:

        cells = keras_seg.data.open_dataset("builtin:cells")
        small = keras_seg.data.ResizedDataset(cells, (64, 64))
        small[0].image.shape  # (64, 64, 3)
    """

    def __init__(self, dataset: SegmentationDataset, size: tuple[int, int]):
        self._dataset, self.size = dataset, tuple(size)
        self.name, self.split = dataset.name, dataset.split
        self.classes, self.channels = dataset.classes, dataset.channels
        self.multi_label = dataset.multi_label
        self.value_range, self.nodata = dataset.value_range, dataset.nodata

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Sample:
        sample = self._dataset[index]
        maps = (sample.mask, sample.instances, sample.weights)
        resized = [None if m is None else resize_mask(m, self.size) for m in maps]
        return Sample(sample.name, resize_image(sample.image, self.size), *resized)
