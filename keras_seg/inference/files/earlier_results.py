"""Removes earlier predictions from the inputs if the output folder is among them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from keras_seg.inference.files.inputs import Input
from keras_seg.inference.files.instance_files import LABELS_ENDINGS
from keras_seg.inference.files.label_masks import MASK_ENDING
from keras_seg.inference.files.resume import PredictionLog

ENDINGS = (
    *("_overlay.png", "_uncertainty.png", "_overlay.mp4", *LABELS_ENDINGS),
    *("_mask.tif", "_uncertainty.tif", "_probabilities.tif"),
)
"""Endings of results, besides masks, that could be taken for images or videos."""


def without_earlier_results(
    sources: list[Input], log: PredictionLog, mask_endings: Sequence[str] = (MASK_ENDING,)
) -> list[Input]:
    """The inputs without those that were predicted into the folder of the log before.

    Otherwise the same command, run again, would predict its own masks.

    Raises: ValueError if nothing else is left, or for an image that the result of another would
        overwrite.
    """
    folder = log.folder.resolve()
    paths = {source: source.path.resolve() for source in sources if source.kind != "camera"}
    if not any(path.is_relative_to(folder) for path in paths.values()):
        return sources
    results = log.result_files()
    video_folders = {folder / log.name_of(source) for source in sources if source.kind != "image"}

    def is_result(source: Input) -> bool:
        path = paths.get(source)
        is_frame = path and path.parent in video_folders and path.name.endswith(MASK_ENDING)
        return path in results or bool(is_frame)

    left = [source for source in sources if not is_result(source)]
    if not left:
        raise ValueError(
            f"All inputs are results of earlier predictions in {log.folder}. Give images, or "
            "another output folder."
        )
    endings = (*mask_endings, *ENDINGS)
    _check_overwrites_no_input(left, {paths.get(source) for source in left}, log, endings)
    return left


def _check_overwrites_no_input(
    sources: list[Input], paths: set[Path | None], log: PredictionLog, endings: Sequence[str]
) -> None:
    folder = log.folder.resolve()
    for source in sources:
        name = log.name_of(source)
        for ending in endings:
            target = folder / f"{name}{ending}"
            if target in paths:
                raise ValueError(
                    f"The prediction for {source.path} may be written over {target}, which is one "
                    "of the inputs. Choose another output folder, or remove that file if a stopped "
                    "prediction left it."
                )
