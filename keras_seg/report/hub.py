"""`save_to_hub`: a model with a page of measured facts, as a repository of the Hugging Face hub."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import keras

from keras_seg.card import ModelCard
from keras_seg.checkpoints.command import class_table
from keras_seg.inference.results import percent
from keras_seg.models import files
from keras_seg.models.registry import find, list_models
from keras_seg.report.model_files import FORMATS, ModelFile, keras_miou, model_files
from keras_seg.report.rendering import render_text
from keras_seg.report.run_facts import RunFacts, read_run
from keras_seg.training.recipe import RECIPE_NAME
from keras_seg.training.run_folder import MODEL_NAME, OVERLAYS
from keras_seg.version import __version__

PAGE = "README.md"
SAMPLES = 2
"""Number of pictures of predictions, the latest of the training."""
REMEDY = (
    "The files are in {folder}: correct the cause and start again, or upload them by hand. "
    "`hf auth login` stores a token of the hub."
)


def save_to_hub(
    source: str | Path | keras.Model,
    repo: str,
    *,
    private: bool = False,
    licence: str | None = None,
    dry_run: bool = False,
    folder: str | Path | None = None,
) -> str:
    """Publishes a model on the Hugging Face hub, with its files and a page of measured facts.

    The page states the mean IoU and the latency of each file as training and export measured them,
    the classes, the licence and how the model is loaded. What was not measured is said to be so.

    Args:
        source: folder of a run with model.keras, whose exported files and pictures are published
            too; a .keras file; or a Keras model, whose classes are numbered.
        repo: "user/repo". It is created if there is none; files of the same name are replaced.
        private: whether a new repository is visible to its owner alone.
        licence: licence of the model, such as "apache-2.0"; None leaves it unstated.
        dry_run: write the folder and publish nothing. No network and no huggingface_hub is needed.
        folder: folder for the files, new or empty; by default a temporary one, and for a dry run
            the name of the repository.

    Returns: the address of the repository; the folder for a dry run.

    Raises: ValueError for another form of `repo`, a folder without model.keras and a folder that is
        not empty; FileNotFoundError; ImportError without huggingface_hub; RuntimeError if the hub
        refuses, with the folder of the files.

    Example:

        model = keras_seg.models.unet((None, None, 3), 2, widths=(4, 8))
        keras_seg.report.save_to_hub(
            model, "me/cells", licence="mit", dry_run=True, folder=folder / "cells"
        )
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo):
        raise ValueError(f'repo is "user/repo". Received: {repo!r}')
    if licence is not None and not re.fullmatch(r"[\w.+-]+", licence):
        raise ValueError(f'licence is an identifier such as "apache-2.0". Received: {licence!r}')
    if not dry_run:
        _library()  # before files are written
    target = _new_folder(repo, dry_run, folder)
    _write(source, target, repo, licence)
    return str(target) if dry_run else _publish(target, repo, private=private)


def _library() -> type:
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise ImportError(
            "Publishing needs huggingface_hub: pip install huggingface_hub. A dry run does not: "
            "pass dry_run=True (--dry_run true)."
        ) from error
    return HfApi


def _new_folder(repo: str, dry_run: bool, folder: str | Path | None) -> Path:
    if folder is None and not dry_run:
        return Path(tempfile.mkdtemp(prefix="keras_seg-"))
    target = Path(folder or repo.partition("/")[2])
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ValueError(f"{target} exists and is not empty. Pass another folder.")
    target.mkdir(parents=True, exist_ok=True)
    return target


def _write(source: str | Path | keras.Model, target: Path, repo: str, licence: str | None) -> None:
    """Writes the files of a model and the page about them."""
    facts, rows, pictures = None, [], []
    if isinstance(source, str | Path):
        path = Path(source)
        if path.is_dir():
            facts, rows, pictures = _copy_run(path, target)
        else:
            files.read_card(path)  # refuses what is not a .keras file
            shutil.copyfile(path, target / MODEL_NAME)
    else:
        names = class_table(source, None)
        network = source.name if source.name in list_models() else None
        files.save(source, target / MODEL_NAME, ModelCard(names, network=network))
    rows = rows or model_files(target)
    card = files.read_card(target / MODEL_NAME)
    page = _page(repo, licence, card, rows, facts, pictures)
    (target / PAGE).write_text(page, encoding="utf-8")


def _copy_run(run: Path, target: Path) -> tuple[RunFacts, list[ModelFile], list[str]]:
    """Copies the files of a run: (facts, rows of the table of files, names of the pictures)."""
    if not (run / MODEL_NAME).is_file():
        raise ValueError(
            f"{run} is not the folder of a run: it has no {MODEL_NAME}. Pass the folder that "
            "`keras-seg train` got as --output, or a .keras file."
        )
    kept = [path for path in run.iterdir() if path.suffix in FORMATS and path.is_file()]
    kept += [run / RECIPE_NAME] if (run / RECIPE_NAME).is_file() else []
    kept += [path.with_suffix(".json") for path in kept if path.suffix in FORMATS[1:]]
    for path in kept:
        if path.is_file():
            shutil.copyfile(path, target / path.name)
    pictures = sorted((run / OVERLAYS).glob("*.png"))[-SAMPLES:]
    for number, path in enumerate(pictures, start=1):
        shutil.copyfile(path, target / f"sample_{number}.png")
    facts = read_run(run)
    names = [f"sample_{number}.png" for number in range(1, len(pictures) + 1)]
    return facts, [_with_miou(row, run, facts) for row in model_files(run)], names


def _with_miou(row: ModelFile, run: Path, facts: RunFacts) -> ModelFile:
    """The row of model.keras with the mIoU of the export, or else of its best epoch."""
    if row.name != MODEL_NAME or row.miou:
        return row
    if measured := keras_miou(run):
        return replace(row, miou=measured, miou_sizing=row.latency_sizing)
    if facts.best is None:
        return row
    miou, epoch = facts.best
    return replace(row, miou=percent(miou), miou_sizing=f"validation in epoch {epoch}")


def _page(
    repo: str,
    licence: str | None,
    card: ModelCard | None,
    rows: Sequence[ModelFile],
    facts: RunFacts | None,
    pictures: Sequence[str],
) -> str:
    """The page in Markdown, with the entries that the hub reads at its head."""
    network = card.network if card is not None else None
    return render_text(
        "hub.md",
        repo=repo,
        licence=licence,
        card=card,
        network=find(network) if network in list_models() else None,
        rows=rows,
        facts=facts,
        data="" if facts is None else Path(str(facts.recipe.get("data", "not stated"))).name,
        pictures=pictures,
        version=__version__,
    )


def _publish(folder: Path, repo: str, *, private: bool) -> str:
    api = _library()()
    try:
        address = api.create_repo(repo, private=private, exist_ok=True)
        api.upload_folder(repo_id=repo, folder_path=folder, commit_message="Upload by keras_seg")
    except Exception as error:  # the library raises many kinds of errors
        raise RuntimeError(
            f"{repo} could not be published ({type(error).__name__}: {error}). "
            + REMEDY.format(folder=folder)
        ) from error
    return str(address)
