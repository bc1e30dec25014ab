"""The options of `predict_files`, checked, and as the settings that a finished input records."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from keras_seg.inference.instance_map import InstanceOptions
from keras_seg.inference.prediction import Runner
from keras_seg.inference.proposals import check_proposals
from keras_seg.inference.scores import Threshold, check_threshold, threshold_in_use
from keras_seg.inference.uncertainty import check_has_dropout
from keras_seg.inference.views import TestTimeAugmentation

POLYGONS = ("geojson", "coco")


@dataclass(frozen=True)
class OutputOptions:
    """What is written beside the mask of each image X.

    Attributes:
        overlay: X_overlay.png, the colours over the image.
        probabilities: X_probabilities.npz, (H, W, num_classes) float16 as "probabilities".
        uncertainty: X_uncertainty.png, grey; 255 is the largest possible deviation, 0.5.
        polygons: "geojson" for X.geojson, "coco" for one coco.json; None for none.
        instances: X_instances.png with the number of the object at each pixel, and
            X_instances.csv with a row per object; polygons are then those of the objects.

    Raises: ValueError for another value of `polygons`.
    """

    overlay: bool = False
    probabilities: bool = False
    uncertainty: bool = False
    polygons: str | None = None
    instances: InstanceOptions | None = None

    def __post_init__(self) -> None:
        if self.polygons not in (None, *POLYGONS):
            raise ValueError(
                f"polygons must be one of {POLYGONS}, or None. Received: {self.polygons!r}"
            )


@dataclass(frozen=True)
class PredictionOptions:
    """How inputs are predicted, and what is written; the attributes as for `predict_files`."""

    sizing: str = "auto"
    tta: TestTimeAugmentation | None = None
    outputs: OutputOptions = OutputOptions()
    frames: int | None = None
    proposals: str | None = None
    threshold: Threshold | None = None

    def check(self, runner: Runner) -> None:
        """Raises ValueError for options that a network cannot have, or that exclude each other."""
        outputs = self.outputs
        check_threshold(runner, self.threshold)
        if outputs.probabilities and runner.card.head == "argmax":
            raise ValueError(
                f"{runner.path} outputs classes, so that it has no probabilities. Export it with "
                "--head logits or probabilities."
            )
        if outputs.instances is not None and runner.card.multi_label:
            raise ValueError(
                f"{runner.what} predicts labels of which a pixel may have several, and objects are "
                "found in masks with one class per pixel. Leave instances out, or call "
                "keras_seg.inference.instances for the mask of each label."
            )
        if outputs.uncertainty:
            check_has_dropout(runner)
            if self.tta is not None:
                raise ValueError("Uncertainty has no flips and scales. Leave them out.")
        if self.proposals is not None:
            check_proposals(runner, self.proposals)
            extra = outputs.probabilities or outputs.uncertainty or self.threshold is not None
            if self.tta is not None or extra:
                raise ValueError(
                    "Proposals give only a mask, from the largest scores. Leave flips, scales, "
                    "probabilities, uncertainty and threshold out."
                )

    def settings(self, runner: Runner) -> dict:
        """Everything that the predictions of a runner depend on, as JSON has it.

        An input that was finished with other settings is predicted again.
        """
        digests = []
        for path in runner.files:
            with path.open("rb") as file:
                digests.append(hashlib.file_digest(file, "sha256").hexdigest())
        settings: dict[str, Any] = {
            "model": "+".join(digests) or None,
            "sizing": self.sizing,
            "tta": None if self.tta is None else asdict(self.tta),
            "frames": self.frames,
            "proposals": self.proposals,
            "size": runner.card.image_size,
            **asdict(self.outputs),
        }
        # absent at their defaults, as in folders of versions that did not have them
        if settings["instances"] is None:
            del settings["instances"]
        if runner.card.value_range:
            settings["value_range"] = runner.card.value_range
        if runner.card.nodata is not None:
            settings["nodata"] = runner.card.nodata
        threshold = threshold_in_use(runner, self.threshold)
        if threshold != 0.5:
            settings["threshold"] = threshold
        if runner.card.head == "probabilities":
            settings["head"] = runner.card.head
        if runner.card.multi_label:
            settings["multi_label"] = True
        return json.loads(json.dumps(settings))  # with lists for tuples, as it will be read
