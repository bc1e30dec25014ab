"""Predictions in shards, and from and to object stores, equal those of local files."""

import json
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from keras_seg import engines, inference
from keras_seg.data.verify import to_dict, verify_dataset
from keras_seg.data.verify.reading import ReadingJob
from keras_seg.engines.local import LocalEngine
from keras_seg.inference.evaluation_job import EvaluationJob
from keras_seg.inference.files import predict_on as predict_on_module
from keras_seg.inference.files.inputs import Input
from keras_seg.inference.files.options import OutputOptions, PredictionOptions
from keras_seg.inference.files.predict import predict_files
from keras_seg.inference.files.predict_on import predict_anywhere, predict_on, shards_of
from keras_seg.inference.files.resume import LOG_NAME
from keras_seg.inference.network_copy import NetworkCopy, check_can_be_copied
from keras_seg.storage import RemotePath
from tests.helpers.stub_runner import Stub, darkness

fsspec = pytest.importorskip("fsspec", reason="needs the extra `cloud`")


@pytest.fixture
def folder(tmp_path):
    """Seven small images, two of one stem and one in a subfolder; one file is damaged."""
    (tmp_path / "in" / "sub").mkdir(parents=True)
    random = np.random.default_rng(0)
    for name in ("a.png", "a.bmp", "b.png", "c.png", "sub/a.png", "sub/d.png"):
        pixels = random.integers(0, 256, (6, 8, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "in" / name)
    (tmp_path / "in" / "broken.png").write_text("no image")
    return tmp_path / "in"


@pytest.fixture
def store():
    """An empty object store in memory, and the function that copies a folder there."""
    system = fsspec.filesystem("memory")
    system.rm("/bucket", recursive=True) if system.exists("/bucket") else None
    return system


def upload(store, folder, name):
    for path in folder.rglob("*"):
        if path.is_file():
            store.pipe_file(f"/bucket/{name}/{path.relative_to(folder)}", path.read_bytes())
    return f"memory://bucket/{name}"


def local_files(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def stored_files(store, name):
    root = f"/bucket/{name}/"
    return {key.removeprefix(root): store.cat_file(key) for key in store.find(root)}


def in_shards(runner, inputs, output, options=None, **words):
    return predict_on(
        LocalEngine(), runner, inputs, output, options or PredictionOptions(), **words
    )


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(predict_on_module, "LARGEST_SHARD", 2)
    monkeypatch.setattr(predict_on_module, "SHARDS_PER_WORKER", 1)


@pytest.mark.usefixtures("small_shards")
class TestShards:
    def test_files_and_log_are_those_of_one_run(self, folder, tmp_path):
        outputs = OutputOptions(overlay=True, polygons="coco")
        whole = predict_files(Stub(darkness), [folder], tmp_path / "whole", outputs=outputs)
        options = PredictionOptions(outputs=outputs)
        parts = in_shards(Stub(darkness), [folder], tmp_path / "parts", options)
        assert parts == whole and whole.done == 6
        assert local_files(tmp_path / "parts") == local_files(tmp_path / "whole")

    def test_a_stopped_run_resumes_after_its_finished_shards(self, folder, tmp_path, monkeypatch):
        class Stopping(LocalEngine):
            def run(self, job, tasks):
                yield from super().run(job, tasks[:2])
                raise KeyboardInterrupt

        options, out = PredictionOptions(), tmp_path / "out"
        with pytest.raises(KeyboardInterrupt):
            predict_on(Stopping(), Stub(darkness), [folder], out, options)
        assert not (out / ".shards").exists()
        result = in_shards(Stub(darkness), [folder], out)
        assert (result.done, result.skipped, len(result.failed)) == (3, 3, 1)
        predict_files(Stub(darkness), [folder], tmp_path / "whole")
        assert local_files(out) == local_files(tmp_path / "whole")

    def test_a_killed_driver_leaves_finished_shards_that_count(self, folder, tmp_path, monkeypatch):
        out = tmp_path / "out"
        monkeypatch.setattr(predict_on_module.ShardLog, "finish", lambda log: None)
        in_shards(Stub(darkness), [folder], out)
        assert not (out / LOG_NAME).exists() and len(list((out / ".shards").iterdir())) == 4
        (out / ".shards" / "draft_of_a_dead_worker").mkdir()
        monkeypatch.undo()
        result = in_shards(Stub(darkness), [folder], out)
        assert (result.done, result.skipped) == (0, 6)
        predict_files(Stub(darkness), [folder], tmp_path / "whole")
        assert local_files(out) == local_files(tmp_path / "whole")
        assert not (out / ".shards").exists()
        assert predict_files(Stub(darkness), [folder], out).skipped == 6

    def test_names_continue_those_of_an_earlier_run(self, folder, tmp_path):
        predict_files(Stub(darkness), [folder / "a.png"], tmp_path / "out")
        in_shards(Stub(darkness), [folder], tmp_path / "out")
        records = (tmp_path / "out" / LOG_NAME).read_text().splitlines()
        names = {json.loads(line)["source"]: json.loads(line)["name"] for line in records}
        assert names[str(folder / "a.png")] == "a" and names[str(folder / "a.bmp")] == "a_2"

    def test_a_second_run_in_the_same_folder_is_refused(self, folder, tmp_path):
        class Meanwhile(LocalEngine):
            def run(self, job, tasks):
                in_shards(Stub(darkness), [folder], tmp_path / "out")
                yield

        with pytest.raises(BlockingIOError, match="in use by another process. Wait until that"):
            predict_on(Meanwhile(), Stub(darkness), [folder], tmp_path / "out", PredictionOptions())

    def test_a_shard_whose_workers_die_names_each_input(self, folder, tmp_path):
        class Dying(LocalEngine):
            def run(self, job, tasks):
                for task in tasks:
                    yield from (job.lost(piece, "It died.") for piece in job.split(task))

        result = predict_on(
            Dying(), Stub(darkness), [folder], tmp_path / "out", PredictionOptions()
        )
        assert result.done == 0 and result.failed[0] == f"{folder / 'a.bmp'}: It died."
        assert len(result.failed) == 7 and not local_files(tmp_path / "out")

    def test_each_video_is_a_shard(self):
        kinds = ["image"] * 3 + ["video"] * 2 + ["image"]
        inputs = [Input(kind, None, str(number)) for number, kind in enumerate(kinds)]
        assert [len(shard.inputs) for shard in shards_of(inputs, 1)] == [2, 1, 1, 1, 1]


class TestObjectStores:
    def test_folders_of_a_store_equal_local_ones(self, folder, tmp_path, store):
        whole = predict_files(Stub(darkness), [folder], tmp_path / "out")
        photos = upload(store, folder, "photos")
        result = predict_anywhere(
            Stub(darkness), [photos], "memory://bucket/masks", PredictionOptions()
        )
        assert (result.done, result.skipped) == (whole.done, whole.skipped)
        assert [each.replace(photos, str(folder)) for each in result.failed] == whole.failed
        written, expected = stored_files(store, "masks"), local_files(tmp_path / "out")
        assert written.keys() == expected.keys()
        assert {name for name in written if written[name] != expected[name]} == {LOG_NAME}
        sources = [json.loads(line)["source"] for line in written[LOG_NAME].splitlines()]
        assert sources[0] == f"{photos}/a.bmp"
        again = predict_anywhere(
            Stub(darkness), [photos], "memory://bucket/masks", PredictionOptions()
        )
        assert (again.done, again.skipped) == (0, 6)
        store.pipe_file("/bucket/photos/b.png", (folder / "c.png").read_bytes())
        store.rm("/bucket/masks/c_mask.png")
        changed = predict_anywhere(
            Stub(darkness), [photos], "memory://bucket/masks", PredictionOptions()
        )
        assert (changed.done, changed.skipped) == (2, 4)
        assert stored_files(store, "masks")["b_mask.png"] == expected["c_mask.png"]

    def test_patterns_single_files_and_a_mix_with_local_ones(self, folder, tmp_path, store):
        photos = upload(store, folder, "photos")
        inputs = [f"{photos}/sub/*.png", f"{photos}/b.png", folder / "c.png"]
        result = inference.predict(Stub(darkness), inputs, output=tmp_path / "out")
        assert result.done == 4 and not result.failed
        predict_files(Stub(darkness), [folder / "b.png"], tmp_path / "b")
        assert (tmp_path / "out" / "b_mask.png").read_bytes() == (
            tmp_path / "b" / "b_mask.png"
        ).read_bytes()

    def test_a_world_file_comes_with_its_image(self, tmp_path, store):
        (tmp_path / "in").mkdir()
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "in" / "a.tif")
        (tmp_path / "in" / "a.tfw").write_text("1\n0\n0\n-1\n10\n20\n")
        photos = upload(store, tmp_path / "in", "maps")
        inference.predict(Stub(darkness), photos, output=tmp_path / "out")
        assert (tmp_path / "out" / "a_mask.tif").exists()

    def test_what_is_missing_or_no_image_is_refused(self, folder, tmp_path, store):
        upload(store, folder, "data/images")
        store.pipe_file("/bucket/data/masks/a.png", b"")
        store.pipe_file("/bucket/texts/a.txt", b"")
        for name, message in {
            "none": r"There is no file or folder memory://bucket/none\.",
            "texts": "memory://bucket/texts holds no images",
            "data/*.gif": "No file matches 'memory://bucket/data/.*gif'",
            "data": "is a data set: .* Pass the images: memory://bucket/data/images",
        }.items():
            with pytest.raises((ValueError, FileNotFoundError), match=message):
                inference.predict(
                    Stub(darkness), f"memory://bucket/{name}", output=tmp_path / "out"
                )

    def test_coco_and_cameras_are_refused(self, folder, store):
        coco = PredictionOptions(outputs=OutputOptions(polygons="coco"))
        with pytest.raises(ValueError, match="Choose polygons geojson"):
            predict_anywhere(Stub(darkness), [folder], "memory://bucket/masks", coco)
        with pytest.raises(ValueError, match="A camera belongs to one machine"):
            predict_anywhere(
                Stub(darkness), ["camera:0"], "memory://bucket/masks", PredictionOptions()
            )

    def test_the_package_of_a_store_is_named(self, monkeypatch):
        monkeypatch.setitem(__import__("sys").modules, "s3fs", None)
        with pytest.raises(ImportError, match=r"Install it: pip install fsspec s3fs\.$"):
            RemotePath("s3://bucket/a.png").exists()
        with pytest.raises(ValueError, match="floppy:// is not a known kind of storage"):
            RemotePath("floppy://a").exists()

    def test_errors_of_a_store_name_the_file(self, monkeypatch, store):
        def refuse(*arguments, **words):
            raise RuntimeError("no credentials")

        monkeypatch.setattr(type(store), "cat_file", refuse)
        with pytest.raises(OSError, match=r"memory://b/a cannot be reached: RuntimeError: no cred"):
            RemotePath("memory://b/a").read_text()


class TestPaths:
    def test_remote_paths_are_named_as_local_ones(self):
        path = RemotePath("s3://bucket/day 1/a.b.tif")
        assert (path.name, path.stem, path.suffix) == ("a.b.tif", "a.b", ".tif")
        assert str(path.with_suffix(".tfw")) == "s3://bucket/day 1/a.b.tfw"
        assert path.is_relative_to(RemotePath("s3://bucket/day 1/"))
        assert not path.is_relative_to(RemotePath("s3://bucket/day"))
        assert str(path.relative_to(RemotePath("s3://bucket"))) == "day 1/a.b.tif"
        assert sorted([RemotePath("s3://b/a.png"), RemotePath("s3://b/a/c")])[0].name == "c"

    def test_pickled_networks_hold_their_files(self, tmp_path):
        runner = Stub(darkness)
        with pytest.raises(ValueError, match="Received: a model in memory. Save it"):
            check_can_be_copied(runner)
        (tmp_path / "model.tflite").write_bytes(b"content")
        runner.files, runner.reopen = (tmp_path / "model.tflite",), _opened
        copy = pickle.loads(pickle.dumps(NetworkCopy(runner)))
        (tmp_path / "model.tflite").unlink()
        opened = copy.open(3)
        assert opened.threads == 3 and opened.card == runner.card
        assert opened.files[0].read_bytes() == b"content"
        assert NetworkCopy(runner).open(None) is runner


def _opened(paths, threads):
    runner = Stub(darkness)
    runner.files, runner.threads = tuple(paths), threads
    return runner


class TestRefusals:
    def test_an_engine_needs_an_output_and_paths(self, tmp_path):
        with pytest.raises(ValueError, match='Give their folder: output="masks"'):
            inference.predict(Stub(darkness), "a.png", engine="ray")
        with pytest.raises(ValueError, match="Received: ndarray. Leave output out"):
            inference.predict(Stub(darkness), np.zeros((4, 4, 3), np.uint8), output=tmp_path)
        with pytest.raises(ValueError, match="Unknown engine 'spark'"):
            inference.predict(Stub(darkness), "a.png", output=tmp_path, engine="spark")


class Split(LocalEngine):
    """Workers of another process, as far as pickling goes, whose results come in any order."""

    def run(self, job, tasks):
        job = pickle.loads(pickle.dumps(job))
        yield from reversed(list(super().run(job, tasks)))


class TestEvaluation:
    @pytest.mark.parametrize("objects", [None, inference.InstanceOptions()])
    def test_scores_are_those_of_one_process(self, tmp_path, monkeypatch, objects):
        random = np.random.default_rng(0)
        images = random.integers(0, 256, (20, 8, 8, 3)).astype(np.uint8)
        data = images, random.integers(0, 3, (20, 8, 8)).astype(np.uint8)
        (tmp_path / "model.tflite").write_bytes(b"content")
        runner = Stub(darkness)
        whole = inference.evaluate(runner, data, instances=objects, limit=17)
        with pytest.raises(ValueError, match="Received: a model in memory"):
            inference.evaluate(runner, data, engine="ray")
        runner.path = tmp_path / "model.tflite"
        runner.files, runner.reopen = (runner.path,), _opened
        monkeypatch.setitem(engines.ENGINES, "ray", f"{__name__}:Split")
        parts = inference.evaluate(runner, data, instances=objects, limit=17, engine="ray")
        assert parts.images == 17 and parts.confusion.tolist() == whole.confusion.tolist()
        assert parts.instance_precision == whole.instance_precision
        assert (parts.miou, parts.instance_ap) == (whole.miou, whole.instance_ap)

    def test_an_image_that_ends_workers_ends_the_measurement(self):
        job = EvaluationJob(None, SimpleNamespace(name="cells"))
        assert job.split((3, 4)) == [(3,), (4,)]
        with pytest.raises(RuntimeError, match=r"'cells'\[3\] cannot be measured\. It died\."):
            job.lost((3,), "It died.")


def test_verification_reads_the_same_on_an_engine(monkeypatch, shapes_folder):
    monkeypatch.setitem(engines.ENGINES, "ray", f"{__name__}:Split")
    next((shapes_folder / "images").rglob("*.png")).write_text("no image")
    whole = verify_dataset(str(shapes_folder))
    parts = verify_dataset(str(shapes_folder), engine="ray")
    assert whole.errors and to_dict(parts) == to_dict(whole)
    assert ReadingJob(None, "train").split((1, 2)) == [(1,), (2,)]
    dataset = SimpleNamespace(name="cells")
    _, (problem,) = ReadingJob(dataset, "train").lost((3,), "It died.")
    assert problem.message == "'cells'[3]: It died."
