"""What the first batches of a training give away, before its first step."""

from keras_seg.data.first_batch.check import check_batches, doubtful, findings, refuse
from keras_seg.data.first_batch.reading import look

__all__ = ["check_batches", "doubtful", "findings", "look", "refuse"]
