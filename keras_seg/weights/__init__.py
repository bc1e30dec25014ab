"""Published weights: downloading, reading files, and loading tensors into a Keras model."""

from keras_seg.weights.hub import HubFile, download
from keras_seg.weights.loading import fit_first_kernel, load_strictly, set_weights
from keras_seg.weights.reading import read

__all__ = ["HubFile", "download", "fit_first_kernel", "load_strictly", "read", "set_weights"]
