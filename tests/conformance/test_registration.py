"""Files load in a process that imports nothing but Keras and `keras_seg`, in any order.

What has been imported cannot be taken back, so each order has a process of its own, which answers
in JSON.
"""

import ast
import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_seg import export, layers, losses, metrics, models
from keras_seg.layers import EdgePadding2D
from keras_seg.training import output_losses

ROOT = Path(__file__).parents[2]
IMAGE = np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 3)).astype("float32")

REPORT = """
import json, sys
watchers = [type(finder).__module__ for finder in sys.meta_path]
print(json.dumps({
    "registered": [*keras.saving.get_custom_objects()] if "saving" in dir(keras)
    else [*keras.utils.get_custom_objects()],
    "watched": "keras_seg.keras_registration" in watchers,
    "loaders": sorted({type(sys.modules[name].__loader__).__name__ for name in sys.modules
               if name == "keras" or name.startswith("keras_seg.")}),
    "found": globals().get("found"),
}))
"""

LOAD = """
import numpy as np, pathlib
def logits(scores):
    return np.asarray(scores["logits"] if isinstance(scores, dict) else scores)
found, folder = {}, pathlib.Path(sys.argv[1])
image = np.load(folder / "image.npy")
for path in sorted(folder.glob("*.keras")) + sorted(folder.glob("*.h5")):
    for compiled in (False, True) if path.stem in ("trained", "deep", "aware") else (True,):
        model = keras.models.load_model(path, compile=compiled)
        expected = np.load(folder / f"{path.stem}.npy")
        found[f"{path.name} {compiled}"] = float(abs(logits(model(image)) - expected).max())
    if path.stem == "trained":
        steps = model.fit(image, np.ones((1, 64, 64), "int32"), epochs=3, verbose=0).history
        found["losses"], found["scores"] = steps["loss"], [*steps]
"""

JSON = """
text = (folder / "trained.json").read_text()
same = keras.models.clone_model(keras.models.model_from_json(text))
same.load_weights(folder / "trained.keras")
found["json"] = float(abs(logits(same(image)) - np.load(folder / "trained.npy")).max())
"""

TWO_THREADS = """
import threading, keras_seg
def one():
    import keras
def other():
    import keras_seg.models
threads = [threading.Thread(target=each) for each in (one, other)]
for thread in threads: thread.start()
for thread in threads: thread.join()
import keras
"""

AFTER_A_FAILURE = """
import pathlib, sys, tempfile
import keras_seg
folder = pathlib.Path(tempfile.mkdtemp())
(folder / "keras.py").write_text("1 / 0")
sys.path.insert(0, str(folder))
try:
    import keras
except ZeroDivisionError:
    found = "refused"
sys.path.remove(str(folder))
import keras_seg.masks.distances  # which the metrics need, and which is the first to import Keras
import keras
"""


def process(code: str, *arguments) -> dict:
    command = [sys.executable, "-W", "ignore", "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def serializable_classes() -> set[str]:
    """Names of all classes of the package that are decorated to be registered."""
    found = set()
    for path in [*(ROOT / "keras_seg").rglob("*.py"), *(ROOT / "export").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            decorators = getattr(node, "decorator_list", ())
            if any("register_keras_serializable" in ast.unparse(each) for each in decorators):
                found.add(f"keras_seg>{node.name}")
    return found


def check_registered(answer: dict):
    assert serializable_classes() <= set(answer["registered"])
    assert not answer["watched"]
    assert "_WatchedLoader" not in answer["loaders"]


FEW = ("deconvnet", "icnn")
"""Networks with many layers of the package; test_models.py loads all networks in one process."""


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(FEW, id="few"),
        pytest.param(tuple(models.list_models()), id="all", marks=pytest.mark.slow),
    ],
)
def written(request, tmp_path_factory, tiny_model):
    """Networks, a compiled one, one quantization-aware, and an older one; their answers."""
    folder = tmp_path_factory.mktemp("written")
    compiled = models.unet((64, 64, 3), 3, widths=(4, 8))
    compiled.compile(
        "adam", losses.get("dice+focal"), metrics=[metrics.MeanIoU(3)], jit_compile=False
    )
    (folder / "trained.json").write_text(compiled.to_json())
    deep = models.unetplusplus((64, 64, 3), 3, widths=(4, 8, 16), deep_supervision=True)
    deep.compile("sgd", **output_losses(deep, "tversky+0.5*lovasz_softmax", num_classes=3))
    pixels = keras.Input((64, 64, 3))
    older = keras.Model(pixels, keras.layers.MaxPooling2D(3, 2)(EdgePadding2D()(pixels)))
    every = {name: tiny_model(name, input_shape=(64, 64, 3)) for name in request.param}
    every |= {
        "trained": compiled,
        "deep": deep,
        "aware": export.quantization_aware(compiled),
        "aware_deconvnet": export.quantization_aware(every["deconvnet"]),
        "face_parser": models.face_parser((64, 64, 3), auxiliary_head=True),
        "older": older,
    }
    np.save(folder / "image.npy", IMAGE)
    for name, model in every.items():
        model.save(folder / f"{name}.keras")
        scores = model(IMAGE)
        np.save(folder / f"{name}.npy", scores["logits"] if isinstance(scores, dict) else scores)
    compiled.save(folder / "older_format.h5")
    np.save(folder / "older_format.npy", compiled(IMAGE))
    return folder


