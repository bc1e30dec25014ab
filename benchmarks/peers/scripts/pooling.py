"""The data and the four timed functions of every side of the pooling benchmark."""

import time

import numpy as np

SEED = 0
NAMES = ("pool and unpool", "unpool")


def data(shape):
    """A map after a ReLU, half of which is zero, and a gradient of the output: (B, H, W, C).

    The gradient consists of whole numbers, so that its sums are exact on every side.
    """
    rng = np.random.default_rng(SEED)
    x = np.maximum(rng.normal(size=shape), 0).astype("float32")
    return x, rng.integers(-4, 5, shape).astype("float32")


class Side:
    """One implementation at one shape.

    Args:
        functions: (name, backward) → function without arguments. Forward it returns the unpooled
            map; backward that and the gradient by the map that was pooled, or by the values that
            were unpooled.
        index_bytes: size of what the pooling keeps for the unpooling, beside the maxima.
        to_numpy: makes an array (B, H, W, C) of a result.
    """

    def __init__(self, functions, index_bytes, to_numpy=np.asarray):
        self.functions, self.index_bytes, self.to_numpy = functions, index_bytes, to_numpy

    def facts(self):
        """Sums of all results, to compare the sides, and the size of the index."""
        sums = {}
        for (name, backward), function in self.functions.items():
            result = function()[1] if backward else function()
            result = self.to_numpy(result).astype("float64")
            sums[f"{name}, {'backward' if backward else 'forward'}"] = [
                float(result.sum()),
                float((result * np.arange(result.shape[2])[:, None]).sum()),
            ]
        return {"sums": sums, "index_bytes": self.index_bytes}

    def sample(self, name, backward):
        """Milliseconds of one run, after one that warms the caches again."""
        function = self.functions[name, backward]
        function()
        start = time.perf_counter()
        function()
        return 1e3 * (time.perf_counter() - start)
