"""Every network on every backend of Keras, compared with TensorFlow.

    python -m tests.backends                               # the installed backends
    python -m tests.backends --write                       # and into docs/versions.md
    python -m tests.backends --backends jax --networks unet segnet

One process per backend builds the tiny form of each network with the weights of TensorFlow's
process, and runs four steps:

    forward     the outputs at inference
    gradient    of the cross-entropy, with respect to every trainable weight and to the image
    fit         two steps of `model.fit` with SGD and MeanIoU; on JAX compiled by XLA
    save        `models.save`, `models.load`; TensorFlow's file holds the same network and weights

Differences are shares of the largest value: of each output and of each gradient (of at least a
thousandth of the network's largest gradient, since gradients that cancel out are rounding errors).
For `fit` they are shares of the largest change of a trained weight, the largest change of a moving
statistic, and the largest logged value.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "versions.md"
START, END = "<!-- written by tests.backends -->\n", "<!-- end of tests.backends -->"
REFERENCE = "tensorflow"
BACKENDS = {"jax": "JAX", "torch": "PyTorch"}
"""Backend that is compared with TensorFlow → its name in the documentation."""
SIZE, CLASSES = (64, 96), 3
STEPS = ("forward", "gradient", "fit", "save")
TOLERANCE = {"forward": 1e-4, "gradient": 1e-3, "fit": 1e-3, "save": 1e-4}
"""Largest accepted difference, as a share of the largest value."""
SMALLEST_SCALE = {"gradient": 1e-3}
"""Step → smallest scale of an array, as a share of the largest value of all arrays."""

Arrays = dict[str, np.ndarray]
Outcome = float | str
"""The largest difference, or one line that says what failed."""


def compare(
    backends: Sequence[str], networks: Sequence[str], folder: Path
) -> dict[str, dict[str, dict[str, Outcome]]]:
    """Runs TensorFlow and the backends: backend → network → step → outcome.

    Args:
        backends: names of `BACKENDS`.
        networks: registered names.
        folder: an empty folder for arrays and files.

    Raises: RuntimeError if a process ended before all networks were tried.
    """
    for backend in (REFERENCE, *backends):
        _run_worker(backend, networks, folder)
    problems = json.loads(_problems_file(folder, REFERENCE).read_text())
    if any(problems.values()):
        raise RuntimeError(f"TensorFlow itself failed: {problems}")
    return {
        backend: {name: _outcomes(backend, name, folder) for name in networks}
        for backend in backends
    }


def failures(outcomes: Mapping[str, Outcome]) -> dict[str, Outcome]:
    """Steps of one network that failed or that differ more than `TOLERANCE`."""
    return {
        step: outcome
        for step, outcome in outcomes.items()
        if isinstance(outcome, str) or not outcome <= TOLERANCE[step]
    }


def installed_backends() -> list[str]:
    """The backends of `BACKENDS` that are installed."""
    return [name for name in BACKENDS if importlib.util.find_spec(name)]


def environment_of(backend: str) -> dict[str, str]:
    """Environment variables of a process with this backend, without a GPU."""
    return os.environ | {
        "KERAS_BACKEND": backend,
        "CUDA_VISIBLE_DEVICES": "",
        "JAX_PLATFORMS": "cpu",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    }


def _run_worker(backend: str, networks: Sequence[str], folder: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "tests.backends", "--worker", str(folder)]
    process = subprocess.run(
        [*command, "--networks", *networks],
        env=environment_of(backend),
        capture_output=True,
        text=True,
    )
    if process.returncode:
        raise RuntimeError(f"{backend}: {process.stderr.strip()[-2000:]}")


def _outcomes(backend: str, name: str, folder: Path) -> dict[str, Outcome]:
    problems = json.loads(_problems_file(folder, backend).read_text())[name]
    outcomes: dict[str, Outcome] = {}
    for step in STEPS:
        if step in problems:
            outcomes[step] = problems[step]
            continue
        with (
            np.load(_arrays_file(folder, REFERENCE, name, step)) as expected,
            np.load(_arrays_file(folder, backend, name, step)) as received,
        ):
            smallest_scale = SMALLEST_SCALE.get(step, 0.0)
            outcomes[step] = largest_difference(received, expected, smallest_scale)
    return outcomes


def largest_difference(
    received: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray], smallest_scale: float
) -> float:
    """The largest difference of all arrays, as a share of their scale; NaN counts as infinite."""
    if set(received) != set(expected):
        raise ValueError(f"arrays {sorted(received)} do not match {sorted(expected)}")
    smallest = smallest_scale * max(np.abs(array).max() for array in expected.values())
    worst = 0.0
    for key, array in expected.items():
        if array.shape != received[key].shape:
            raise ValueError(f"{key} has shape {received[key].shape}, expected {array.shape}")
        scale = max(np.abs(array).max(), smallest)
        difference = np.abs(received[key] - array).max() / scale
        worst = max(worst, float(np.nan_to_num(difference, nan=np.inf)))
    return worst


def _problems_file(folder: Path, backend: str) -> Path:
    return Path(folder, f"{backend}.json")


def _arrays_file(folder: Path, backend: str, network: str, step: str) -> Path:
    return Path(folder, f"{backend}-{network}-{step}.npz")


# In the process of a backend:


def work(folder: Path, networks: Sequence[str]) -> None:
    """Runs all steps of the networks on this process's backend; writes arrays and problems."""
    import keras

    backend = keras.backend.backend()
    problems: dict[str, dict[str, str]] = {}
    for name in networks:
        problems[name] = {}
        try:
            model = _with_reference_weights(name, backend, folder)
        except Exception as error:
            problems[name] = dict.fromkeys(STEPS, _one_line(error))
            continue
        # fit comes last, since it changes the weights
        for step in ("forward", "gradient", "save", "fit"):
            try:
                arrays = WORK[step](model, folder, name)
                np.savez(_arrays_file(folder, backend, name, step), **arrays)
            except Exception as error:
                problems[name][step] = _one_line(error)
        keras.utils.clear_session()
    _problems_file(folder, backend).write_text(json.dumps(problems))


