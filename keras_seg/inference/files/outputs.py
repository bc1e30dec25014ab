"""The files of one prediction: written band by band, and renamed when all are complete."""

from __future__ import annotations

import contextlib
import json
import zipfile
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from keras_seg.card import ModelCard
from keras_seg.data.mask_colors import OverlayBands, outline_width, palette_of
from keras_seg.data.reading.georeference import GeoReference
from keras_seg.data.reading.nodata import marked
from keras_seg.inference.bands import Band
from keras_seg.inference.files.geotiff_rows import GeoTiffRows
from keras_seg.inference.files.instance_files import (
    TABLE_ENDING,
    labels_ending,
    write_labels,
    write_table,
)
from keras_seg.inference.files.label_masks import label_palette, mask_endings
from keras_seg.inference.files.options import OutputOptions
from keras_seg.inference.files.png_rows import PngRows
from keras_seg.inference.files.polygons import geojson
from keras_seg.inference.instance_map import InstanceOptions, Instances, instances
from keras_seg.names import IGNORE_CLASS


class Rows(Protocol):
    """A file that is written from top to bottom."""

    def write(self, rows: np.ndarray) -> None: ...

    def close(self) -> None: ...


class PredictionFiles:
    """Writes bands to hidden files; `commit` gives these their names, `discard` removes them.

    `complete` closes the files, in the thread that wrote them.

    Args:
        base: path of the files without `_mask.png` and other endings.
        size: (height, width) of the image.
        card: classes of the network, and whether each is a label with a mask of 0 and 1.
        options: which files to write.
        place: the place of the image on the map. The mask, the probabilities and the uncertainty
            are then also written as GeoTIFF. None for an image without one.
    """

    def __init__(
        self,
        base: Path,
        size: tuple[int, int],
        card: ModelCard,
        options: OutputOptions,
        *,
        place: GeoReference | None = None,
    ) -> None:
        self.size = size
        self._base, self._place = base, place
        self._card, self._classes, self._options = card, card.classes, options
        self._hidden: dict[Path, Path] = {}
        self._masks: list[np.ndarray] = []
        self._confidences: list[np.ndarray] = []
        base.parent.mkdir(parents=True, exist_ok=True)
        self._planes: list[list[Rows]] = []
        self._overlay: list[Rows] = []
        self._overlay_bands = OverlayBands(card.classes, outline_width(size))
        self._deviation: list[Rows] = []
        self._map_deviation: list[Rows] = []
        self._scores: list[Rows] = []
        try:
            self._open(size)
        except BaseException:  # the disk may be full
            self.discard()
            raise

    def _open(self, size: tuple[int, int]) -> None:
        classes, options, card = self._classes, self._options, self._card
        palettes = [palette_of(classes)]
        if card.multi_label:
            palettes = [label_palette(color) for color in classes.colors]
        for ending, palette in zip(mask_endings(classes, card.multi_label), palettes, strict=True):
            plane: list[Rows] = [PngRows(self._hidden_path(ending), size, palette=palette)]
            self._planes.append(plane)
            words = {"nodata": IGNORE_CLASS, "palette": palette}
            plane += self._on_map(ending, (*size, 1), np.uint8, **words)
        if options.overlay:
            self._overlay.append(PngRows(self._hidden_path("_overlay.png"), size, colour=True))
        nan: dict[str, Any] = {"nodata": float("nan")}
        if options.uncertainty:
            self._deviation.append(PngRows(self._hidden_path("_uncertainty.png"), size))
            self._map_deviation += self._on_map("_uncertainty.png", (*size, 1), np.float32, **nan)
        if options.probabilities:
            path, shape = self._hidden_path("_probabilities.npz"), (*size, len(classes))
            self._scores.append(_ScoreRows(path, shape))
            nan["names"] = classes.names
            self._scores += self._on_map("_probabilities.npz", shape, np.float32, **nan)

    def _on_map(
        self, ending: str, shape: tuple[int, int, int], dtype: type, **words: Any
    ) -> list[Rows]:
        """The GeoTIFF beside the file with this ending, if the image has a place on the map."""
        if self._place is None:
            return []
        path = self._hidden_path(str(Path(ending).with_suffix(".tif")))
        return [GeoTiffRows(path, shape, dtype, self._place, **words)]

    def write(
        self, band: Band, deviation: np.ndarray | None = None, known: np.ndarray | None = None
    ) -> None:
        """Adds a band.

        Args:
            band: the rows.
            deviation: (n, W) float from 0 to 0.5, for the uncertainty.
            known: (n, W) bool, the pixels that hold data; None for all.
        """
        mask, scores = marked(band.mask, known), band.probabilities
        masks = np.moveaxis(mask, -1, 0) if self._card.multi_label else [mask]
        for plane, rows in zip(self._planes, masks, strict=True):
            _write(plane, rows)
        if self._overlay:
            _write(self._overlay, self._overlay_bands.add(band.image, mask))
        if self._scores and scores is not None:
            _write(self._scores, marked(scores, known))
        if self._deviation and deviation is not None:
            _write(self._deviation, np.rint(510 * deviation.clip(0, 0.5)).astype(np.uint8))
            _write(self._map_deviation, marked(deviation, known))
        if self._options.polygons == "geojson" or self._options.instances is not None:
            self._masks.append(mask)
        if self._options.instances is not None and scores is not None:
            chosen = band.mask[..., None].astype(np.int64)
            self._confidences.append(np.take_along_axis(scores, chosen, -1)[..., 0].astype("f2"))

    def complete(self) -> None:
        """Writes what needs the whole mask, and closes the files, which have no names yet."""
        if self._overlay:
            _write(self._overlay, self._overlay_bands.end())
        for file in self._open_files():
            file.close()
        mask = np.concatenate(self._masks) if self._masks else np.zeros(self.size, np.uint8)
        options = self._options.instances
        objects = None if options is None else self._write_objects(mask, options)
        if self._options.polygons == "geojson":
            collection = geojson(mask, self._classes, place=self._place, objects=objects)
            self._hidden_path(".geojson").write_text(json.dumps(collection))
        self._masks, self._confidences = [], []

    def commit(self) -> list[Path]:
        """Gives the complete files their names; returns these."""
        try:
            for path, hidden in self._hidden.items():
                hidden.replace(path)
        except BaseException:
            self.discard()
            raise
        return list(self._hidden)

    def _write_objects(self, mask: np.ndarray, options: InstanceOptions) -> Instances:
        """Writes the label image and the table of the objects."""
        objects = instances(
            mask,
            self._classes,
            probabilities=np.concatenate(self._confidences) if self._confidences else None,
            min_area=options.min_area,
            split_touching=options.split_touching,
        )
        ending = labels_ending(objects)
        write_labels(self._hidden_path(ending), objects)
        write_table(self._hidden_path(TABLE_ENDING), objects.objects)
        if ending.endswith(".png"):
            for rows in self._on_map(ending, (*self.size, 1), np.uint16):
                rows.write(objects.labels)
                rows.close()
        return objects

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

    def _open_files(self) -> list[Rows]:
        groups = (*self._planes, self._overlay, self._deviation, self._map_deviation, self._scores)
        return [file for group in groups for file in group]


def _write(files: list[Rows], rows: np.ndarray) -> None:
    for file in files:
        file.write(rows)


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
