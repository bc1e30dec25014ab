"""The files of one prediction: written band by band, and renamed when all are complete."""

from __future__ import annotations

import contextlib
import json
import zipfile
from pathlib import Path

import numpy as np

from keras_seg.data.classes import ClassTable
from keras_seg.data.mask_colors import overlay, palette_of
from keras_seg.inference.bands import Band
from keras_seg.inference.files.label_masks import label_palette, mask_endings
from keras_seg.inference.files.options import OutputOptions
from keras_seg.inference.files.png_rows import PngRows
from keras_seg.inference.files.polygons import geojson


class PredictionFiles:
    """Writes bands to hidden files; `commit` gives these their names, `discard` removes them.

    Args:
        base: path of the files without `_mask.png` and other endings.
        size: (height, width) of the image.
        classes: names and colours.
        options: which files to write.
        multi_label: whether each class is a label with a mask of 0 and 1.
    """

    def __init__(
        self,
        base: Path,
        size: tuple[int, int],
        classes: ClassTable,
        options: OutputOptions,
        *,
        multi_label: bool = False,
    ) -> None:
        self._base = base
        self._classes = classes
        self._options = options
        self._multi_label = multi_label
        self._hidden: dict[Path, Path] = {}
        self._masks: list[np.ndarray] = []
        base.parent.mkdir(parents=True, exist_ok=True)
        self._planes: list[PngRows] = []
        self._overlay: PngRows | None = None
        self._deviation: PngRows | None = None
        self._scores: _ScoreRows | None = None
        try:
            self._open(size)
        except BaseException:  # the disk may be full
            self.discard()
            raise

    def _open(self, size: tuple[int, int]) -> None:
        classes, options = self._classes, self._options
        palettes = [palette_of(classes)]
        if self._multi_label:
            palettes = [label_palette(color) for color in classes.colors]
        for ending, palette in zip(mask_endings(classes, self._multi_label), palettes, strict=True):
            self._planes.append(PngRows(self._hidden_path(ending), size, palette=palette))
        if options.overlay:
            self._overlay = PngRows(self._hidden_path("_overlay.png"), size, colour=True)
        if options.uncertainty:
            self._deviation = PngRows(self._hidden_path("_uncertainty.png"), size)
        if options.probabilities:
            path = self._hidden_path("_probabilities.npz")
            self._scores = _ScoreRows(path, (*size, len(classes)))

    def write(self, band: Band, deviation: np.ndarray | None = None) -> None:
        """Adds a band; deviation: (n, W) float from 0 to 0.5, for the uncertainty."""
        masks = np.moveaxis(band.mask, -1, 0) if self._multi_label else [band.mask]
        for plane, mask in zip(self._planes, masks, strict=True):
            plane.write(mask)
        if self._overlay is not None:
            self._overlay.write(overlay(band.image, band.mask, self._classes))
        if self._scores is not None:
            self._scores.write(band.probabilities)
        if self._deviation is not None:
            self._deviation.write(np.rint(510 * deviation.clip(0, 0.5)).astype(np.uint8))
        if self._options.polygons == "geojson":
            self._masks.append(band.mask)

    def commit(self) -> list[Path]:
        """Completes the files and gives them their names; returns these."""
        for file in self._open_files():
            file.close()
        if self._options.polygons == "geojson":
            collection = geojson(np.concatenate(self._masks), self._classes)
            self._hidden_path(".geojson").write_text(json.dumps(collection))
        for path, hidden in self._hidden.items():
            hidden.replace(path)
        return list(self._hidden)

    def discard(self) -> None:
        """Removes the files that have no name yet."""
        for file in self._open_files():
            # closing may fail too: the disk is full, or zipfile misses its last entry
            with contextlib.suppress(OSError, ValueError):
                file.close()
        for hidden in self._hidden.values():
            hidden.unlink(missing_ok=True)

    def _hidden_path(self, ending: str) -> Path:
        path = self._base.with_name(self._base.name + ending)
        self._hidden[path] = path.with_name(f".{path.name}.part")
        return self._hidden[path]

    def _open_files(self) -> list[PngRows | _ScoreRows]:
        files = (*self._planes, self._overlay, self._deviation, self._scores)
        return [file for file in files if file is not None]


class _ScoreRows:
    """A compressed .npz with one float16 array, written from top to bottom."""

    def __init__(self, path: Path, shape: tuple[int, int, int]) -> None:
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
