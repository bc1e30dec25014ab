"""One side of `benchmarks.measure.predict`, in a process of its own.

    python predict_sides.py '{"side": "ours", "file": ..., "images": ..., "output": ...}'

"loop" imports ONNX Runtime, Pillow and NumPy alone. The others may import this package as it was
at an earlier commit.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.own_process import answer, forget_peak, peak_mib

EVALUATED_OF = 20
"""One image in so many is evaluated."""


def main(
    side: str, file: str, images: str, output: str, threads: int, workers: int | None = 0
) -> None:
    paths = sorted(Path(images).iterdir())
    if side in ("verify", "evaluate"):
        answer(whole_data_set(side, file, Path(images), threads))
        return
    if side == "alone":
        run = network_alone(Path(file), paths)
        answer(measured(run))
        return
    predict = loop(file, threads) if side == "loop" else ours(file, threads, workers)
    target = Path(output)
    predict(paths[:1], target)  # what the first image costs
    shutil.rmtree(target)
    forget_peak()
    predict(paths[: max(1, len(paths) // 4)], target)
    quarter = round(peak_mib())
    shutil.rmtree(target)
    forget_peak()
    answer(
        measured(lambda: predict(paths, target))
        | {"quarter_mib": quarter, "peak_mib": round(peak_mib())}
    )


def whole_data_set(side: str, file: str, folder: Path, threads: int) -> dict:
    """Evaluates or verifies a few images of a data set, then all of them, as training data."""
    from keras_seg import inference
    from keras_seg.data import FolderDataset
    from keras_seg.data.verify import verify_dataset

    if side == "verify":
        runs = [lambda name=name: verify_dataset(folder / name) for name in ("few", "all")]
        images = len(list((folder / "all" / "images").iterdir()))
    else:
        runner = inference.load(file, threads=threads)
        data = FolderDataset(folder / "all", "train")
        images = max(20, len(data) // EVALUATED_OF)
        runs = [
            lambda limit=limit: inference.evaluate(runner, data, limit=limit)
            for limit in (max(1, images // 10), images)
        ]
    runs[0]()
    few = round(peak_mib())
    return measured(runs[1]) | {"images": images, "few_mib": few, "peak_mib": round(peak_mib())}


def measured(run: Callable[[], object]) -> dict:
    """Wall and CPU seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def network_alone(file: Path, paths: list[Path]) -> Callable[[], object]:
    """Runs the network as its runtime does, on as many windows as the images have."""
    from keras_seg import inference
    from keras_seg.inference.sizing import scores_at_image_size

    runner = inference.load(file, threads=1)
    windows: list[np.ndarray] = []

    def note(parts: np.ndarray) -> np.ndarray:
        windows.extend(parts)
        return np.zeros((*parts.shape[:3], runner.num_classes), np.float32)

    for path in paths:
        scores_at_image_size(runner, runner.pixels_of(path)[None], "auto", run=note)
    if runner.format == "onnx":
        session = runner._session
        (image,) = session.get_inputs()
        dtype = np.uint8 if "uint8" in image.type else np.float32
        batch = windows[0][None].astype(dtype)
        return lambda: [session.run(None, {image.name: batch}) for _ in windows]
    runner.run(windows[0])
    return lambda: [runner._interpreter.invoke() for _ in windows]


def ours(file: str, threads: int, workers: int | None) -> Callable[[list[Path], Path], object]:
    """`predict_files` of this package; workers 0 for commits that do not know them."""
    from keras_seg import inference
    from keras_seg.inference.files.predict import predict_files

    runner = inference.load(file, threads=threads)
    words = {} if workers == 0 else {"workers": workers}
    return lambda paths, target: predict_files(runner, paths, target, **words)


def loop(file: str, threads: int) -> Callable[[list[Path], Path], object]:
    """Image after image, window after window, as a first version is written."""
    import onnxruntime
    from PIL import Image

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    (entry,) = session.get_inputs()
    channels_first = entry.shape[1] == 3
    side = entry.shape[2]
    offset = np.arange(side, dtype=np.float32) - (side - 1) / 2
    line = np.maximum(np.exp(-0.5 * (offset / (side / 8)) ** 2), 1e-3).astype(np.float32)
    weight = np.outer(line, line)[..., None]

    def starts(length: int) -> list[int]:
        steps = int(np.ceil((length - side) / (side / 2)))
        return np.linspace(0, length - side, steps + 1).round().astype(int).tolist()

    def mask_of(image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        gaps = ((0, max(0, side - height)), (0, max(0, side - width)), (0, 0))
        image = np.pad(image, gaps, mode="edge")
        total = weights = 0.0
        for top in starts(image.shape[0]):
            for left in starts(image.shape[1]):
                window = image[None, top : top + side, left : left + side].astype(np.float32)
                window = window.transpose(0, 3, 1, 2) if channels_first else window
                (scores,) = session.run(None, {entry.name: window})
                scores = scores.transpose(0, 2, 3, 1)[0] if channels_first else scores[0]
                exponent = np.exp(scores - scores.max(-1, keepdims=True))
                probabilities = exponent / exponent.sum(-1, keepdims=True)
                if not isinstance(total, np.ndarray):
                    total = np.zeros((*image.shape[:2], scores.shape[-1]), np.float32)
                    weights = np.zeros((*image.shape[:2], 1), np.float32)
                total[top : top + side, left : left + side] += weight * probabilities
                weights[top : top + side, left : left + side] += weight
        return (total / weights)[:height, :width].argmax(-1).astype(np.uint8)

    def predict(paths: list[Path], target: Path) -> None:
        target.mkdir(parents=True, exist_ok=True)
        for path in paths:
            mask = Image.fromarray(mask_of(np.asarray(Image.open(path).convert("RGB"))))
            mask.putpalette([0, 0, 0, 255, 255, 255])
            mask.save(target / f"{path.stem}_mask.png")

    return predict


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
