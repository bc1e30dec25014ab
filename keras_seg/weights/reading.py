"""Reads checkpoint files as mappings of tensor name to array."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_seg.weights.torch_files import read_torch

WRAPPERS = ("state_dict", "model_state", "model_state_dict", "model", "net", "network")
"""Entries under which training scripts store the tensors of the network."""
AVERAGES = ("state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "ema")
"""Entries and prefixes of a moving average of the tensors, used if there are no others."""
PREFIXES = (
    "module.",
    "model.",
    "_orig_mod.",
    "net.",
    "network.",
    *(f"{name}." for name in AVERAGES),
)
"""Prefixes that data-parallel, loss and Lightning wrappers and compilation add to every name."""
WITHOUT_WEIGHTS = (
    r"^((loss|loss_fn|criterion|metrics?|(train|val|test)_\w+)\.|(mean|std|n_averaged)$)"
)
"""Tensors of losses, metrics and image statistics that a training loop stores as well."""
OTHER_FILES = {
    ".keras": "a model of Keras, which needs no conversion: load it with keras_seg.inference.load",
    ".onnx": "an ONNX model: run it with keras_seg.inference.load, or convert the checkpoint of "
    "PyTorch that it was exported from",
    ".tflite": "a TFLite model: run it with keras_seg.inference.load",
    ".pb": "a graph of TensorFlow, not a checkpoint",
    ".ckpt.index": "a checkpoint of TensorFlow",
    ".index": "a checkpoint of TensorFlow",
    ".data-00000-of-00001": "a checkpoint of TensorFlow",
    ".caffemodel": "a model of Caffe: write its blobs to an .npz file, see source 'segnet-caffe'",
}
"""Suffix → description of files that are not state dicts."""


def read(checkpoint: Mapping | str | Path) -> dict[str, np.ndarray]:
    """Reads a checkpoint: a mapping, or a .safetensors, .npz, .pth, .pt or (from Keras) .h5 file.

    Wrappers around the state dict are opened, and prefixes that all names share are removed.

    Args:
        checkpoint: path of the file, or a state dict.

    Returns:
        Name → array.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: another kind of file, or one that cannot be read.
        ImportError: a .pth file that holds more than tensors, without PyTorch; the message says
            what to do.

    Example:
        state_dict = {"module.conv.weight": np.ones((4, 3, 3, 3), "float32")}
        tensors = keras_seg.weights.read(state_dict)  # {"conv.weight": ...}
    """
    if callable(getattr(checkpoint, "state_dict", None)):
        raise ValueError(
            f"A checkpoint is a file or a state dict. Received: a {type(checkpoint).__name__}. "
            "Pass its state_dict()."
        )
    content = checkpoint if isinstance(checkpoint, Mapping) else _read_file(Path(checkpoint))
    content = _unwrapped(content)
    tensors = {str(name): _as_array(value) for name, value in content.items() if _is_tensor(value)}
    if not tensors:
        raise ValueError(
            f"The checkpoint holds no tensors. Received the entries: {[*content][:8]}. Pass the "
            "network's state dict."
        )
    return _without_prefixes(tensors)


def _without_prefixes(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Removes all prefixes that the tensors of a network share."""
    for prefix in PREFIXES:
        inner = {n: a for n, a in tensors.items() if n.startswith(prefix)}
        others = [name for name in tensors if name not in inner]
        averages = [name for name in others if name.startswith(tuple(f"{a}." for a in AVERAGES))]
        if inner and averages:
            _warn_of_averages(averages[0].partition(".")[0], prefix)
            others = [name for name in others if name not in averages]
        if inner and all(re.match(WITHOUT_WEIGHTS, name) for name in others):
            return _without_prefixes({n.removeprefix(prefix): a for n, a in inner.items()})
    return tensors


def _read_file(path: Path) -> Mapping:
    if not path.is_file():
        raise FileNotFoundError(f"There is no checkpoint file {path}.")
    readers = {
        ".safetensors": _read_safetensors,
        ".npz": _read_npz,
        ".pth": _read_torch,
        ".pt": _read_torch,
        ".tar": _read_torch,
        ".ckpt": _read_torch,
        ".h5": _read_h5,
    }
    if (
        path.name == "pytorch_model.bin"
    ):  # the name that save_pretrained uses; other .bin files can be anything
        readers[".bin"] = _read_torch
    for suffix, what in OTHER_FILES.items():
        if path.name.endswith(suffix):
            raise ValueError(f"{path} is {what}. A checkpoint ends in {', '.join(readers)}.")
    if path.suffix not in readers:
        raise ValueError(f"A checkpoint is a file ending in {', '.join(readers)}. Received: {path}")
    try:
        return readers[path.suffix](path)
    except ImportError:
        raise
    except Exception as error:  # each library raises its own errors
        if type(error).__name__ == "UnpicklingError":  # PyTorch refused to import a module
            raise ValueError(
                f"{path} holds a whole pickled model, whose code keras_seg does not run. Write its "
                'tensors alone with PyTorch: torch.save(model.state_dict(), "weights.pth").'
            ) from error
        raise ValueError(f"{path} cannot be read as a checkpoint: {error}") from error


def _read_safetensors(path: Path) -> Mapping:
    from safetensors.numpy import load_file

    return load_file(path)


def _read_npz(path: Path) -> Mapping:
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def _read_h5(path: Path) -> Mapping:
    """Weights of a model that Keras saved, without those of its optimizer."""
    import h5py

    arrays = {}

    def collect(name: str, entry: object) -> None:
        if isinstance(entry, h5py.Dataset) and not name.startswith("optimizer_weights"):
            arrays[name] = entry[()]

    with h5py.File(path) as file:
        file.visititems(collect)
    return arrays


def _read_torch(path: Path) -> Mapping:
    try:
        import torch
    except ImportError as error:
        try:
            return read_torch(path)
        except pickle.UnpicklingError as unknown:
            raise ImportError(
                f"{path.name} holds more than tensors ({unknown}), and reading that needs PyTorch: "
                "pip install torch. Or convert it to .safetensors where PyTorch is installed."
            ) from error
    # weights_only: a downloaded pickle must not run code
    return torch.load(path, map_location="cpu", weights_only=True)


def _as_array(value: Any) -> np.ndarray:
    """A tensor of any framework as an array; PyTorch's half and bfloat16 become float32."""
    if hasattr(value, "detach"):  # a PyTorch tensor, which may be trainable or on a GPU
        if getattr(value, "is_meta", False):
            raise ValueError(
                f"The checkpoint holds a tensor {tuple(value.shape)} on PyTorch's device 'meta', "
                "which has a shape and no values. Load the weights before state_dict()."
            )
        value = value.detach().cpu()
        value = value.float() if value.is_floating_point() else value
    return np.asarray(value)


def _unwrapped(content: Mapping) -> Mapping:
    entries = [name for name in (*WRAPPERS, *AVERAGES) if isinstance(content.get(name), Mapping)]
    if not entries:
        return content
    averages = [name for name in entries if name in AVERAGES]
    if averages and entries[0] not in AVERAGES:
        _warn_of_averages(averages[0], entries[0])
    return _unwrapped(content[entries[0]])


def _warn_of_averages(average: str, taken: str) -> None:
    warnings.warn(
        f"The checkpoint holds {average!r}, a moving average of the weights, beside {taken!r}, "
        "which is taken. For the average pass that part of the state dict alone.",
        stacklevel=2,
    )


def _is_tensor(value: object) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")
