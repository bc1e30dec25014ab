"""The steps that `python -m tests.versions` runs in each environment, each in its own process.

    python -P tests/versions/steps.py networks FOLDER

Imports only what the wheel has installed. Each step prints its result as one line of JSON.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import time
from pathlib import Path

SHOWN = ("tensorflow", "keras", "numpy", "protobuf", "onnx")
SIZE = (64, 96)
CLASSES = 3
KINDS = {
    "tflite": {},
    "tflite fp16": {"quantize": "fp16"},
    "tflite dynamic": {"quantize": "dynamic"},
    "tflite int8": {"quantize": "int8", "input": "uint8", "head": "argmax"},
    "tflite int16x8": {"quantize": "int16x8"},
    "tflite mixed": {"quantize": "mixed"},
    "onnx": {},
    "onnx fp16": {"quantize": "fp16"},
    "onnx int8": {"quantize": "int8"},
}
"""Kind of file → options of `export`."""


def installed() -> dict:
    """Versions, seconds of `import keras_seg`, and whether that left TensorFlow alone."""
    start = time.perf_counter()
    import keras_seg

    seconds = time.perf_counter() - start
    lazy = "tensorflow" not in sys.modules and "keras" not in sys.modules
    assert Path(keras_seg.__file__).is_relative_to(sys.prefix), keras_seg.__file__
    for name in keras_seg.__all__:
        getattr(keras_seg, name)
    from keras_seg import cli

    assert cli.main(["models"]) == 0
    return {
        "python": ".".join(map(str, sys.version_info[:3])),
        "versions": {name: importlib.metadata.version(name) for name in SHOWN},
        "seconds": seconds,
        "lazy": lazy,
        "read_only": _is_read_only(Path(keras_seg.__file__).parent),
    }


def networks(folder: str, *names: str) -> dict[str, str]:
    """Builds, fits for one step, saves and loads each network: name → "" or what failed.

    Without names, all networks. Leaves `<name>.keras` in the folder, and its outputs in
    `<name>.npy`.
    """
    import keras
    import numpy as np

    from keras_seg import models, training
    from keras_seg.data import ClassTable

    images, masks = _batch()
    results = {}
    for name in names or models.list_models():
        try:
            keras.utils.set_random_seed(0)
            model = models.build(name, (None, None, 3), CLASSES, **models.find(name).tiny)
            options = training.output_losses(model, "cross_entropy+dice", num_classes=CLASSES)
            model.compile("adam", jit_compile=False, **options)  # XLA takes minutes to compile
            losses = model.fit(images, masks, batch_size=2, epochs=1, verbose=0).history["loss"]
            if not np.isfinite(losses).all():
                raise ValueError(f"the loss is {losses}")
            path = Path(folder, f"{name}.keras")
            models.save(model, path, models.ModelCard(ClassTable.numbered(CLASSES)))
            expected = _outputs(model, images)
            np.save(path.with_suffix(".npy"), expected)
            results[name] = _difference(_outputs(models.load(path), images), expected, 1e-6)
        except Exception as error:  # goes into the table
            results[name] = f"{type(error).__name__}: {error}"
    return results


def read(folder: str) -> dict[str, str]:
    """Reads the files that `networks` wrote elsewhere: name → "" or what is wrong."""
    import numpy as np

    from keras_seg import models

    images, _ = _batch()
    results = {}
    for path in sorted(Path(folder).glob("*.keras")):
        try:
            outputs = _outputs(models.load(path), images)
            results[path.stem] = _difference(outputs, np.load(path.with_suffix(".npy")), 1e-4)
        except Exception as error:
            results[path.stem] = f"{type(error).__name__}: {error}"
    return results


def demo(folder: str) -> dict[str, float]:
    """The demo with three passes over its images. File → validation mIoU."""
    from keras_seg.demo import run_demo

    assert run_demo(Path(folder), epochs=3), "the gate has refused a file"
    results = json.loads(Path(folder, "results.json").read_text())
    return {name: evaluation["miou"] for name, evaluation in results.items()}


def exports(model: str, data: str, folder: str) -> dict[str, str]:
    """Exports a trained model to every kind of file, with the gate: kind → "" or what failed.

    `data` holds the images, because the built-in ones differ by a grey value between versions of
    NumPy. Leaves `<kind>.tflite` or `.onnx`, and the class maps of validation images in
    `<kind>.npy`.
    """
    import numpy as np

    from keras_seg import export, inference

    train_set, val_set, results = _drawn(data, "train"), _drawn(data, "val"), {}
    Path(folder).mkdir(exist_ok=True)
    for kind, options in KINDS.items():
        path = Path(folder, f"{kind.replace(' ', '_')}.{kind.split()[0]}")
        try:
            export.export(
                model,
                path,
                calibration=train_set,
                evaluation=val_set,
                input_shape=(128, 128, 3),
                max_drop=3,  # of a model that was trained for a minute
                **options,
            )
            runner = inference.load(path)
            maps = [inference.predict(runner, sample.image) for sample in val_set]
            np.save(path.with_suffix(".npy"), np.stack(maps))
            results[kind] = ""
        except Exception as error:
            results[kind] = f"{type(error).__name__}: {error}"
    return results


def float_files(folder: str) -> dict[str, str]:
    """Exports the U-Net of `networks`; each file must name the classes of the model."""
    import numpy as np

    from keras_seg import export, inference

    images, _ = _batch()
    expected = inference.load(Path(folder, "unet.keras")).predict(images)
    problems = {}
    for suffix in ("tflite", "onnx"):
        path = Path(folder, f"unet.{suffix}")
        export.export(Path(folder, "unet.keras"), path, input_shape=(*SIZE, 3))
        runner = inference.load(path)
        maps = np.stack([inference.predict(runner, image) for image in images])
        problems[suffix] = "" if np.array_equal(maps, expected) else "other classes"
    return problems


def maps(data: str, folder: str) -> dict[str, float]:
    """Runs exported files of another environment: file → share of pixels with another class."""
    import numpy as np

    from keras_seg import inference

    val_set, results = _drawn(data, "val"), {}
    for path in sorted([*Path(folder).glob("*.tflite"), *Path(folder).glob("*.onnx")]):
        runner = inference.load(path)
        here = np.stack([inference.predict(runner, sample.image) for sample in val_set])
        results[path.name] = float(np.mean(here != np.load(path.with_suffix(".npy"))))
    return results


def gate(model: str, data: str, folder: str) -> dict[str, str]:
    """The gate refuses a converted file with other weights and keeps the former file."""
    from keras_seg import export
    from keras_seg.export.tflite import convert

    val_set = _drawn(data, "val")
    graph, results = convert.tflite_graph, {}

    def scrambled(network, *arguments):
        last = network.layers[-1] if network.layers[-1].weights else None
        layer = last or next(each for each in reversed(network.layers) if each.weights)
        layer.set_weights([-value for value in layer.get_weights()])
        return graph(network, *arguments)

    convert.tflite_graph = scrambled
    path = Path(folder, "model.tflite")
    path.write_bytes(b"the file of yesterday")
    try:
        export.export(model, path, evaluation=val_set, input_shape=(128, 128, 3))
        results["gate"] = "a file of another network passed"
    except export.GateError:
        kept = path.read_bytes() == b"the file of yesterday"
        results["gate"] = "" if kept else "the former file is gone"
    return results


def _drawn(path: str, split: str):
    """The crops of a split that `python -m tests.versions` has drawn."""
    import numpy as np

    from keras_seg.data import BuiltinDataset, Sample, SegmentationDataset

    with np.load(path) as drawn:
        images, masks = drawn[f"{split}_images"], drawn[f"{split}_masks"]

    class Nuclei(SegmentationDataset):
        classes, channels, name = BuiltinDataset("nuclei").classes, 3, "nuclei"

        def __len__(self):
            return len(images)

        def __getitem__(self, index):
            if not 0 <= index < len(images):
                raise IndexError(index)
            return Sample(f"{split}{index}", images[index], masks[index])

    Nuclei.split = split
    return Nuclei()


def _batch():
    import numpy as np

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, *SIZE, 3)).astype("float32")
    return images, (images[..., 0] // 86).astype("int32")


def _outputs(model, images):
    """All outputs in one vector.

    Raises: ValueError for a single output in a list, which some versions of Keras make of a tensor.
    """
    import keras
    import numpy as np

    outputs = model(images, training=False)
    if isinstance(outputs, list):
        raise ValueError("the output is a list")
    outputs = keras.tree.flatten(outputs)
    return np.concatenate([keras.ops.convert_to_numpy(output).ravel() for output in outputs])


def _difference(outputs, expected, allowed: float) -> str:
    import numpy as np

    worst = np.abs(outputs - expected).max() / np.abs(expected).max()
    return "" if worst <= allowed else f"outputs differ by {worst:.1e} of the largest"


def _is_read_only(folder: Path) -> bool:
    try:
        folder.with_name("written").touch()
        return False
    except OSError:
        return True


STEPS = (installed, networks, read, demo, exports, float_files, maps, gate)

if __name__ == "__main__":
    (step,) = [each for each in STEPS if each.__name__ == sys.argv[1]]
    result = json.dumps(step(*sys.argv[2:]))
    sys.stdout.write(f"\nRESULT {result}\n")
