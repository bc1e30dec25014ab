"""Weights and images of the golden files: made from names, shapes and a seed, never stored.

Every tensor has its own random stream, keyed on the seed and the CRC-32 of its name, so that a
tensor that is swapped, missed or transposed shows in the output.
"""

import json
import zlib
from pathlib import Path

import numpy as np

CASES = sorted((Path(__file__).parents[1] / "golden").glob("*.npz"))
"""The golden files of whole networks."""


def state_dict(manifest, seed, norm_scale=1.0):
    """{name: float32 array in PyTorch's layout} for {name: shape}.

    norm_scale: factor on the scales of normalisation layers; below 1 it keeps deep networks tame.
    """
    tensors = {name: _tensor(name, tuple(shape), seed) for name, shape in manifest.items()}
    for name, tensor in tensors.items():
        if tensor.ndim == 1 and name.endswith(".weight"):
            tensors[name] = tensor * np.float32(norm_scale)
    return tensors


def _tensor(name, shape, seed):
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    leaf = name.rpartition(".")[2]
    if leaf == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    if leaf == "running_var" or (leaf == "weight" and len(shape) <= 1):
        values = rng.uniform(0.6, 1.4, shape)
    elif leaf in ("alpha", "beta", "gamma") and len(shape) <= 1:
        values = rng.uniform(0.3, 0.9, shape)
    elif leaf == "running_mean" or len(shape) <= 1:
        values = 0.1 * rng.standard_normal(shape)
    else:  # He-normal over the inputs of a kernel
        values = rng.standard_normal(shape) * np.sqrt(2.0 / int(np.prod(shape[1:])))
    return values.astype(np.float32)


def image(shape, seed):
    """(B, H, W, C) float32 in about [-1, 1]: one wave a channel, and noise."""
    batch, height, width, channels = shape
    rng = np.random.default_rng([seed, 12345])
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    waves = np.empty(shape, np.float32)
    for b in range(batch):
        for c in range(channels):
            fx, fy = rng.uniform(0.02, 0.3, 2).tolist()
            phase = rng.uniform(0, 6.28)
            waves[b, :, :, c] = 0.7 * np.sin(fx * columns + fy * rows + phase)
    return (waves + 0.3 * rng.uniform(-1, 1, shape)).astype(np.float32)


def write_golden(path, *, source, manifest, seed, norm_scale, input_shape, options, outputs, step):
    """Writes a golden file: outputs (every `step`-th pixel of them) and all that makes them."""
    facts = {
        "source": source,
        "seed": seed,
        "norm_scale": norm_scale,
        "input_shape": list(input_shape),
        "options": options,
        "step": step,
        "manifest": manifest,
    }
    thinned = {name: array[:, ::step, ::step] for name, array in outputs.items()}
    np.savez_compressed(path, facts=json.dumps(facts), **thinned)


def read_golden(path):
    """(facts, {output name: array}) of a golden file."""
    with np.load(path) as file:
        facts = json.loads(str(file["facts"]))
        return facts, {name: file[name] for name in file.files if name != "facts"}
