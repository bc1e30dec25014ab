"""What `python -m tests.backends` runs in the process of each backend.

    KERAS_BACKEND=jax python -m tests.backends.worker FOLDER STUDY CASE ...

TensorFlow's process comes first: it leaves weights and files in the folder for the others.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np

from tests.backends.processes import draw_with_numpy, leave_out_dropout, use_double_precision
from tests.backends.studies import (
    NUDGE,
    NUDGED,
    REFERENCE,
    STUDIES,
    arrays_file,
    problems_file,
)


def work(folder: Path, study_name: str, cases: Sequence[str]) -> None:
    """Runs all steps of the cases on this process's backend; writes arrays and problems."""
    import keras

    backend, study = keras.backend.backend(), STUDIES[study_name]
    module = import_module(study.module)
    if study.double:
        use_double_precision()
    if backend != REFERENCE:
        draw_with_numpy()
    leave_out_dropout()
    problems: dict[str, dict[str, str]] = {}
    for case in cases:
        problems[case] = {}
        steps = {step: run for step, run in module.STEPS.items() if step in study.steps}
        try:
            keras.utils.set_random_seed(0)
            subject = module.prepare(case, folder)
        except Exception as error:
            problems[case] = dict.fromkeys(steps, _one_line(error))
            continue
        for step, run in steps.items():
            try:
                arrays = run(subject, folder, case)
                np.savez(arrays_file(folder, backend, case, step), **arrays)
            except Exception as error:
                problems[case][step] = _one_line(error)
        if backend == REFERENCE and study.sensitive:
            _run_nudged(module, folder, case)
        keras.utils.clear_session()
        gc.collect()
    problems_file(folder, backend).write_text(json.dumps(problems))


def _run_nudged(module: ModuleType, folder: Path, case: str) -> None:
    """Gradients and steps of TensorFlow with weights that start slightly higher or lower."""
    for number, name in enumerate(NUDGED):
        model = module.prepare(case, folder)
        rng = np.random.default_rng(number)
        for variable in model.trainable_variables:
            signs = rng.choice(np.array([-1, 1], "float32"), tuple(variable.shape))
            variable.assign(variable.numpy() * (1 + NUDGE * signs))
        for step in ("gradient", "fit"):
            np.savez(
                arrays_file(folder, name, case, step), **module.STEPS[step](model, folder, case)
            )


def _one_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else ""
    return f"{type(error).__name__}: {text}"[:200]


if __name__ == "__main__":
    work(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
