"""Checks the first batches of a training before its first step."""

from keras_seg.data.first_batch.check import check_batches, doubtful, findings, refuse
from keras_seg.data.first_batch.reading import take_batches

__all__ = ["check_batches", "doubtful", "findings", "refuse", "take_batches"]
