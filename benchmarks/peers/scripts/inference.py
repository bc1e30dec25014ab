"""Times single runs of one network in one runtime, for `benchmarks.peers`.

A run for scores starts with the array that the runtime takes, a run for classes with the bytes of a
photo.
"""

import json
import sys
import time
from pathlib import Path

began = time.perf_counter()

import numpy as np  # noqa: E402
from serve import peak_mib, serve  # noqa: E402

words = json.loads(sys.argv[1])
threads, state = words["threads"], {}
folder = Path(words["folder"])


def photos():
    return np.load(folder / f"images-{words['size']}.npy")[: words["batch"]]


def pixels(channels_first):
    return as_floats(photos(), channels_first)


def as_floats(images, channels_first):
    images = images.transpose(0, 3, 1, 2) if channels_first else images
    return np.ascontiguousarray(images, np.float32)


def as_classes(found, axis):
    """Of scores or of classes of any type; (1, H, W)."""
    found = found if found.ndim == 3 else found.argmax(axis)
    return found.astype(np.uint8, copy=False)


def torch_eager():
    import torch
    from smp_models import stored

    torch.set_num_threads(threads)
    imported = time.perf_counter()
    order = torch.channels_last if words["channels_last"] else torch.contiguous_format
    model = stored(folder / "weights.safetensors", **words["network"]).to(memory_format=order)
    if words["classes"]:
        photo = photos()

        def classes():
            with torch.inference_mode():
                image = torch.from_numpy(photo).permute(0, 3, 1, 2).float()
                return model(image.contiguous(memory_format=order)).argmax(1).to(torch.uint8)

        return imported, classes, lambda found: found.numpy()
    image = torch.from_numpy(pixels(True)).to(memory_format=order)

    def run():
        with torch.inference_mode():
            return model(image)

    return imported, run, lambda scores: scores.permute(0, 2, 3, 1).numpy()


def onnx():
    import onnxruntime

    imported = time.perf_counter()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(words["spinning"])))
    session = onnxruntime.InferenceSession(
        words["path"], options, providers=["CPUExecutionProvider"]
    )
    first = session.get_inputs()[0]
    channels_first = first.shape[1] == 3
    if words["classes"]:
        photo = photos()

        def classes():
            image = photo if "uint8" in first.type else as_floats(photo, channels_first)
            return as_classes(session.run(None, {first.name: image})[0], 1)

        return imported, classes, np.asarray
    parts = in_parts(pixels(channels_first), first.shape[0])

    def run():
        return [session.run(None, {first.name: part})[0] for part in parts]

    return imported, run, lambda found: to_nhwc(np.concatenate(found), channels_first)


def openvino():
    import openvino as ov

    imported = time.perf_counter()
    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    model = ov.Core().compile_model(
        words["path"], "CPU", settings | {"INFERENCE_PRECISION_HINT": "f32"}
    )
    request, image = model.create_infer_request(), pixels(True)
    if words["classes"]:
        photo = photos()

        def classes():
            found = request.infer({0: as_floats(photo, True)}, share_inputs=True)[0]
            return as_classes(found, 1)

        return imported, classes, np.asarray

    def run():
        return request.infer({0: image}, share_inputs=True)[0]

    return imported, run, lambda scores: to_nhwc(scores, True)


def litert():
    from ai_edge_litert.interpreter import Interpreter

    imported = time.perf_counter()
    model = Interpreter(words["path"], num_threads=threads)
    model.allocate_tensors()
    entry, exit_ = model.get_input_details()[0], model.get_output_details()[0]
    if words["classes"]:
        photo, entered = photos(), _entering(entry)

        def classes():
            model.set_tensor(entry["index"], entered(photo))
            model.invoke()
            return as_classes(model.get_tensor(exit_["index"]), -1)

        return imported, classes, np.asarray
    parts = in_parts(pixels(False), 1)
    if entry["dtype"] != np.float32:
        scale, zero = entry["quantization"]
        parts = [np.clip(np.round(p / scale) + zero, -128, 127).astype("int8") for p in parts]

    def run():
        found = []
        for part in parts:
            model.set_tensor(entry["index"], part)
            model.invoke()
            found.append(model.get_tensor(exit_["index"]))
        return found

    def to_numpy(found):
        scores = np.concatenate(found)
        if exit_["dtype"] != np.float32:
            scale, zero = exit_["quantization"]
            scores = (scores.astype(np.float32) - zero) * np.float32(scale)
        return scores

    return imported, run, to_numpy


def _entering(entry):
    """Photo → input of a LiteRT file, by the fastest operations of NumPy."""
    kind, (scale, zero) = np.dtype(entry["dtype"]), entry["quantization"]
    if kind != np.int8:
        return lambda photo: photo.astype(kind, copy=False)
    if (scale, zero) == (1, -128):
        return lambda photo: (photo ^ np.uint8(128)).view(np.int8)
    steps = np.clip(np.round(np.arange(256) / scale) + zero, -128, 127).astype(np.int8)
    return steps.take


def keras():
    import tensorflow as tf

    from keras_seg import models

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    imported = time.perf_counter()
    model, image = models.load(words["path"]), pixels(False)
    model.compile(jit_compile=words["jit"])
    return imported, lambda: model.predict_on_batch(image), np.asarray


def in_parts(images, batch):
    return [images[i : i + batch] for i in range(0, len(images), batch)]


def to_nhwc(scores, channels_first):
    return scores.transpose(0, 2, 3, 1) if channels_first else scores


def prepare():
    """Loads, runs twice, and compares the scores with the reference."""
    imported, run, to_numpy = globals()[words["kind"]]()
    loaded = time.perf_counter()
    found = to_numpy(run())
    first = time.perf_counter()
    run()
    state["run"] = run
    expected = np.load(folder / f"reference-{words['size']}-{words['batch']}.npy")
    facts = {
        "import_s": round(imported - began, 2),
        "load_s": round(loaded - imported, 2),
        "first_run_s": round(first - loaded, 2),
    }
    if words["classes"]:
        return facts | {"agreement": float((found == expected.argmax(-1)).mean())}
    return facts | {
        "difference": float(np.abs(found - expected).max() / np.abs(expected).max()),
        "agreement": float((found.argmax(-1) == expected.argmax(-1)).mean()),
    }


def sample():
    start = time.perf_counter()
    state["run"]()
    return {"ms": 1e3 * (time.perf_counter() - start)}


def peak():
    return {"peak_mib": round(peak_mib())}


if __name__ == "__main__":
    serve({"prepare": prepare, "sample": sample, "peak": peak})
