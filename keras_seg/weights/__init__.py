"""Files of published weights, and how their tensors get into a Keras model."""

from keras_seg.weights.assigning import set_weights
from keras_seg.weights.channels import fit_first_kernel
from keras_seg.weights.hub import HubFile, download
from keras_seg.weights.loading import load_strictly
from keras_seg.weights.reading import read

__all__ = ["HubFile", "download", "fit_first_kernel", "load_strictly", "read", "set_weights"]
