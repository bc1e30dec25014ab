"""Prediction from and to S3, by moto's server on this machine. `pytest -m toolchains`."""

import numpy as np
import pytest
from PIL import Image

from keras_seg import inference
from keras_seg.inference.files.resume import LOG_NAME
from keras_seg.storage import RemotePath
from tests.helpers.stub_runner import Stub, darkness

pytestmark = pytest.mark.toolchains


@pytest.fixture
def bucket(monkeypatch):
    """An empty bucket of a server on the loopback."""
    server_of = pytest.importorskip("moto.server", reason="needs moto[server]").ThreadedMotoServer
    s3fs = pytest.importorskip("s3fs", reason="needs the extra `cloud`")
    server = server_of(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().makedirs("bucket", exist_ok=True)  # moto keeps it
    yield s3fs.S3FileSystem()
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


def test_masks_on_s3_equal_local_ones_and_a_run_resumes(bucket, tmp_path):
    (tmp_path / "in" / "sub").mkdir(parents=True)
    random = np.random.default_rng(0)
    for number, name in enumerate(("a.png", "b.png", "sub/a.jpg")):
        pixels = random.integers(0, 256, (30 + number, 40, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "in" / name)
    bucket.put(str(tmp_path / "in"), "bucket/photos", recursive=True)
    words = {"output": "s3://bucket/masks"}
    result = inference.predict(Stub(darkness), "s3://bucket/photos", **words)
    assert (result.done, result.failed) == (3, [])
    inference.predict(Stub(darkness), tmp_path / "in", output=tmp_path / "out")
    for path in (tmp_path / "out").rglob("*.png"):
        key = f"bucket/masks/{path.relative_to(tmp_path / 'out')}"
        assert bucket.cat_file(key) == path.read_bytes()
    assert len(bucket.find("bucket/masks")) == 4 and bucket.exists(f"bucket/masks/{LOG_NAME}")
    assert inference.predict(Stub(darkness), "s3://bucket/photos", **words).skipped == 3
    bucket.rm_file("bucket/masks/b_mask.png")
    result = inference.predict(Stub(darkness), "s3://bucket/photos/*.png", **words)
    assert (result.done, result.skipped) == (1, 1)


def test_missing_files_and_buckets_are_named(bucket):
    with pytest.raises(FileNotFoundError, match="There is no file or folder s3://bucket/none"):
        inference.predict(Stub(darkness), "s3://bucket/none", output="s3://bucket/masks")
    with pytest.raises(OSError, match=r"s3://elsewhere/a\.json"):
        RemotePath("s3://elsewhere/a.json").write_text("{}")
