"""Published checkpoints convert on Keras' JAX backend, and give what their reference gave."""

import json
import subprocess
import sys

import numpy as np
import pytest

from tests.backends import comparison
from tests.helpers.reference import CASES, image, read_golden, state_dict

pytest.importorskip("jax", reason="needs the jax extra")

FILES = {
    "unet_milesial_narrow_odd": "npz",  # PyTorch's names
    "unet_smp_resnet18_narrow_odd": "safetensors",
    "unet_mateuszbuda_narrow": "pth",
    "segnet_caffe_narrow_odd": "npz",  # Caffe's names
    "resunetplusplus_debeshjha_keras_narrow": "npz",  # Keras' names and layout
}
"""Golden file → the container that the checkpoint is read from."""
CONVERTING = """
import json, sys
import keras, numpy as np
from keras_seg.checkpoints import convert
assert keras.backend.backend() == "jax"
for name, file, source, shape, options in json.loads(sys.argv[1]):
    pixels = np.load(f"{name}-image.npy")
    scores = convert(file, source, tuple(shape), **options).predict(pixels, verbose=0)
    np.save(f"{name}-scores.npy", scores["logits"] if isinstance(scores, dict) else scores)
"""


def write_checkpoint(path, tensors):
    """Writes tensors in the container that the suffix names."""
    if path.suffix == ".npz":
        np.savez(path, **tensors)
    elif path.suffix == ".safetensors":
        from safetensors.numpy import save_file

        save_file(tensors, path)
    else:
        torch = pytest.importorskip("torch", reason="needs the torch extra")
        torch.save({name: torch.tensor(tensor) for name, tensor in tensors.items()}, path)


@pytest.mark.slow
def test_converted_networks_equal_their_reference(tmp_path):
    arguments, expected = [], {}
    for case in (case for case in CASES if case.stem in FILES):
        facts, outputs = read_golden(case)
        path = tmp_path / f"{case.stem}.{FILES[case.stem]}"
        tensors = state_dict(facts["manifest"], facts["seed"], facts["norm_scale"])
        write_checkpoint(path, tensors)
        pixels = image(facts["input_shape"], facts["seed"])
        np.save(tmp_path / f"{case.stem}-image.npy", pixels)
        shape = pixels.shape[1:]
        arguments.append((case.stem, str(path), facts["source"], shape, facts["options"]))
        expected[case.stem] = outputs["logits"], facts["step"]
    assert expected.keys() == FILES.keys()
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CONVERTING, json.dumps(arguments)],
        cwd=tmp_path,
        env=comparison.environment_of("jax"),
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr[-3000:]
    for name, (logits, step) in expected.items():
        scores = np.load(tmp_path / f"{name}-scores.npy")[:, ::step, ::step]
        np.testing.assert_allclose(
            scores, logits, rtol=0, atol=1e-4 * np.abs(logits).max(), err_msg=name
        )
