"""Many predictions and training steps in one process do not take more and more memory."""

import json
import subprocess
import sys

import pytest

BYTES = {"tflite": 50, "onnx": 50, "keras": 500, "training": 1000}
"""A time, at most: an image of the test has 3,072 bytes, a batch of training 6,144."""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="forks, and reads /proc")
@pytest.mark.parametrize("what", BYTES)
def test_memory_does_not_grow_by_the_images_that_were_seen(what):
    command = [sys.executable, "-m", "tests.attacks.soak", what, "--times", "4000"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    record = json.loads(done.stdout.splitlines()[-1].removeprefix(f"{what}: "))
    assert record["times"] == 4000 and record["bytes a time"] < BYTES[what], record
