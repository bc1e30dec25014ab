"""Networks that take every encoder: outputs and gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.backends.networks import with_reference_weights
from tests.backends.processes import CLASSES, batch, differentiated, numbered
from tests.backends.studies import Arrays
from tests.helpers.narrow_encoders import narrow_options

SIZE = (1, 64, 64)


def prepare(case: str, folder: Path) -> Any:
    """Logits and gradients; one compilation of JAX gives both."""
    from keras_seg import models

    network, encoder = case.split()
    _, height, width = SIZE
    options = {"channels": 16} if network == "deeplabv3plus" else {}
    model = models.build(
        network,
        (height, width, 3),
        CLASSES,
        backbone=encoder,
        backbone_weights=None,
        backbone_options=narrow_options(encoder),
        **options,
    )
    return differentiated(with_reference_weights(model, case, folder), *batch(*SIZE))


def forward(results: Any, folder: Path, case: str) -> Arrays:
    """The logits at inference."""
    return numbered([results[0]])


def gradient(results: Any, folder: Path, case: str) -> Arrays:
    """Gradients of the cross-entropy for the image and every trained weight."""
    return numbered(results[1])


STEPS = {"forward": forward, "gradient": gradient}
