"""The tracks of a video in CVAT's XML (CVAT for video 1.1), as the shapes of each frame.

CVAT writes the shapes of all frames. If frames between two of them are left out, boxes, ellipses
and polygons with equally many corners are interpolated linearly, and masks stay as they are.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.etree import ElementTree

from keras_seg.data.folder.pictures import IMAGE_SUFFIXES

Element = ElementTree.Element
NUMBERS = ("xtl", "ytl", "xbr", "ybr", "cx", "cy", "rx", "ry", "rotation")
FRAME_NAME = re.compile(r"^frame_0*(\d+)$", re.IGNORECASE)
"""The names that CVAT gives to exported frames of a video."""


def has_tracks(tree: Element) -> bool:
    """Whether an XML file describes the tracks of a video."""
    return tree.find("track") is not None


def frames_as_images(tree: Element, path: Path, root: Path) -> list[Element]:
    """An `<image>` element with the shapes of each frame whose image is there.

    Args:
        tree: the XML file.
        path: its path, for messages.
        root: folder of the export.

    Raises: FileNotFoundError if no frame has an image; ValueError for tracks of several tasks, and
        for polygons that cannot be interpolated.
    """
    tracks = tree.findall("track")
    if len({track.get("task_id") for track in tracks}) > 1:
        raise ValueError(f"{path} holds the tracks of several tasks. Export each task by itself.")
    images = _frame_images(root, tree)
    if not images:
        raise FileNotFoundError(
            f"{path} holds the tracks of a video, and {root} has no images of its frames. Export "
            'from CVAT with "Save images", which writes images/frame_000000.PNG and so on.'
        )
    shapes: dict[int, list[Element]] = defaultdict(list)
    last = max(images)
    for track in tracks:
        for frame, shape in _shapes_of(track, last, path):
            shapes[frame].append(shape)
    size = {side: tree.findtext(f".//original_size/{side}", "") for side in ("width", "height")}
    made = []
    for frame, name in sorted(images.items()):
        image = Element("image", {"id": str(frame), "name": name, **size})
        image.extend(shapes[frame])
        made.append(image)
    return made


def _frame_images(root: Path, tree: Element) -> dict[int, str]:
    """Frame → path of its image below the folder.

    Other names than CVAT's are taken in their order if there are as many as frames.
    """
    files = sorted(p for p in root.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    numbered = {int(m[1]): p for p in files if (m := FRAME_NAME.match(p.stem))}
    if not numbered and tree.findtext(".//size") == str(len(files)):
        numbered = dict(enumerate(files))
    return {frame: p.relative_to(root).as_posix() for frame, p in numbered.items()}


def _shapes_of(track: Element, last: int, path: Path) -> Iterator[tuple[int, Element]]:
    """(frame, shape) of each frame in which a track is visible."""
    listed = sorted(
        (shape for shape in track if shape.get("frame") is not None),
        key=lambda shape: int(shape.get("frame", 0)),
    )
    label = track.get("label", "")
    for shape, following in zip(listed, [*listed[1:], None], strict=True):
        if shape.get("outside") == "1":
            continue
        first = int(shape.get("frame", 0))
        end = last + 1 if following is None else int(following.get("frame", 0))
        for frame in range(first, end):
            moving = shape.tag != "mask" and frame > first
            if moving and following is not None and following.get("outside") != "1":
                share = (frame - first) / (end - first)
                where = f"{path}: track {track.get('id')} ({label}), frame {frame}"
                attributes = _between(shape.attrib, following.attrib, share, where)
            else:
                attributes = dict(shape.attrib)
            yield frame, Element(shape.tag, attributes | {"label": label})


def _between(
    first: Mapping[str, str], second: Mapping[str, str], share: float, where: str
) -> dict[str, str]:
    """The attributes at a share of the way from one shape to the next."""
    attributes = dict(first)
    for name in NUMBERS:
        if name in first and name in second:
            start, end = float(first[name]), float(second[name])
            if name == "rotation":  # the shorter way round
                end = start + (end - start + 180) % 360 - 180
            attributes[name] = str(start + share * (end - start))
    if "points" in first:
        corners = [_corners(shape["points"]) for shape in (first, second)]
        if len(corners[0]) != len(corners[1]):
            raise ValueError(
                f"{where}: the shapes before and after have {len(corners[0])} and "
                f"{len(corners[1])} corners, between which frames are not interpolated. Export "
                'from CVAT as "Segmentation mask 1.1".'
            )
        moved = [
            ",".join(str(a + share * (b - a)) for a, b in zip(p, q, strict=True))
            for p, q in zip(*corners, strict=True)
        ]
        attributes["points"] = ";".join(moved)
    return attributes


def _corners(points: str) -> list[list[float]]:
    return [[float(number) for number in pair.split(",")] for pair in points.split(";")]
