"""Several images at the same time: the same files and scores as one after the other."""

import itertools
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_seg import inference
from keras_seg.data.dataset import Sample
from keras_seg.inference.files.options import OutputOptions
from keras_seg.inference.files.predict import predict_files
from keras_seg.inference.files.resume import LOG_NAME, PredictionLog
from keras_seg.inference.runner_pool import SHARED_PIXELS, RunnerPool
from keras_seg.inference.scores import to_probabilities
from keras_seg.inference.tiles import tiled_probabilities
from keras_seg.parallel import AHEAD, Places, in_order
from tests.helpers.shapes import Shapes
from tests.helpers.stub_runner import Stub, darkness

EARLIER = Path(__file__).parents[1] / "conformance" / "files_of_0_1"


class Copied(Stub):
    """A network that sees windows and runs in any number of threads; waits differ by image."""

    def __init__(self, side=8):
        super().__init__(None, shape=(side, side, 3))
        self.threads, self.running, self.most = 4, 0, [0]
        self._forward = self._slow
        self.lock = threading.Lock()

    def copies(self, count):
        return [self] * count

    def _slow(self, images):
        with self.lock:
            self.running += 1
            self.most[0] = max(self.most[0], self.running)
        time.sleep(0.001 * (int(images.sum()) % 3))
        with self.lock:
            self.running -= 1
        return darkness(images)