def _with_reference_weights(name: str, backend: str, folder: Path) -> Any:
    """The tiny network, without dropout, with the weights of TensorFlow's process."""
    import keras

    from keras_seg import models

    keras.utils.set_random_seed(0)
    model = models.build(name, (*SIZE, 3), CLASSES, **models.find(name).tiny)
    for layer in model.layers:
        if getattr(layer, "rate", 0):
            layer.rate = 0.0  # random draws differ between backends
    path = Path(folder, f"weights-{name}.npz")
    if backend == REFERENCE:
        np.savez(path, **_numbered(model.get_weights()))
    with np.load(path) as weights:
        model.set_weights([weights[str(i)] for i in range(len(weights))])
    return model


def _forward(model: Any, folder: Path, name: str) -> Arrays:
    import keras

    images, _ = _batch()
    return _numbered(keras.tree.flatten(_predicted(model, images)))


def _predicted(model: Any, images: np.ndarray) -> Any:
    """`model.predict`; for the reference without the time that a graph takes."""
    import keras

    if keras.backend.backend() == REFERENCE:
        return model(images, training=False)
    return model.predict(images, verbose=0)


def _gradient(model: Any, folder: Path, name: str) -> Arrays:
    import keras

    images, masks = _batch()
    differentiate = GRADIENTS[keras.backend.backend()]
    return _numbered([np.asarray(values) for values in differentiate(model, images, masks)])


