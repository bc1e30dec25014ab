"""The place of a georeferenced TIFF file on the map."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_seg.data.reading.tiff_tags import Tag, tags_or_nothing

PIXEL_SCALE, TIE_POINTS, TRANSFORMATION, RPC = 33550, 33922, 34264, 50844
KEYS, KEY_NUMBERS, KEY_TEXTS = 34735, 34736, 34737
PLACE_TAGS = (PIXEL_SCALE, TIE_POINTS, TRANSFORMATION, RPC, KEYS, KEY_NUMBERS, KEY_TEXTS)
"""Numbers of the tags of the GeoTIFF standard, and of rational polynomial coefficients."""
MODEL_TYPE, RASTER_TYPE, GEOGRAPHIC_CRS, PROJECTED_CRS = 1024, 1025, 2048, 3072
CITATIONS = (3073, 1026)
"""Keys that name a coordinate system without a code."""
POINT = 2
"""Value of the raster type: coordinates are those of pixel centres."""
UNNAMED = ("", "unknown", "unnamed")
"""Names in place of a name."""
USER_DEFINED = 32767
LONGITUDE_LATITUDE = "urn:ogc:def:crs:OGC:1.3:CRS84"
"""WGS 84 (EPSG:4326) with the longitude first, as GeoJSON has it."""
WORLD_FILES = (".tfw", ".tifw", ".wld")


@dataclass(frozen=True, eq=False)
class GeoReference:
    """The place of an image on the map.

    Attributes:
        tags: number → tag, as they are copied to the files of a prediction.
        transform: (a, b, c, d, e, f) with x = a * column + b * row + c and y = d * column +
            e * row + f, for columns and rows that count from the outer corner of the first pixel;
            None if the place is given by several control points or by coefficients.
        crs: the coordinate system as GeoJSON names it, such as "urn:ogc:def:crs:EPSG::32633"; None
            if the file names none.
    """

    tags: dict[int, Tag]
    transform: tuple[float, float, float, float, float, float] | None
    crs: str | None

    def to_map(self, points: np.ndarray) -> np.ndarray:
        """(n, 2) points (column, row) → (n, 2) map coordinates (x, y).

        Raises: ValueError without a transform.
        """
        if self.transform is None:
            raise ValueError("The image has no transform from pixels to map coordinates.")
        a, b, c, d, e, f = self.transform
        return points @ np.array([[a, d], [b, e]]) + np.array([c, f])


def read_georeference(path: Path) -> GeoReference | None:
    """The place of a TIFF file, by its tags or by a world file beside it; None if it has none."""
    pages = tags_or_nothing(path, PLACE_TAGS)
    if not pages:
        return None
    tags = pages[0]
    if not tags.keys() & {TRANSFORMATION, TIE_POINTS, RPC}:
        world = _world_file(path)
        if world is None:
            return GeoReference(tags, None, _crs(_keys(tags))) if KEYS in tags else None
        a, b, c, d, e, f = world
        matrix = (a, b, 0.0, c, d, e, 0.0, f, *(0.0,) * 7, 1.0)
        return GeoReference({**tags, TRANSFORMATION: Tag(12, matrix)}, world, _crs(_keys(tags)))
    keys = _keys(tags)
    transform = _transform(tags)
    if transform is not None and keys.get(RASTER_TYPE) == POINT:
        a, b, c, d, e, f = transform
        transform = (a, b, c - (a + b) / 2, d, e, f - (d + e) / 2)
    return GeoReference(tags, transform, _crs(keys))


def _transform(tags: dict[int, Tag]) -> tuple[float, float, float, float, float, float] | None:
    if TRANSFORMATION in tags and len(tags[TRANSFORMATION].values) == 16:
        m = tags[TRANSFORMATION].values
        return m[0], m[1], m[3], m[4], m[5], m[7]
    if PIXEL_SCALE in tags and TIE_POINTS in tags:
        (wide, tall), points = tags[PIXEL_SCALE].values[:2], tags[TIE_POINTS].values
        if len(points) >= 6 and wide and tall:
            column, row, _, x, y, _ = points[:6]
            return wide, 0.0, x - column * wide, 0.0, -tall, y + row * tall
    return None


def _keys(tags: dict[int, Tag]) -> dict[int, int | str]:
    """GeoKey → number or text."""
    entries = tags[KEYS].values if KEYS in tags else ()
    keys: dict[int, int | str] = {}
    for start in range(4, len(entries) - 3, 4):
        key, place, count, value = entries[start : start + 4]
        if place == 0:
            keys[key] = value
        elif place == KEY_TEXTS and KEY_TEXTS in tags:
            keys[key] = tags[KEY_TEXTS].values[value : value + count].rstrip("|")
    return keys


def _crs(keys: dict[int, int | str]) -> str | None:
    code = keys.get(PROJECTED_CRS, keys.get(GEOGRAPHIC_CRS))
    if code == 4326:
        return LONGITUDE_LATITUDE
    if isinstance(code, int) and code not in (0, USER_DEFINED):
        return f"urn:ogc:def:crs:EPSG::{code}"
    names = (str(keys[key]) for key in CITATIONS if key in keys)
    return next((name for name in names if name.lower() not in UNNAMED), None)


def _world_file(path: Path) -> tuple[float, float, float, float, float, float] | None:
    """The transform of a world file beside an image."""
    for suffix in WORLD_FILES:
        beside = path.with_suffix(suffix)
        try:
            a, d, b, e, x, y = map(float, beside.read_text().split())
        except (OSError, ValueError):
            continue
        return a, b, x - (a + b) / 2, d, e, y - (d + e) / 2  # x and y are of a pixel centre
    return None
