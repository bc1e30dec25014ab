"""Whether a file that leaves its batch or its size free computes the same at others."""

from __future__ import annotations

import numpy as np

from keras_seg.export.errors import ExportError
from keras_seg.export.network_to_export import NetworkToExport
from keras_seg.export.options import FREE
from keras_seg.export.proof.gate import MIN_AGREEMENT, is_fused
from keras_seg.inference.prediction import Runner
from keras_seg.inference.scores import mask_of

WORSE = 0.02
"""By so much an integer or float16 file may agree less at another size."""


def check_freedom(exported: Runner, network: NetworkToExport) -> None:
    """Runs a file on two images at once, and on an image of another size.

    Raises: ExportError if it computes something else than for one image of the size that was tried.
    """
    batch, size = network.options.batch, network.tried_shape[:2]
    if batch != 1:
        images = np.stack([_test_image(network, size, seed) for seed in range(2)])
        together = [_classes(exported, each) for each in exported.run_batch(images)]
        alone = [_classes(exported, exported.run(image)) for image in images]
        share = float(np.mean(np.equal(together, alone)))
        if share < MIN_AGREEMENT:
            raise ExportError(
                f"The file was refused and deleted: with batch={batch!r}, two images at once get "
                f"the classes that they get alone on {100 * share:.2f} % of the pixels. Export "
                f"with batch=1{' or a number' if batch == FREE else ''}."
            )
    if not network.options.is_free:
        return
    shares = []
    for other in (size, _other_size(network, size)):
        image = _test_image(network, other, seed=2)
        pair = [_classes(runner, runner.run(image)) for runner in (network.reference, exported)]
        shares.append(float(np.mean(np.equal(*pair))))
    is_exact = network.options.kind.is_exact and not is_fused(network.options)
    if shares[1] < (MIN_AGREEMENT if is_exact else shares[0] - WORSE):
        raise ExportError(
            f"The file was refused and deleted: at {other[0]}x{other[1]} pixels it has the classes "
            f"of the Keras model on {100 * shares[1]:.2f} % of the pixels, at {size[0]}x{size[1]} "
            f"on {100 * shares[0]:.2f} %. Export it at a fixed size, such as "
            f"input_shape={network.tried_shape[:2]}."
        )


def _other_size(network: NetworkToExport, size: tuple[int, int]) -> tuple[int, int]:
    """A smaller height and a larger width than these where they are free."""
    return network.reference.network_size((max(1, size[0] // 2), 3 * size[1] // 2))


def _test_image(network: NetworkToExport, size: tuple[int, int], seed: int) -> np.ndarray:
    """Coarse noise, which activates a network more than fine noise does."""
    noise = np.random.default_rng(seed).integers(0, 256, (-(-size[0] // 8), -(-size[1] // 8)))
    image = np.kron(noise, np.ones((8, 8), int))[: size[0], : size[1], None]
    return np.broadcast_to(image, (*size, network.shape[2])).astype(np.uint8)


def _classes(runner: Runner, output: np.ndarray) -> np.ndarray:
    return mask_of(runner, output, runner.card.head)