@pytest.fixture
def pictures(tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(9):
        image = rng.integers(0, 256, (10 + i % 3, 14, 3)).astype(np.uint8)
        Image.fromarray(image).save(folder / f"{i}.png")
    (folder / "5.png").write_text("no image")
    return folder


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("outputs", [OutputOptions(), OutputOptions(True, True, polygons="coco")])
def test_files_log_and_failures_do_not_depend_on_the_number_of_workers(pictures, tmp_path, outputs):
    results = {}
    for workers in (1, 3, None):
        runner, folder = Copied(), tmp_path / str(workers)
        result = predict_files(runner, [pictures], folder, outputs=outputs, workers=workers)
        assert result.done == 8 and "5.png" in result.failed[0] and len(result.failed) == 1
        assert (runner.most[0] > 1) == (workers != 1)
        results[workers] = content(folder)
    assert results[1] == results[3] == results[None]
    assert not [name for name in results[1] if name.startswith(".")]


def test_an_error_that_stops_leaves_no_half_files_and_the_next_run_completes(pictures, tmp_path):
    def fail(images):
        if threading.current_thread().name.endswith("_1"):
            raise RuntimeError("broken")
        return darkness(images)

    runner, folder = Copied(), tmp_path / "out"
    runner._forward = fail
    with pytest.raises(RuntimeError, match="broken"):
        predict_files(runner, [pictures], folder, workers=3)
    names = {path.name for path in folder.iterdir()}
    logged = (folder / LOG_NAME).read_text() if LOG_NAME in names else ""
    assert all(name in logged for name in names - {LOG_NAME})
    assert predict_files(Copied(), [pictures], folder, workers=3).failed[0].count("5.png")
    predict_files(Copied(), [pictures], tmp_path / "whole", workers=1)
    masks, whole = (sorted(each.glob("*.png")) for each in (folder, tmp_path / "whole"))
    assert [path.read_bytes() for path in masks] == [path.read_bytes() for path in whole]


@pytest.mark.parametrize("workers", [0, -1, 1.5, True, "2"])
def test_other_numbers_of_workers_are_refused(pictures, tmp_path, workers):
    with pytest.raises(ValueError, match="workers is the number of images"):
        predict_files(Stub(darkness), [pictures], tmp_path / "out", workers=workers)
    with pytest.raises(ValueError, match="workers is the number of images"):
        inference.evaluate(Stub(darkness), Shapes(), workers=workers)


def test_scores_do_not_depend_on_the_number_of_workers():
    data = Shapes("val", 30, (40, 36))
    results = [inference.evaluate(Copied(32), data, workers=workers) for workers in (1, 2, 5)]
    for result in results:
        assert result.images == 30 and result.miou == results[0].miou
        np.testing.assert_array_equal(result.confusion, results[0].confusion)


def test_networks_are_compared_window_by_window_in_all_threads():
    brighter = Copied(32)
    brighter._forward = lambda images: darkness(images) + np.float32(0.25)
    result = inference.compare(
        {"a": Copied(32), "b": brighter}, Shapes("val", 24, (40, 36)), workers=3
    )
    assert result.agreement == {"b": 1.0}
    assert result.largest_difference["b"] == pytest.approx(0.25, rel=1e-3)


def test_the_first_error_is_raised_whichever_thread_ends_first():
    class Broken(Shapes):
        def __getitem__(self, index):
            sample = super().__getitem__(index)
            if index in (22, 24):
                return Sample(f"bad{index}", sample.image, sample.mask + 90)
            return sample

    with pytest.raises(ValueError, match="bad22"):
        inference.evaluate(Copied(32), Broken("val", 26, (40, 36)), workers=3)


def test_copies_of_exported_files_give_the_same_scores():
    runner = inference.load(EARLIER / "float.tflite", threads=2)
    first, second = runner.copies(2)
    assert (first.threads, second.threads) == (1, 1)
    assert first._interpreter is not second._interpreter
    image = np.random.default_rng(0).integers(0, 256, runner.input_shape).astype(np.uint8)
    for each in (first, second):
        np.testing.assert_array_equal(each.run(image), runner.run(image))
    assert runner.copies(1) == [runner]


def test_a_large_image_runs_alone_and_a_keras_model_one_by_one():
    pool = RunnerPool(Copied(), 3, images=10)
    assert pool.count == 3 and RunnerPool(Copied(), 8, images=2).count == 2
    assert not pool.needs_all((1024, SHARED_PIXELS // 1024, 3))
    assert pool.needs_all((4096, 2048, 3))
    assert RunnerPool(Stub(darkness), 3, images=10).count == 1
    events = []

    def work(alone):
        with pool.taken(alone=alone):
            events.append(("+", alone))
            time.sleep(0.002)
            events.append(("-", alone))

    threads = [threading.Thread(target=work, args=(i % 3 == 0,)) for i in range(9)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    for before, after in itertools.pairwise(events):
        assert before != ("+", True) or after == ("-", True)


def test_results_come_in_order_and_a_limited_number_waits():
    taken, unused = [], []

    def items():
        for i in range(50):
            taken.append(i)
            yield i

    results = in_order(lambda i: i, items(), 2, unused=unused.append)
    assert [next(results).result() for _ in range(5)] == [0, 1, 2, 3, 4]
    assert len(taken) <= 5 + 2 * AHEAD
    results.close()
    assert unused == sorted(unused) and set(unused) <= set(taken[5:])
    with Places(2).taken(alone=True):
        pass


@pytest.mark.parametrize("classes", [1, 2, 3, 7, 8, 21])
def test_softmax_of_few_classes_is_that_of_many_to_the_last_bit(classes):
    scores = np.random.default_rng(0).normal(0, 5, (2, 33, 21, classes)).astype(np.float32)
    exponent = np.exp(scores - scores.max(-1, keepdims=True))
    expected = exponent / exponent.sum(-1, keepdims=True)
    if classes == 1:
        expected = 1 / (1 + np.exp(-scores))
    np.testing.assert_array_equal(to_probabilities(scores, "logits", classes), expected)


@pytest.mark.parametrize("classes", [2, 9])
def test_blended_windows_equal_their_definition_to_the_last_bit(classes):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 21, 30, 3)).astype(np.uint8)
    kernel = rng.normal(size=(3, classes)).astype(np.float32)

    def run(parts):
        return np.stack([part.astype(np.float32) @ kernel / 50 for part in parts])

    blended = tiled_probabilities(run, images, (8, 8), "logits", classes, at_once=3)
    offset = np.arange(8, dtype=np.float32) - 3.5
    line = np.maximum(np.exp(-0.5 * (offset / 1.0) ** 2), 1e-3).astype(np.float32)
    weight = np.outer(line, line)[..., None]
    total, weights = np.zeros((2, 21, 30, classes), np.float32), np.zeros((21, 30, 1), np.float32)
    tops = np.linspace(0, 13, 5).round().astype(int)
    lefts = np.linspace(0, 22, 7).round().astype(int)
    for i in range(2):
        for top in tops:
            for left in lefts:
                place = np.s_[top : top + 8, left : left + 8]
                scores = run(images[i : i + 1][:, *place])[0]
                total[i][place] += weight * to_probabilities(scores, "logits", classes)
                if i == 0:
                    weights[place] += weight
    np.testing.assert_array_equal(blended, total / weights)


def test_the_log_completes_a_cut_line_once(pictures, tmp_path):
    predict_files(Stub(darkness), [pictures / "0.png"], tmp_path)
    log = tmp_path / LOG_NAME
    log.write_text(log.read_text()[:-20])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        predict_files(Stub(darkness), [pictures / "1.png", pictures / "2.png"], tmp_path)
    lines = log.read_text().splitlines()
    assert len(lines) == 3 and len(PredictionLog(tmp_path, {}).result_files()) == 2
