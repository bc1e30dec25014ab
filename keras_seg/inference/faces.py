"""iCNN's face parser from the files of its two stages.

Zhou, Hu, Zhang: Interlinked Convolutional Neural Networks for Face Parsing, ISNN 2015,
arXiv:1806.02479.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from keras_seg.inference.loading import load
from keras_seg.inference.prediction import Runner
from keras_seg.names import unknown_name

if TYPE_CHECKING:
    from keras_seg.models import FacePart

SIDE = 64
"""Height and width of the input of a stage whose file does not state them."""


def load_face_parser(
    stage1: str | Path,
    nets: Mapping[str, str | Path],
    *,
    parts: Sequence[FacePart] | None = None,
    face_size: tuple[int, int] | None = None,
    threads: int | None = None,
) -> Runner:
    """Both stages as one runner: from a photograph of a face to one mask.

    `runner.model` is a model of `models.face_parser`. Saved with `runner.card` it is one .keras
    file, which predicts and exports like any other.

    Args:
        stage1: .keras file of the network that labels the whole face. Its class names are used.
        nets: name of a network in `parts` → .keras file of that network of the second stage.
        parts: the patches; None for brows, eyes, nose and mouth as in Helen (8 labels).
        face_size: (height, width) of the faces from which the patches of the second stage were cut
            in training. Other faces are resized to it; None for faces at their own scale.
        threads: number of CPU threads; None for all that this process may use.

    Raises: FileNotFoundError; ValueError for names that no part has, parts without a network,
        files of another kind, or networks that do not fit together.

    Example:
        runner = keras_seg.inference.load_face_parser(
            "stage1.keras",
            {name: f"{name}.keras" for name in ("brow", "eye", "nose", "mouth")},
        )
        mask = runner.predict("face.jpg")
    """
    # imports TensorFlow
    from keras_seg.inference.keras_runner import KerasRunner
    from keras_seg.models.face_parser import HELEN_PARTS, face_parser

    if face_size is not None and (len(face_size) != 2 or min(face_size) < 1):
        raise ValueError(f"face_size is (height, width) in pixels. Received: {face_size}")
    parts = HELEN_PARTS if parts is None else tuple(parts)
    _check_names(nets, [part.net for part in parts])
    first = _load_stage(stage1, threads)
    others = {name: _load_stage(path, threads) for name, path in nets.items()}
    sides = {name: _side(runner) for name, runner in others.items()}
    if len(set(sides.values())) > 1:
        raise ValueError(f"All patches must have one size. Received: {sides}.")
    model = face_parser(
        (None, None, first.input_shape[2]),
        parts=parts,
        stage1=first.model,
        nets={name: runner.model for name, runner in others.items()},
        stage1_size=_side(first),
        patch_size=next(iter(sides.values())),
    )
    card = replace(first.card, network="face_parser", size_multiple=1, image_size=face_size)
    runner = KerasRunner(model, card, path=first.path, threads=threads)
    runner.files = (first.path, *(other.path for other in others.values()))
    runner.needs_whole = face_size is None
    runner.reopen = partial(_load_copies, tuple(others), parts, face_size)
    return runner


def _load_copies(
    names: Sequence[str],
    parts: Sequence[FacePart],
    face_size: tuple[int, int] | None,
    paths: Sequence[Path],
    threads: int | None,
) -> Runner:
    """As `load_face_parser`, from copies of its files."""
    nets = dict(zip(names, paths[1:], strict=True))
    return load_face_parser(paths[0], nets, parts=parts, face_size=face_size, threads=threads)


def _check_names(given: Mapping[str, object], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise ValueError(unknown_name("network of a part", name, set(known)))
    missing = [name for name in dict.fromkeys(known) if name not in given]
    if missing:
        raise ValueError(
            f"Each part of the face needs its network. Received: none for {', '.join(missing)}."
        )


def _load_stage(path: str | Path, threads: int | None) -> Runner:
    runner = load(path, threads=threads)
    if runner.format != "keras" or runner.card.head != "logits" or runner.card.multi_label:
        raise ValueError(
            "The stages of face parsing are .keras files that put out logits of exclusive classes. "
            f"Received: {runner.path}, a .{runner.format} file that outputs {runner.card.head}. "
            "Export the whole as one file: save the model of keras_seg.inference.load_face_parser."
        )
    return runner


def _side(runner: Runner) -> int:
    """Height and width of the input of a stage."""
    fixed = runner.input_shape[:2]
    height, width = fixed if None not in fixed else runner.card.image_size or (SIDE, SIDE)
    if height != width:
        raise ValueError(
            f"A stage of face parsing sees squares. Received: {runner.path}, which was trained on "
            f"{height}x{width}."
        )
    return height
