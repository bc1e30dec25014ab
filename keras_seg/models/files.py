"""Saves and loads `.keras` files together with their card."""

from __future__ import annotations

import struct
import tempfile
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras

from keras_seg import layers  # noqa: F401  (registers the layers that the files name)
from keras_seg.atomic_files import draft_of
from keras_seg.card import CARD_NAME, ModelCard
from keras_seg.model_paths import check_model_path
from keras_seg.models.functional import as_functional
from keras_seg.models.older_keras import open_to_older_keras, write_for_older_keras
from keras_seg.models.output_activation import model_output_activation
from keras_seg.models.published import local_file
from keras_seg.shipped_models import shipped_file

DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError)
"""What zipfile raises for a damaged archive."""


def save(model: keras.Model, path: str | Path, card: ModelCard) -> None:
    """Writes a `.keras` archive that also holds the card. An existing file survives any failure.

    The optimizer is not saved: it would make the file three times as large. Options that newer
    versions of Keras have added are left out where they have their default value, so that every
    supported version opens the file. The card says "probabilities" for a model that ends in a
    sigmoid or softmax, whatever was given.

    Args:
        model: any Keras model, see `as_functional`.
        path: ends in .keras.
        card: classes and sizes of the model.

    Raises: ValueError for another suffix; OSError if the folder cannot be written.
    """
    path = Path(path)
    if path.suffix != ".keras":
        raise ValueError(f"A model is saved to a file ending in .keras. Received: {path}")
    network = as_functional(model)
    if card.head == "logits" and model_output_activation(network.output).are_probabilities:
        card = replace(card, head="probabilities")
    image = network.inputs[0] if len(network.inputs) == 1 else network.inputs
    with draft_of(path) as part:
        keras.Model(image, network.output, name=network.name).save(part)
        open_to_older_keras(part)
        with zipfile.ZipFile(part, "a") as archive:
            archive.writestr(CARD_NAME, card.to_json())
        part.replace(path)


def load(path: str | Path) -> keras.Model:
    """Reads a `.keras` file in safe mode, without its optimizer and losses.

    Files written by `model.save("m.h5")` can be read, too. A `.keras` file may come from a newer
    version of Keras, as long as options that the installed one does not know have their default
    value. A single input or output is a tensor, also in files that Keras reads as lists of one:
    Keras then warns at every call with a tensor.

    Args:
        path: the file; or a name of `list_weights()`, whose checkpoint is downloaded and converted
            the first time; or "hf:user/repo" for a repository of the Hugging Face hub, with a
            model of this package or of segmentation_models.pytorch.

    Returns: a `keras.Model`, not compiled.

    Raises: FileNotFoundError, or ValueError that says what the file is, if it holds no Keras model;
        RuntimeError that says what to do by hand, if weights cannot be downloaded.
    """
    path = _check_archive(local_file(path))
    if path.suffix.lower() != ".keras":
        _check_whole_model(path)
    try:
        return _with_plain_tensors(_load(path))
    except Exception as error:  # Keras lets h5py, zipfile, JSON and type errors through
        raise ValueError(
            f"{path} could not be loaded as a Keras model: {error}. It may be cut short or hold "
            "layers that are not registered; save it again with model.save()."
        ) from error


def _load(path: Path) -> keras.Model:
    """The model in a file; if Keras refuses it, without options that a newer Keras has added."""
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except (TypeError, ValueError):
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder, path.name)
            if path.suffix.lower() != ".keras" or not write_for_older_keras(path, copy):
                raise
            return keras.saving.load_model(copy, compile=False, safe_mode=True)


def read_card(path: str | Path) -> ModelCard | None:
    """The card of a `.keras` file; None if the file was not saved by this package.

    Raises: FileNotFoundError, or ValueError if the file is not a `.keras` archive.
    """
    path = _check_archive(local_file(path))
    if path.suffix.lower() != ".keras":
        return None
    with zipfile.ZipFile(path) as archive:
        if CARD_NAME not in archive.namelist():
            return None
        try:
            return ModelCard.from_json(archive.read(CARD_NAME))
        except DAMAGE as error:
            raise ValueError(f"{path} is damaged: {error}. Give an undamaged file.") from error


def _with_plain_tensors(model: keras.Model) -> keras.Model:
    """The model with a tensor in place of a list of one, as its input and as its output."""
    if isinstance(model, keras.Sequential) or not hasattr(model, "_nodes_by_depth"):
        return model
    given = (model.input, model.output)
    plain = [_only(tensors) for tensors in given]
    changed = any(one is not before for one, before in zip(plain, given, strict=True))
    return keras.Model(*plain, name=model.name) if changed else model


def _only(tensors: Any) -> Any:
    match tensors:
        case [tensor]:
            return tensor
    return tensors


def write_card(path: str | Path, card: ModelCard) -> None:
    """Replaces the card of a `.keras` file. The network stays; the file survives any failure.

    Raises: FileNotFoundError; ValueError for another suffix, or for no archive of a Keras model.
    """
    if shipped_file(path) is not None:
        raise ValueError(
            f"{path} is a model of the package, which stays as it is. Copy it first: "
            f'models.save(models.load("{path}"), "copy.keras", models.read_card("{path}")).'
        )
    path = _check_archive(path)
    if path.suffix.lower() != ".keras":
        raise ValueError(f"A card is written into a .keras file. Received: {path}")
    with draft_of(path) as part:
        with zipfile.ZipFile(path) as source, zipfile.ZipFile(part, "w") as target:
            for entry in source.infolist():
                if entry.filename != CARD_NAME:
                    target.writestr(entry, source.read(entry))
            target.writestr(CARD_NAME, card.to_json())
        part.replace(path)


def _check_whole_model(path: Path) -> None:
    """Raises ValueError for an HDF5 file without a model in it."""
    import h5py

    try:
        with h5py.File(path) as file:
            whole = "model_config" in file.attrs
    except OSError as error:
        raise ValueError(f"{path} is not an HDF5 file, or it is damaged: {error}.") from error
    if not whole:
        raise ValueError(
            f"{path} holds weights alone, not a model. Build the network, and then: "
            f'model.load_weights("{path}"); model.save("model.keras"). Published weights become a '
            "model by `keras-seg convert`."
        )


def _check_archive(path: str | Path) -> Path:
    """The path; raises for a file that is missing, or no archive of a Keras model."""
    path = check_model_path(path, exported=False)
    if path.suffix.lower() != ".keras":
        return path
    if not zipfile.is_zipfile(path):
        raise ValueError(
            f"{path} is not a .keras file: it is not a zip archive. Pass a file that model.save() "
            "or `keras-seg train` has written."
        )
    try:
        with zipfile.ZipFile(path) as archive:
            whole = "config.json" in archive.namelist()
    except DAMAGE as error:
        raise ValueError(f"{path} is damaged: {error}. Give an undamaged file.") from error
    if not whole:
        raise ValueError(
            f"{path} is not a .keras file: the archive has no config.json. Pass a file that "
            "model.save() or `keras-seg train` has written."
        )
    return path
