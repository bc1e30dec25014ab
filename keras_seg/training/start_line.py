"""The line that says what a training trains, on what, and where."""

from __future__ import annotations

from keras_seg.training.environment import device_name
from keras_seg.training.run import Run


def start_line(run: Run) -> str:
    """Network, number of parameters, numbers of images, and device.

    Example:
        "Training unet (7.76 M parameters) on 16 images, validating on 4. Device: Intel(R) Xeon(R)
        Processor (tensorflow)."
    """
    engine = run.engine
    devices = f"{engine.devices} x " if engine.devices > 1 else ""
    teacher = run.recipe.teacher
    return (
        f"Training {run.recipe.model} ({_count(run.network.count_params())} parameters) on "
        f"{len(run.train_set)} images, validating on {len(run.val_set)}. Device: {devices}"
        f"{device_name(engine.name)} ({engine.name})."
        f"{'' if teacher is None else f' Teacher: {teacher}.'}"
    )


def _count(number: int) -> str:
    """Three digits, such as 914, 20.3 k or 7.76 M."""
    for unit, name in ((10**6, " M"), (10**3, " k")):
        if number >= unit:
            return f"{number / unit:#.3g}".rstrip(".") + name
    return str(number)
