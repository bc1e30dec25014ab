"""The files of one prediction, written band by band and named when all are whole."""

from __future__ import annotations

import contextlib
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_seg.data.classes import ClassTable
from keras_seg.data.mask_colors import palette_of
from keras_seg.inference.bands import Band
from keras_seg.inference.files.label_masks import label_palette, mask_endings, overlay_of
from keras_seg.inference.files.png_rows import PngRows
from keras_seg.inference.files.polygons import geojson

POLYGONS = ("geojson", "coco")


@dataclass(frozen=True)
class Wanted:
    """What is written beside the mask of each image X.

    overlay: X_overlay.png, the colours over the image.
    probabilities: X_probabilities.npz, (H, W, num_classes) float16 as "probabilities".
    uncertainty: X_uncertainty.png, grey, 255 for the largest deviation there can be, 0.5.
    polygons: "geojson" for X.geojson, "coco" for one coco.json; None for none.

    Raises: ValueError for other polygons.
    """

    overlay: bool = False
    probabilities: bool = False
    uncertainty: bool = False
    polygons: str | None = None

    def __post_init__(self):
        if self.polygons not in (None, *POLYGONS):
            raise ValueError(
                f"polygons must be one of {POLYGONS}, or None. Received: {self.polygons!r}"
            )


class PredictionFiles:
    """Takes bands, and gives the files their names on `commit`; without it they are removed.

    Args:
        base: path of the files without `_mask.png` and the like.
        size: (height, width) of the image.
        multi_label: whether each class is a label with a mask of its own, of 0 and 1.
    """

    def __init__(
        self,
        base: Path,
        size: tuple[int, int],
        classes: ClassTable,
        wanted: Wanted,
        *,
        multi_label: bool = False,
    ):
        self._base, self._classes, self._wanted = base, classes, wanted
        self._multi_label = multi_label
        self._parts: dict[Path, Path] = {}
        self._masks: list[np.ndarray] = []
        base.parent.mkdir(parents=True, exist_ok=True)
        self._planes: list[PngRows] = []
        self._overlay = self._deviation = self._scores = None
        try:
            self._open(size)
        except BaseException:  # of a full disk, at any of them
            self.discard()
            raise

    def _open(self, size: tuple[int, int]) -> None:
        classes, wanted = self._classes, self._wanted
        palettes = [palette_of(classes)]
        if self._multi_label:
            palettes = [label_palette(color) for color in classes.colors]
        for ending, palette in zip(mask_endings(classes, self._multi_label), palettes, strict=True):
            self._planes.append(PngRows(self._part(ending), size, palette=palette))
        if wanted.overlay:
            self._overlay = PngRows(self._part("_overlay.png"), size, colour=True)
        if wanted.uncertainty:
            self._deviation = PngRows(self._part("_uncertainty.png"), size)
        if wanted.probabilities:
            path = self._part("_probabilities.npz")
            self._scores = _ScoreRows(path, (*size, len(classes)))

    def write(self, band: Band, deviation: np.ndarray | None = None) -> None:
        """Adds a band; deviation: (n, W) float from 0 to 0.5, for the uncertainty."""
        masks = np.moveaxis(band.mask, -1, 0) if self._multi_label else [band.mask]
        for plane, mask in zip(self._planes, masks, strict=True):
            plane.write(mask)
        if self._overlay is not None:
            self._overlay.write(overlay_of(band.image, band.mask, self._classes))
        if self._scores is not None:
            self._scores.write(band.probabilities)
        if self._deviation is not None:
            self._deviation.write(np.rint(510 * deviation.clip(0, 0.5)).astype(np.uint8))
        if self._wanted.polygons == "geojson":
            self._masks.append(band.mask)

    def commit(self) -> list[Path]:
        """Ends the files and gives them their names; returns these."""
        for file in self._files():
            file.close()
        if self._wanted.polygons == "geojson":
            found = geojson(np.concatenate(self._masks), self._classes)
            self._part(".geojson").write_text(json.dumps(found))
        for path, part in self._parts.items():
            part.replace(path)
        return list(self._parts)

    def discard(self) -> None:
        """Removes what was written under no name yet."""
        for file in self._files():
            with contextlib.suppress(
                OSError, ValueError
            ):  # a full disk takes no end, zipfile no other
                file.close()
        for part in self._parts.values():
            part.unlink(missing_ok=True)

    def _part(self, ending: str) -> Path:
        path = self._base.with_name(self._base.name + ending)
        self._parts[path] = path.with_name(f".{path.name}.part")
        return self._parts[path]

    def _files(self) -> list[PngRows | _ScoreRows]:
        files = (*self._planes, self._overlay, self._deviation, self._scores)
        return [file for file in files if file is not None]


class _ScoreRows:
    """A compressed .npz of one float16 array, written from its top."""

    def __init__(self, path: Path, shape: tuple[int, int, int]):
        self._file = path.open("wb")
        self._archive = zipfile.ZipFile(self._file, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
        self._entry = self._archive.open("probabilities.npy", "w", force_zip64=True)
        header = {"descr": "<f2", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._entry, header)

    def write(self, rows: np.ndarray) -> None:
        self._entry.write(np.ascontiguousarray(rows, "<f2").tobytes())

    def close(self) -> None:
        try:
            self._entry.close()
        finally:
            try:
                self._archive.close()
            finally:
                self._file.close()
