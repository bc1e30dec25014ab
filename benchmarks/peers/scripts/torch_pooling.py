"""PyTorch's max_pool2d and max_unpool2d, for `benchmarks.measure.layers`."""

import sys

import torch
from pooling import Side, data
from serve import serve
from torch.nn import functional

current = {}


def prepare(shape):
    # PyTorch's own layout, which its unpooling wants
    x, weights = (torch.from_numpy(array).permute(0, 3, 1, 2).contiguous() for array in data(shape))
    size = x.shape[2:]

    def pool(x):
        return functional.max_pool2d(x, 2, ceil_mode=True, return_indices=True)

    def both(x):
        return functional.max_unpool2d(*pool(x), 2, output_size=size)

    def alone(values):
        return functional.max_unpool2d(values, indices, 2, output_size=size)

    values, indices = pool(x)
    functions = {
        ("pool and unpool", False): without_gradient(both, x),
        ("pool and unpool", True): with_gradient(both, x, weights),
        ("unpool", False): without_gradient(alone, values),
        ("unpool", True): with_gradient(alone, values, weights),
    }
    current["side"] = Side(
        functions,
        indices.element_size() * indices.numel(),
        to_numpy=lambda result: result.permute(0, 2, 3, 1).numpy(),
    )
    return current["side"].facts()


def without_gradient(function, x):
    def run():
        with torch.no_grad():
            return function(x)

    return run


def with_gradient(function, x, weights):
    x = x.clone().requires_grad_()

    def run():
        result = function(x)
        return result, *torch.autograd.grad(result, x, grad_outputs=weights)

    return run


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[1]))
    serve(
        {
            "versions": lambda: {"torch": torch.__version__},
            "prepare": prepare,
            "sample": lambda **case: {"ms": current["side"].sample(**case)},
        }
    )
