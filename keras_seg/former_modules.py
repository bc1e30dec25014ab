"""Former paths of modules. They work in this version, with a warning that names the new path.

This file goes with the next minor version. Paths of modules are not stable, names in `__all__` are.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from importlib.machinery import ModuleSpec
from types import ModuleType

FORMER = {
    "keras_seg.checkpoints.sources.facts": "keras_seg.checkpoints.sources.shared",
    "keras_seg.class_weights": "keras_seg.losses.class_weights",
    "keras_seg.cli.answers": "keras_seg.cli.checks",
    "keras_seg.cli.line": "keras_seg.cli.command_line",
    "keras_seg.cli.lists": "keras_seg.cli.verbs.models",
    "keras_seg.cli.runs": "keras_seg.cli.verbs.report",
    "keras_seg.cli.uses": "keras_seg.cli.verbs.predict",
    "keras_seg.data.arrays": "keras_seg.data.reading.arrays",
    "keras_seg.data.cached": "keras_seg.data.wrappers.cached",
    "keras_seg.data.class_balance": "keras_seg.data.balance.class_weights",
    "keras_seg.data.fingerprint": "keras_seg.data.verify.suggestion",
    "keras_seg.data.folder_contents": "keras_seg.data.folder.contents",
    "keras_seg.data.folder_masks": "keras_seg.data.folder.masks",
    "keras_seg.data.folder_scan": "keras_seg.data.folder.scan",
    "keras_seg.data.given": "keras_seg.data.as_dataset",
    "keras_seg.data.histogram": "keras_seg.data.balance.histogram",
    "keras_seg.data.images": "keras_seg.data.reading.images",
    "keras_seg.data.label_findings": "keras_seg.data.mask_values.findings",
    "keras_seg.data.layouts.layout": "keras_seg.data.layouts.split",
    "keras_seg.data.mask_morphology": "keras_seg.data.augmentation.morphology",
    "keras_seg.data.mask_pixels": "keras_seg.data.mask_values.pixels",
    "keras_seg.data.mask_survey": "keras_seg.data.mask_values.survey",
    "keras_seg.data.open": "keras_seg.data.open_by_name",
    "keras_seg.data.pairs": "keras_seg.data.folder.pairs",
    "keras_seg.data.pixels": "keras_seg.data.reading.in_memory",
    "keras_seg.data.readable": "keras_seg.data.wrappers.readable",
    "keras_seg.data.recolor": "keras_seg.data.augmentation.recolor",
    "keras_seg.data.resized": "keras_seg.data.wrappers.resized",
    "keras_seg.data.rows": "keras_seg.data.reading.rows",
    "keras_seg.data.verify_report": "keras_seg.data.verify.text",
    "keras_seg.data.warp": "keras_seg.data.augmentation.warp",
    "keras_seg.data.weight_maps": "keras_seg.data.balance.weight_maps",
    "keras_seg.data.weighted": "keras_seg.data.wrappers.weighted",
    "keras_seg.distances": "keras_seg.masks.distances",
    "keras_seg.drafts": "keras_seg.atomic_files",
    "keras_seg.endings": "keras_seg.output_activation",
    "keras_seg.export.calibrated": "keras_seg.export.int8.calibrated",
    "keras_seg.export.calibration": "keras_seg.export.int8.calibration",
    "keras_seg.export.command": "keras_seg.export.run_folder",
    "keras_seg.export.copies": "keras_seg.export.network.copies",
    "keras_seg.export.dead_taps": "keras_seg.export.network.dead_taps",
    "keras_seg.export.deployment": "keras_seg.export.network.deployed",
    "keras_seg.export.folding": "keras_seg.export.network.folding",
    "keras_seg.export.fused_argmax": "keras_seg.export.network.fused_argmax",
    "keras_seg.export.gate": "keras_seg.export.proof.gate",
    "keras_seg.export.metadata": "keras_seg.export.tflite.metadata",
    "keras_seg.export.mixed_loss": "keras_seg.export.int8.loss",
    "keras_seg.export.model_metadata": "keras_seg.export.tflite.model_metadata",
    "keras_seg.export.onnx_cost": "keras_seg.export.onnx.cost",
    "keras_seg.export.onnx_precision": "keras_seg.export.onnx.precision",
    "keras_seg.export.places": "keras_seg.export.memory_plan",
    "keras_seg.export.publish": "keras_seg.export.proof.publish",
    "keras_seg.export.quantization_aware_tflite": "keras_seg.export.aware.trained_ranges",
    "keras_seg.export.quantization_plan": "keras_seg.export.network.plan",
    "keras_seg.export.quantization_rules": "keras_seg.export.network.layer_rules",
    "keras_seg.export.subpixel": "keras_seg.export.network.subpixel",
    "keras_seg.export.tflite_cost": "keras_seg.export.tflite.cost",
    "keras_seg.export.tflite_graph": "keras_seg.export.tflite.graph",
    "keras_seg.inference.label_masks": "keras_seg.inference.files.label_masks",
    "keras_seg.inference.outputs": "keras_seg.inference.files.outputs",
    "keras_seg.inference.png_rows": "keras_seg.inference.files.png_rows",
    "keras_seg.inference.polygons": "keras_seg.inference.files.polygons",
    "keras_seg.inference.test_time": "keras_seg.inference.views",
    "keras_seg.labels": "keras_seg.masks.labels",
    "keras_seg.loss_spec": "keras_seg.losses.spec",
    "keras_seg.option_values": "keras_seg.arguments",
    "keras_seg.overview": "keras_seg.cli.overview",
    "keras_seg.registration": "keras_seg.keras_registration",
    "keras_seg.shapes": "keras_seg.arguments",
    "keras_seg.training.multi_worker": "keras_seg.training.engines.multi_worker",
    "keras_seg.training.records": "keras_seg.training.recipe_io",
    "keras_seg.training.strategies": "keras_seg.training.engines.strategies",
}
"""Former path → path."""


class _FormerModules:
    """Imports the module of the new path under the former one.

    A finder and loader without the base classes of importlib.abc, whose import takes longer than
    that of keras_seg.
    """

    def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
        if name not in FORMER:
            return None
        return ModuleSpec(name, self)  # pyrefly: ignore[bad-argument-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        new = FORMER[spec.name]
        warnings.warn(
            f"{spec.name} is now {new}. The former path stops working in the next minor version.",
            DeprecationWarning,
            stacklevel=2,
        )
        module = importlib.import_module(new)
        self.spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec  # the import system has put the former path's in its place


def accept_former_modules() -> None:
    """Makes former paths importable, once."""
    if not any(isinstance(finder, _FormerModules) for finder in sys.meta_path):
        sys.meta_path.append(_FormerModules())
