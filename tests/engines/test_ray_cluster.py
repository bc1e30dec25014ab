"""A Ray cluster of two machines, whose workers, machines and driver are killed."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.tiny_tflite import bilinear

os.environ.setdefault("RAY_raylet_start_wait_time_s", "180")  # a busy machine
ray = pytest.importorskip("ray", reason="needs the extra `ray`")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc"),
    pytest.mark.xdist_group("ray"),
]
IMAGES = 60
MARK = "KERAS_SEG_TEST_CLUSTER"
SECONDS = 240


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A network that enlarges its image, many images, and the masks of one machine."""
    folder = tmp_path_factory.mktemp("ray")
    (folder / "model.tflite").write_bytes(bilinear((32, 32), (64, 64), "half_pixel", 3, np.float32))
    (folder / "images").mkdir()
    random = np.random.default_rng(0)
    for number in range(IMAGES):
        blocks = random.integers(0, 256, (20, 30, 3)).astype(np.uint8)
        image = Image.fromarray(blocks).resize((300, 200))
        image.save(folder / "images" / f"{number:03d}.jpg")
    (folder / "images" / "broken.jpg").write_text("no image")
    done = predict(folder, "whole", "--threads", "1")
    done.wait()
    assert "broken.jpg" in done.stderr.read()
    return folder


@pytest.fixture
def cluster(monkeypatch, tmp_path_factory):
    """Two machines with one CPU each, as Ray simulates them."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv(MARK, str(time.time_ns()))
    folder = f"/tmp/ray-{os.getpid()}"  # the path of a socket is short
    monkeypatch.setenv("RAY_TMPDIR", folder)
    memory = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args={**memory, "include_dashboard": False})
    cluster.second = cluster.add_node(**memory)
    yield cluster
    cluster.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


def predict(folder, output, *options):
    """The command line as a process."""
    command = [sys.executable, "-m", "keras_seg", "predict", folder / "model.tflite"]
    command += [folder / "images", "--output", folder / output, "--sizing", "tile", *options]
    command += ["--scores", "logits", "--overlay"]
    return subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def on(cluster):
    return "--engine", "ray", "--address", cluster.address


def workers():
    """Process numbers of the workers of this cluster that are doing a task."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            title = (folder / "cmdline").read_bytes()
            mine = f"{MARK}={os.environ[MARK]}".encode() in (folder / "environ").read_bytes()
        except OSError:  # it has ended
            continue
        if mine and title.startswith(b"ray::Worker.do"):
            found.append(int(folder.name))
    return found


def finished_shards(folder, output):
    return len(list((folder / output / ".shards").glob("*.jsonl")))


def wait_until(condition):
    end = time.monotonic() + SECONDS
    while not (answer := condition()):
        assert time.monotonic() < end, "nothing happens"
        time.sleep(0.02)
    return answer


def files(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_killed_workers_and_a_lost_machine_change_nothing(data, cluster):
    run = predict(data, "killed", *on(cluster))
    for number in (1, 3):
        wait_until(lambda number=number: finished_shards(data, "killed") >= number)
        os.kill(wait_until(workers)[0], signal.SIGKILL)
    wait_until(lambda: finished_shards(data, "killed") >= 5)
    cluster.remove_node(cluster.second, allow_graceful=False)
    output, errors = run.communicate(timeout=SECONDS)
    assert f"{IMAGES} of {IMAGES + 1} predicted" in output, errors
    assert errors.count("broken.jpg cannot be read") == 1 and run.returncode == 1
    assert files(data / "killed") == files(data / "whole")


def test_a_killed_driver_resumes_after_the_finished_shards(data, cluster):
    run = predict(data, "resumed", *on(cluster))
    wait_until(lambda: finished_shards(data, "resumed") >= 3)
    run.kill()
    run.communicate()
    run = predict(data, "resumed", *on(cluster))
    output, errors = run.communicate(timeout=SECONDS)
    assert f"{IMAGES} of {IMAGES + 1} predicted, " in output and "of them before" in output, errors
    expected = files(data / "whole")
    written = files(data / "resumed")
    log = "predictions.jsonl"
    assert sorted(written.pop(log).splitlines()) == sorted(expected.pop(log).splitlines())
    assert written == expected