@pytest.mark.xdist_group("registration")  # one worker, so that files are written once
class TestOrders:
    def test_import_alone_waits_for_nothing(self):
        code = "import keras_seg, json, sys; print(json.dumps([*sys.modules]))"
        brought = process(code)
        assert {"keras", "tensorflow", "numpy", "scipy"}.isdisjoint(brought)

    def test_keras_first_loads_the_networks(self, written):
        answer = process(f"import sys, keras, keras_seg\n{LOAD}{REPORT}", written)
        check_registered(answer)
        found = answer["found"]
        first, *_, last = found.pop("losses")
        assert last < first
        assert {"loss", "mean_iou"} <= set(found.pop("scores"))
        files = [*written.glob("*.keras"), *written.glob("*.h5")]
        assert len(found) == len(files) + 3  # three of them with and without their training
        assert max(found.values()) <= 1e-6, found

    def test_keras_seg_first_loads_a_configuration_too(self, written, tmp_path):
        for name in ("trained.keras", "trained.npy", "trained.json", "image.npy"):
            (tmp_path / name).symlink_to(written / name)
        answer = process(f"import keras_seg, sys, keras\n{LOAD}{JSON}{REPORT}", tmp_path)
        check_registered(answer)
        assert answer["found"]["trained.keras True"] <= 1e-6
        assert answer["found"]["json"] <= 1e-6

    @pytest.mark.parametrize(
        "order",
        [
            pytest.param("import keras_seg; from tensorflow import keras", marks=pytest.mark.slow),
            pytest.param(TWO_THREADS, marks=pytest.mark.slow),
            pytest.param(AFTER_A_FAILURE, marks=pytest.mark.slow),
        ],
        ids=["by_tensorflow", "two_threads", "after_a_failure"],
    )
    def test_every_class_is_registered(self, order):
        answer = process(f"{order}\n{REPORT}")
        check_registered(answer)
        if order is AFTER_A_FAILURE:
            assert answer["found"] == "refused"


@pytest.mark.parametrize("room", [layers, losses, metrics], ids=lambda room: room.__name__)
def test_every_public_class_can_be_saved_by_name(room):
    """A new layer, loss or metric that nobody registers would load in its own process alone."""
    bases = {"SegmentationLoss", "ConfusionMetric"}
    for name, each in vars(room).items():
        if isinstance(each, type) and name not in bases:
            assert keras.saving.get_registered_object(f"keras_seg>{name}") is each


LOSSES = [
    *(loss(reduction="sum", name="own") for loss in losses.LOSSES.values()),
    losses.get("2*dice+0.5*focal"),
]
METRICS = [
    metrics.BoundaryF1(3, tolerance=0.01),
    metrics.ClassIoU(3, 1, ignore_class=None),
    metrics.SegmentationMetrics(2, scores=["mean_iou"], class_names=["a", "b"]),
    *(
        getattr(metrics, name)(4, from_logits=False)
        for name in (
            *("FrequencyWeightedIoU", "MeanClassAccuracy", "MeanDice", "MeanIoU"),
            "PixelAccuracy",
        )
    ),
]


@pytest.mark.parametrize("written", [*LOSSES, *METRICS], ids=lambda each: type(each).__name__)
def test_losses_and_metrics_come_back_from_json(written):
    text = json.dumps(keras.saving.serialize_keras_object(written))
    back = keras.saving.deserialize_keras_object(json.loads(text))
    assert type(back) is type(written)
    assert json.dumps(back.get_config()) == json.dumps(written.get_config())
