"""What the numbers of each network depend on: nothing but image, weights and precision.

    python -m tests.attacks.reproducibility

Tiny forms of all networks. Prints for each how far float16 and bfloat16 (mixed policies: variables
in float32) are from float32, and an image alone from the same image in a batch of 8, as a part of
the largest logit, and a digest of weights and logits, which another process must print, too.
"""

from __future__ import annotations

import hashlib
import json
import sys

import keras
import numpy as np

from keras_seg import models

SIZE = (64, 96)
IMAGES = np.random.default_rng(0).integers(0, 256, (8, *SIZE, 3)).astype("float32")
POLICIES = ("mixed_float16", "mixed_bfloat16")


def built(name: str, policy: str = "float32") -> keras.Model:
    """A tiny network whose values are those of seed 0."""
    keras.config.set_dtype_policy(policy)
    try:
        keras.utils.set_random_seed(0)
        return models.build(name, (*SIZE, 3), 3, preprocessing="unit", **models.find(name).tiny)
    finally:
        keras.config.set_dtype_policy("float32")


def logits(model: keras.Model, images: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(model(images, training=False)).astype("float32")


def digest(name: str) -> str:
    """Of weights and logits of one image."""
    model, found = built(name), hashlib.sha256()
    for array in (*model.get_weights(), logits(model, IMAGES[:1])):
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:16]


def distances(name: str) -> dict[str, float]:
    """Largest differences, as a part of the largest logit of float32."""
    model = built(name)
    together = logits(model, IMAGES)
    largest = np.abs(together).max()
    alone = np.concatenate([logits(model, image[None]) for image in IMAGES])
    found = {"batch": float(np.abs(alone - together).max() / largest)}
    for policy in POLICIES:
        other = built(name, policy)
        other.set_weights(model.get_weights())
        found[policy] = float(np.abs(logits(other, IMAGES) - together).max() / largest)
    return found


def main() -> None:
    for name in sys.argv[1:] or models.list_models():
        record = {k: float(f"{v:.2g}") for k, v in distances(name).items()}
        sys.stdout.write(json.dumps({"name": name} | record | {"digest": digest(name)}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
