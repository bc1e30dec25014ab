"""Images that are predictions of others, where the output folder lies among the inputs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from keras_seg.inference.files.inputs import Source
from keras_seg.inference.files.label_masks import MASK_ENDING
from keras_seg.inference.files.resume import Ledger

ENDINGS = ("_overlay.png", "_uncertainty.png", "_overlay.mp4")
"""Of results besides masks that could be taken for images or films."""


def without_results(
    sources: list[Source], ledger: Ledger, masks: Sequence[str] = (MASK_ENDING,)
) -> list[Source]:
    """The sources, without what was predicted into the ledger's folder before.

    Otherwise the same command, run again, would predict its own masks.

    Args:
        masks: what the names of masks end in.

    Raises: ValueError if nothing else is left, or for an image that the result of another would be
    written over.
    """
    folder = ledger.folder.resolve()
    places = {source: source.path.resolve() for source in sources if source.kind != "camera"}
    if not any(place.is_relative_to(folder) for place in places.values()):
        return sources
    known = ledger.results()
    frames = {folder / ledger.name(source) for source in sources if source.kind != "image"}

    def is_result(source: Source) -> bool:
        place = places.get(source)
        of_film = place and place.parent in frames and place.name.endswith(MASK_ENDING)
        return place in known or bool(of_film)

    left = [source for source in sources if not is_result(source)]
    if not left:
        raise ValueError(
            f"All that was given are results of earlier predictions in {ledger.folder}. Give "
            "images, or another output folder."
        )
    _check_apart(left, {places.get(source) for source in left}, ledger, (*masks, *ENDINGS))
    return left


def _check_apart(
    sources: list[Source], taken: set[Path | None], ledger: Ledger, endings: Sequence[str]
) -> None:
    folder = ledger.folder.resolve()
    for source in sources:
        name = ledger.name(source)
        for ending in endings:
            target = folder / f"{name}{ending}"
            if target in taken:
                raise ValueError(
                    f"What is predicted of {source.path} may be written over {target}, which is "
                    "one of the inputs. Choose another output folder, or remove that file if a "
                    "stopped prediction left it."
                )
