"""The wheel in environments of its own: each Python that is found, oldest and newest TensorFlow.

    python -m tests.versions --pythons 3.12 3.13

Builds the wheel from the repository, installs it beside the oldest and the newest versions of
TensorFlow and Keras that setup.cfg takes, and lets it build, train, export and predict in an empty
folder: without HOME and DISPLAY, and, where a file system may be mounted, with site-packages
read-only. Needs an index of packages, and a gigabyte and a half of disk an environment.
"""

from __future__ import annotations

import argparse
import configparser
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
PYTHONS = ("3.11", "3.12", "3.13")
FRAMEWORK = ("tensorflow", "keras")
SMOKE = """
import os, sys
from pathlib import Path
assert "HOME" not in os.environ and "DISPLAY" not in os.environ
import keras, numpy as np, tensorflow as tf
import keras_seg
from keras_seg import cli, export, inference, losses, metrics, models
assert Path(keras_seg.__file__).is_relative_to(sys.prefix), keras_seg.__file__
images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype(np.uint8)
masks = (images[..., 0] > 127).astype(np.int32)
network = models.build("unet", (32, 32, 3), 2, widths=(4, 8))
network.compile("adam", losses.get("cross_entropy+dice"), metrics=[metrics.MeanIoU(2)])
history = network.fit(images, masks, batch_size=4, epochs=1, verbose=0)
assert np.isfinite(history.history["loss"]).all()
for kind in ("tflite", "onnx"):
    export.export(network, Path(f"m.{kind}"))
    assert inference.load(Path(f"m.{kind}")).predict(images[0]).shape == (32, 32)
assert cli.main(["models"]) == 0
try:
    Path(keras_seg.__file__).with_name("written").touch()
    written = "writable"
except OSError:
    written = "read-only"
print("SMOKE", sys.version.split()[0], tf.__version__, keras.__version__, written)
"""


def interpreters(wanted: tuple[str, ...] = PYTHONS) -> dict[str, str]:
    """Version → a Python of it that runs, of PATH or of pyenv."""
    found = {}
    for version in wanted:
        places = [shutil.which(f"python{version}")]
        places += sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
        for place in filter(None, places):
            code = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
            done = subprocess.run([place, "-c", code], capture_output=True, text=True)
            if done.stdout.strip() == version:
                found[version] = str(place)
                break
    return found


def oldest() -> list[str]:
    """Requirements of the oldest framework that setup.cfg takes: `["tensorflow==2.19.0", ...]`."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    lines = config["options"]["install_requires"].splitlines()
    floors = dict(re.match(r"(\w+)>=([\d.]+)", li).groups() for li in lines if ">=" in li)
    return [f"{name}=={floors[name]}.0" for name in FRAMEWORK]


def build_wheel(folder: Path) -> Path:
    """From a copy, so that nothing is left in the repository."""
    ignored = shutil.ignore_patterns(".git", "build", "*.egg-info", "__pycache__", "results")
    shutil.copytree(ROOT, folder / "source", ignore=ignored)
    words = [sys.executable, "-m", "build", "--wheel", "--outdir", folder, folder / "source"]
    subprocess.run(words, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(interpreter: str, wheel: Path, pins: list[str], place: Path) -> Path:
    """A new environment with the wheel; its Python."""
    subprocess.run([interpreter, "-m", "venv", place], check=True)
    python = place / "bin" / "python"
    words = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel]
    subprocess.run([*words, *pins], check=True)
    return python


def smoke(python: Path) -> str:
    """The line of the test: Python, TensorFlow, Keras, and whether site-packages was writable."""
    (site,) = python.parents[1].glob("lib/python3*/site-packages")
    environment = {"PATH": os.defpath, "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    guarded = (
        'mount --bind "$1" "$1" 2>/dev/null && mount -o remount,ro,bind "$1" 2>/dev/null\n'
        'exec "$2" -c "$3"'
    )
    words = ["sh", "-c", guarded, "sh", site, python, SMOKE]
    own = ["unshare", "--mount"]
    if shutil.which(own[0]) and not subprocess.run([*own, "true"], capture_output=True).returncode:
        words = [*own, *words]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("SMOKE")]
    if done.returncode or not lines:
        return f"FAILED\n{done.stderr[-3000:]}"
    return lines[0]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pythons", nargs="+", default=PYTHONS)
    parser.add_argument("--frameworks", nargs="+", default=["oldest", "newest"])
    options = parser.parse_args(argv)
    found, failed = interpreters(tuple(options.pythons)), False
    for version in options.pythons:
        if version not in found:
            sys.stdout.write(f"Python {version}: none found\n")
    with tempfile.TemporaryDirectory() as scratch:
        wheel = build_wheel(Path(scratch))
        for version, interpreter in found.items():
            for framework in options.frameworks:
                start, place = time.monotonic(), Path(scratch, f"{version}-{framework}")
                try:
                    pins = oldest() if framework == "oldest" else []
                    line = smoke(install(interpreter, wheel, pins, place))
                except subprocess.CalledProcessError as error:
                    line = f"FAILED to install: {error}"
                failed |= line.startswith("FAILED")
                seconds = time.monotonic() - start
                sys.stdout.write(f"Python {version}, {framework}: {line} ({seconds:.0f} s)\n")
                sys.stdout.flush()
                shutil.rmtree(place, ignore_errors=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
