"""Models of repositories on the Hugging Face hub: `keras_seg.models.load("hf:user/repo")`."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

from keras_seg.checkpoints.command import convert_file
from keras_seg.checkpoints.folders import CONFIG, WEIGHTS, read_settings
from keras_seg.version import __version__
from keras_seg.weights.cache import cache_folder
from keras_seg.weights.hub import fetch, list_repository

MODEL = "model.keras"
"""The file that is taken if a repository has several .keras files."""
KERAS_HUB = ("model.weights.h5", "task.weights.h5")
"""Files of a preset of keras-hub."""
SYMMETRIC = re.compile(r"xception|tf_mobilenetv3|tf_efficientnet_lite")
"""smp's encoders whose ImageNet weights take pixels of -1 to 1; the others take ImageNet's mean."""


def hub_file(repository: str) -> Path:
    """The .keras file of a repository, which is downloaded and, if necessary, converted.

    Args:
        repository: "user/repo", or "user/repo@revision" for a branch, tag or commit.

    Returns: the path of the file on this machine, in the cache of the hub or of this package.

    Raises: ValueError for another form of name, and for a repository without a model that can be
        read, with its files; RuntimeError if the hub does not answer; ImportError without
        huggingface_hub.
    """
    repo, _, revision = repository.partition("@")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo):
        raise ValueError(
            'A repository of the hub is "hf:user/repo", or "hf:user/repo@revision". Received: '
            f'"hf:{repository}"'
        )
    files = list_repository(repo, revision or None)
    models = [name for name in files if name.endswith(".keras")]
    if MODEL in models or len(models) == 1:
        return fetch(repo, MODEL if MODEL in models else models[0], revision or None)
    weights = [name for name in WEIGHTS if name in files]
    if models or CONFIG not in files or not weights:
        raise ValueError(_why_unreadable(repo, files, models))
    config = fetch(repo, CONFIG, revision or None)
    checkpoint = fetch(repo, weights[0], revision or None)
    return _converted(repo, config, checkpoint)


def _converted(repo: str, config: Path, checkpoint: Path) -> Path:
    """Converts the folder of a model of smp or timm; a later call takes the file from the cache."""
    name = f"{repo.replace('/', '--')}-{config.parent.name[:12]}-{__version__}.keras"
    output = cache_folder() / "models" / name
    settings = read_settings(config)
    if "architecture" in settings and "encoder_name" not in settings:
        raise ValueError(
            f"{repo} is a classifier of timm. Use it as an encoder: backbone_weights="
            f"{str(checkpoint)!r} with a name of keras_seg.backbones.list_backbones()."
        )
    options, said = _pixels(settings)
    warnings.warn(f"{repo}: {said}", stacklevel=2)
    if not output.exists():
        channels = settings.get("in_channels") or 3
        shape = (None, None, channels)
        convert_file(checkpoint.parent, "smp", output, input_shape=shape, options=options)
    return output


def _pixels(settings: dict) -> tuple[dict, str]:
    """(options of the conversion, sentence that says them): smp stores no normalisation."""
    name = str(settings.get("encoder_name"))
    other = 'keras_seg.checkpoints.convert(folder, "smp", preprocessing=...)'
    if settings.get("encoder_weights") and settings.get("in_channels", 3) == 3:
        mode = "symmetric" if SYMMETRIC.search(name) else "imagenet"
        return {"preprocessing": mode}, (
            f"the model takes pixels of 0 to 255 and normalises them by preprocessing={mode!r}, as "
            f"the ImageNet weights of its encoder need. The repository does not state it. For "
            f"another normalisation: {other}"
        )
    return {}, (
        "the repository does not state how images were normalised. The model takes images that are "
        f"normalised as in its training. To normalise pixels of 0 to 255 in it: {other}"
    )


def _why_unreadable(repo: str, files: list[str], models: list[str]) -> str:
    if models:
        return (
            f"{repo} has several .keras files and none is called {MODEL}: {models}. Download one "
            "by hand, and load its path."
        )
    if any(name in files for name in KERAS_HUB):
        return (
            f"{repo} is a preset of keras-hub, whose layers this package does not have. Load it "
            f'with keras_hub.models.ImageSegmenter.from_preset("hf://{repo}"). The losses, '
            "metrics, prediction and export of this package take that model."
        )
    return (
        f"{repo} has no model that keras_seg reads: a .keras file, or {CONFIG} with "
        f"{' or '.join(WEIGHTS)} of segmentation_models.pytorch. It holds: {files[:8]}."
    )
