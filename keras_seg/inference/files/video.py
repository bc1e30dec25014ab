"""Frames of videos and cameras, by OpenCV, which is optional."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from keras_seg.inference.files.inputs import CAMERA, Source

CAMERA_RATE = 10.0
"""Frames a second of a film that a camera makes, if it does not say."""


def opencv():
    """The module cv2; ImportError with the remedy where it is missing."""
    try:
        import cv2
    except ImportError:
        raise ImportError(
            "Videos and cameras are read by OpenCV, which is not installed. Install it: "
            "pip install opencv-python-headless."
        ) from None
    return cv2


class Film:
    """The frames of a video or a camera.

    Attributes: `rate`, frames a second; `count`, of frames, None if it is not known.

    Raises: ImportError without OpenCV; ValueError if nothing can be read.
    """

    def __init__(self, source: Source):
        self._cv2, self._source = opencv(), source
        camera = source.kind == "camera"
        address = int(str(source.path).removeprefix(CAMERA)) if camera else str(source.path)
        if not camera and not source.path.is_file():
            raise FileNotFoundError(f"There is no video file {source.path}.")
        self._capture = self._cv2.VideoCapture(address)
        if not self._capture.isOpened():
            what = "camera cannot be opened" if camera else "video cannot be read"
            raise ValueError(f"{source.path}: the {what}. Check that other programs can.")
        self.rate = self._capture.get(self._cv2.CAP_PROP_FPS) or CAMERA_RATE
        count = int(self._capture.get(self._cv2.CAP_PROP_FRAME_COUNT))
        self.count = count if count > 0 and not camera else None

    def frames(self, channels: int) -> Iterator[np.ndarray]:
        """(H, W, channels) uint8, RGB or grey.

        Raises: ValueError if not even one frame can be read.
        """
        if channels not in (1, 3):
            raise ValueError(f"Videos have 1 or 3 channels, and the network takes {channels}.")
        cv2, number = self._cv2, 0
        kind = cv2.COLOR_BGR2RGB if channels == 3 else cv2.COLOR_BGR2GRAY
        while True:
            read, frame = self._capture.read()
            if not read:
                break
            number += 1
            pixels = cv2.cvtColor(frame, kind)
            yield pixels if channels == 3 else pixels[..., None]
        if not number:
            raise ValueError(f"{self._source.path}: no frame of it can be read.")

    def close(self) -> None:
        self._capture.release()


class FilmWriter:
    """Writes (H, W, 3) uint8 frames as an .mp4 film."""

    def __init__(self, path: Path, rate: float):
        self._path, self._rate, self._writer = path, rate, None

    def write(self, frame: np.ndarray) -> None:
        cv2 = opencv()
        if self._writer is None:
            size = (frame.shape[1], frame.shape[0])
            code = cv2.VideoWriter.fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(str(self._path), code, self._rate, size)
            if not self._writer.isOpened():
                raise ValueError(f"{self._path} cannot be written as .mp4 by this OpenCV.")
        self._writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        if self._writer is not None:
            self._writer.release()
