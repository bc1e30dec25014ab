"""Cross-validation: one training per fold, and a summary of their scores."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import keras
import numpy as np

from keras_seg.atomic_files import write_text
from keras_seg.data.as_dataset import Data
from keras_seg.training.fit import TrainingResult, train
from keras_seg.training.history import JSON_NAME, read_rows
from keras_seg.training.recipe import Recipe

FOLDS_NAME = "folds.json"


@dataclass(frozen=True)
class FoldScore:
    """The scores of a fold at its best epoch, on the images that it did not train on.

    Attributes:
        fold: such as "2/5".
        output: folder of the run.
        miou: validation mIoU, 0..1.
        best_epoch: the epoch, from 1.
        iou: IoU of each class, 0..1; None for a class that no validation image shows.
    """

    fold: str
    output: str
    miou: float
    best_epoch: int
    iou: dict[str, float | None]


@dataclass(frozen=True)
class CrossValidation:
    """The result of `cross_validate`.

    Attributes:
        folds: number of folds.
        scores: the scores of each finished fold.
        interrupted: whether Ctrl-C ended it.
    """

    folds: int
    scores: tuple[FoldScore, ...]
    interrupted: bool = False

    @property
    def finished(self) -> bool:
        """Whether all folds are trained. If not, the same call resumes."""
        return len(self.scores) == self.folds

    @property
    def best(self) -> FoldScore | None:
        """The fold with the best mIoU; None without any."""
        return max(self.scores, key=lambda score: score.miou, default=None)

    def spread(self) -> dict[str, dict[str, float | None]]:
        """Mean and standard deviation over the folds: of "mIoU", and of the IoU of each class.

        The deviation is that of a sample (n - 1), and None for fewer than two folds. A class is
        counted in the folds that show it.
        """
        values: dict[str, list[float | None]] = {"mIoU": [each.miou for each in self.scores]}
        for name in self.scores[0].iou if self.scores else ():
            values[name] = [each.iou[name] for each in self.scores]
        return {name: _mean_and_deviation(numbers) for name, numbers in values.items()}

    def to_dict(self) -> dict:
        """The record that `folds.json` holds."""
        best = self.best
        return {
            "folds": self.folds,
            "finished": self.finished,
            "best": None if best is None else best.output,
            "spread": self.spread(),
            "scores": [asdict(score) for score in self.scores],
        }


def cross_validate(
    recipe: Recipe,
    folds: int = 5,
    *,
    data: tuple[Data, Data] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> CrossValidation:
    """Trains a recipe once per fold, each time validated on the images of that fold.

    The images of the training and the validation split are divided by their names; a test split
    is never used. The runs are `fold_1`, `fold_2` and so on in the output folder, and resume as any
    run does. `folds.json` beside them has the scores.

    Args:
        recipe: the recipe, without `fold`.
        folds: number of folds, at least 2.
        data, callbacks: as for `train`.

    Returns: the scores of all folds.

    Raises: as `train`; ValueError for fewer than two folds, and for a recipe with a fold.

    Example:

        recipe = keras_seg.training.Recipe(
            data="builtin:cells",
            output="runs/folds",
            model_options={"widths": [4, 8]},
            crop=(32, 32),
            epochs=1,
            steps_per_epoch=1,
        )
        result = keras_seg.training.cross_validate(recipe, folds=2)
        print(result.spread()["mIoU"])
    """
    if folds < 2:
        raise ValueError(f"folds must be at least 2. Received: {folds}")
    if recipe.fold is not None:
        raise ValueError(
            f"folds={folds} trains every fold, and the recipe has fold={recipe.fold!r}. Leave one "
            "of them out."
        )
    scores: list[FoldScore] = []
    outcome = CrossValidation(folds, ())
    for number in range(1, folds + 1):
        one = replace(
            recipe, fold=f"{number}/{folds}", output=str(Path(recipe.output, f"fold_{number}"))
        )
        result = train(one, data=data, callbacks=callbacks)
        if result.finished:
            scores.append(_score(one, result))
        outcome = CrossValidation(folds, tuple(scores), interrupted=result.interrupted)
        write_text(Path(recipe.output, FOLDS_NAME), json.dumps(outcome.to_dict(), indent=1) + "\n")
        if not result.finished:
            return outcome
        keras.backend.clear_session()
    return outcome


def _score(recipe: Recipe, result: TrainingResult) -> FoldScore:
    rows = read_rows(Path(recipe.output, JSON_NAME))
    iou = rows[result.best_epoch - 1]["val_iou"]
    return FoldScore(
        str(recipe.fold), recipe.output, float(result.best_miou or 0), result.best_epoch, iou
    )


def _mean_and_deviation(values: Sequence[float | None]) -> dict[str, float | None]:
    numbers = [value for value in values if value is not None]
    return {
        "mean": round(float(np.mean(numbers)), 6) if numbers else None,
        "deviation": round(float(np.std(numbers, ddof=1)), 6) if len(numbers) > 1 else None,
    }
