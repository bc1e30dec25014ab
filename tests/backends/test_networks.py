"""Networks compute, train and are saved on Keras' other backends as on TensorFlow."""

import json
import subprocess
import sys

import numpy as np
import pytest

from tests.backends.__main__ import (
    END,
    golden_outcomes,
    summary,
    table,
    write,
    write_summary,
)
from tests.backends.comparison import (
    Outcome,
    compare,
    environment_of,
    failures,
    installed_backends,
    largest_difference,
)
from tests.backends.studies import BACKENDS, GOLDEN, STUDIES


@pytest.fixture(scope="module")
def results():
    """Name of a study → backend → case → step → outcome, each study once."""
    outcomes = {}

    def of_study(name):
        if name not in outcomes:
            outcomes[name] = compare(name)
        return outcomes[name]

    return of_study


@pytest.mark.slow
@pytest.mark.xdist_group("backends")
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "study", [name for name in STUDIES if name != "encoders in double precision"]
)
def test_every_case_equals_the_one_on_tensorflow(study, backend, results):
    if backend not in installed_backends():
        pytest.skip(f"needs the {backend} extra")
    if backend not in STUDIES[study].backends:
        pytest.skip(f"{study} do not run on {backend}")
    cases = results(study)[backend]
    failed = {case: failures(study, outcomes) for case, outcomes in cases.items()}
    assert {case: wrong for case, wrong in failed.items() if wrong} == {}


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_golden_files_are_met(backend):
    if backend not in installed_backends():
        pytest.skip(f"needs the {backend} extra")
    cases = golden_outcomes([backend])[backend]
    failed = {case: failures(GOLDEN, outcomes) for case, outcomes in cases.items()}
    assert {case: wrong for case, wrong in failed.items() if wrong} == {}


def test_differences_are_shares_of_the_largest_value_and_nan_is_infinite():
    expected = {"large": np.array([0.0, 8.0]), "small": np.array([1e-9])}
    received = {"large": np.array([2.0, 8.0]), "small": np.array([2e-9])}
    assert largest_difference(received, expected, 1e-3) == 0.25
    assert largest_difference(received, expected, 0.0) == 1.0
    received["large"][0] = np.nan
    assert largest_difference(received, expected, 1e-3) == np.inf


def test_arrays_of_other_names_or_shapes_are_refused():
    expected = {"one": np.zeros((2, 1)), "two": np.ones(3)}
    with pytest.raises(ValueError, match="do not match"):
        largest_difference({"one": np.zeros((2, 1))}, expected, 0.0)
    with pytest.raises(ValueError, match=r"one has shape \(2,\), expected \(2, 1\)"):
        largest_difference({"one": np.zeros(2), "two": np.ones(3)}, expected, 0.0)


def test_a_step_may_differ_as_rounding_makes_it_differ():
    assert failures("networks", {"weights": Outcome(0.05, rounding=0.01)}) == {}
    for wrong in (
        Outcome(0.05, rounding=0.001),
        Outcome(0.6, rounding=1.0),
        Outcome(np.inf, rounding=1.0),
        Outcome(0.0, problem="ValueError"),
    ):
        assert failures("networks", {"weights": wrong}) == {"weights": wrong}


def test_tables_and_rows_replace_those_of_their_study_and_backend(tmp_path):
    page = tmp_path / "page.md"
    rows = "| outputs | JAX | 9 | stale |\n| outputs | PyTorch | 1 | kept |\n"
    text = "before\n"
    for name, content in (("all studies", rows), ("networks on jax", "stale\n")):
        text += f"<!-- written by tests.backends: {name} -->\n{content}{END}\n"
    page.write_text(text + "after\n")
    cases = {"a case": {"fit": Outcome(1e-6)}, "b": {"fit": Outcome(2e-6)}}
    write_summary(page, summary("outputs", "jax", cases))
    text = page.read_text()
    assert "| outputs | PyTorch | 1 | kept |\n" in text and text.count("stale") == 1
    assert "| outputs | JAX | 2 | fit 2e-06 (b) |\n" in text
    cases["b"] = {"fit": Outcome(problem="a | b")}
    assert "fit a \\| b (b)" in summary("outputs", "jax", cases)
    pytest.importorskip("jax", reason="the table names its version")
    write(page, "networks", "jax", table(cases))
    text = page.read_text()
    assert "| a case | 1e-06 |\n| b | a \\| b |\n" + END in text and "stale" not in text
    assert text.startswith("before") and text.endswith("after\n")


TRAINING = """
import json
import keras, numpy as np
from keras.distribution import DataParallel, list_devices, set_distribution
from keras_seg import losses, metrics, models

rng = np.random.default_rng(0)
images = rng.uniform(0, 255, (4, 16, 16, 3)).astype("float32")
masks = rng.integers(0, 3, (4, 16, 16))
masks[:, :2] = 255
found = []
for devices in (1, 2):
    set_distribution(DataParallel(devices=list_devices()[:devices], auto_shard_dataset=False))
    keras.utils.set_random_seed(0)
    model = models.unet((16, 16, 3), 3, widths=(4, 8))
    model.compile("sgd", losses.CrossEntropy(), metrics=[metrics.MeanIoU(3)])
    logs = model.fit(images, masks, batch_size=4, epochs=2, verbose=0, shuffle=False).history
    weights = [np.asarray(weight).ravel().tolist() for weight in model.weights]
    found.append([keras.backend.backend(), logs["loss"], logs["mean_iou"], sum(weights, [])])
print(json.dumps(found))
"""


@pytest.mark.slow
def test_two_devices_of_jax_give_loss_metric_and_weights_of_one():
    pytest.importorskip("jax", reason="needs the jax extra")
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", TRAINING],
        env=environment_of("jax") | flags,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    one, two = json.loads(process.stdout.splitlines()[-1])
    assert one[0] == two[0] == "jax"
    assert one[1][1] < one[1][0]
    for values, expected in zip(two[1:], one[1:], strict=True):
        assert values == pytest.approx(expected, rel=1e-4, abs=1e-6)