def _save(model: Any, folder: Path, name: str) -> Arrays:
    """Outputs of the saved and loaded network.

    Raises: ValueError if the file that TensorFlow's process wrote holds something else.
    """
    import keras

    from keras_seg import models
    from keras_seg.data.classes import ClassTable

    images, _ = _batch()
    own = Path(folder, f"{keras.backend.backend()}-{name}.keras")
    models.save(model, own, models.ModelCard(ClassTable.numbered(CLASSES)))
    loaded = models.load(own)
    of_reference = models.load(Path(folder, f"{REFERENCE}-{name}.keras"))
    if of_reference.get_config() != loaded.get_config():
        raise ValueError("the file that TensorFlow wrote has another configuration")
    for one, other in zip(of_reference.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    return _numbered(keras.tree.flatten(_predicted(loaded, images)))


def _fit(model: Any, folder: Path, name: str) -> Arrays:
    """Loss and metric of two steps, and the change of the weights."""
    import keras

    from keras_seg import losses, metrics

    images, masks = _batch()
    trained_before, statistics_before = _values(model)
    model.compile(
        keras.optimizers.SGD(0.01),
        losses.CrossEntropy(),
        metrics=[metrics.MeanIoU(CLASSES)],
        jit_compile=keras.backend.backend() == "jax",
        run_eagerly=keras.backend.backend() == REFERENCE,
    )
    logs = model.fit(images, masks, batch_size=2, epochs=2, verbose=0, shuffle=False).history
    trained, statistics = _values(model)
    arrays = {
        "logs": np.asarray([logs["loss"], logs["mean_iou"]]),
        "trained": trained - trained_before,
    }
    if statistics.size:
        arrays["statistics"] = statistics - statistics_before
    return arrays


def _values(model: Any) -> tuple[np.ndarray, np.ndarray]:
    """All trainable values, and all moving statistics, each as one vector."""
    import keras

    statistics = [v for v in model.non_trainable_variables if keras.backend.is_float_dtype(v.dtype)]
    vectors = [
        [keras.ops.convert_to_numpy(variable).ravel() for variable in variables]
        for variables in (model.trainable_variables, statistics)
    ]
    trained, moving = (np.concatenate(each or [np.zeros(0, "float32")]) for each in vectors)
    return trained, moving


WORK: dict[str, Callable[[Any, Path, str], Arrays]] = {
    "forward": _forward,
    "gradient": _gradient,
    "save": _save,
    "fit": _fit,
}


def _tensorflow_gradients(model: Any, images: np.ndarray, masks: np.ndarray) -> list[Any]:
    import tensorflow as tf

    from keras_seg import losses

    pixels = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(pixels)
        loss = losses.CrossEntropy()(masks, model(pixels, training=False))
    variables = [variable.value for variable in model.trainable_variables]
    return tape.gradient(loss, [pixels, *variables])


def _jax_gradients(model: Any, images: np.ndarray, masks: np.ndarray) -> list[Any]:
    import jax

    from keras_seg import losses

    variables = [variable.value for variable in model.trainable_variables]
    constants = [variable.value for variable in model.non_trainable_variables]

    def loss_of(pixels: Any, weights: list[Any]) -> Any:
        outputs, _ = model.stateless_call(weights, constants, pixels, training=False)
        return losses.CrossEntropy()(masks, outputs)

    of_pixels, of_weights = jax.jit(jax.grad(loss_of, argnums=(0, 1)))(images, variables)
    return [of_pixels, *of_weights]


def _torch_gradients(model: Any, images: np.ndarray, masks: np.ndarray) -> list[Any]:
    import torch

    from keras_seg import losses

    pixels = torch.tensor(images, requires_grad=True)
    losses.CrossEntropy()(masks, model(pixels, training=False)).backward()
    variables = [variable.value for variable in model.trainable_variables]
    return [tensor.grad.numpy() for tensor in (pixels, *variables)]


GRADIENTS: dict[str, Callable[[Any, np.ndarray, np.ndarray], list[Any]]] = {
    "tensorflow": _tensorflow_gradients,
    "jax": _jax_gradients,
    "torch": _torch_gradients,
}


def _batch() -> tuple[np.ndarray, np.ndarray]:
    """Two images of noise, and masks with a row of ignored pixels."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, *SIZE, 3)).astype("float32")
    masks = rng.integers(0, CLASSES, (2, *SIZE)).astype("int32")
    masks[:, :2] = 255
    return images, masks


def _numbered(arrays: Sequence[Any]) -> Arrays:
    return {str(number): np.asarray(array) for number, array in enumerate(arrays)}


def _one_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else ""
    return f"{type(error).__name__}: {text}"[:200]


# The table:


def table(results: Mapping[str, Mapping[str, Mapping[str, Outcome]]]) -> str:
    """The results as Markdown: one table per backend."""
    parts = [_versions([REFERENCE, *results])]
    for backend, networks in results.items():
        rows = [("network", *STEPS), ("---",) * (1 + len(STEPS))]
        for name, outcomes in networks.items():
            rows.append((name, *(_cell(outcomes[step]) for step in STEPS)))
        lines = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        parts.append(f"{BACKENDS[backend]}:\n\n{lines}\n")
    return "\n".join(parts)


def _versions(backends: Sequence[str]) -> str:
    packages = ("keras", *backends)
    return f"With {', '.join(f'{name} {importlib.metadata.version(name)}' for name in packages)}.\n"


def _cell(outcome: Outcome) -> str:
    return outcome.replace("|", "\\|") if isinstance(outcome, str) else f"{outcome:.0e}"


def write(page: Path, text: str) -> None:
    """Replaces the part of the page between the markers."""
    before, rest = page.read_text().split(START)
    page.write_text(before + START + text + END + rest.split(END)[1])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=installed_backends())
    parser.add_argument("--networks", nargs="+", help="registered names; all by default")
    parser.add_argument("--write", action="store_true", help=f"the table into {PAGE.name}")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.worker:
        work(options.worker, options.networks)
        return 0
    from keras_seg import models

    networks = options.networks or models.list_models()
    with tempfile.TemporaryDirectory() as folder:
        results = compare(options.backends, networks, Path(folder))
    text = table(results)
    sys.stdout.write(text)
    if options.write:
        write(PAGE, text)
    failed = [
        f"{backend}, {name}: {failed}"
        for backend, outcomes in results.items()
        for name, steps in outcomes.items()
        if (failed := failures(steps))
    ]
    sys.stdout.writelines(f"FAILED {line}\n" for line in failed)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
