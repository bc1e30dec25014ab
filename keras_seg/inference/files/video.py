"""Frames of videos and cameras, with OpenCV, which is optional."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np

from keras_seg.inference.files.inputs import CAMERA, Input

CAMERA_RATE = 10.0
"""Frames per second of a video from a camera that does not report its rate."""


def import_opencv() -> ModuleType:
    """The module cv2.

    Raises: ImportError with the remedy if it is missing.
    """
    try:
        import cv2
    except ImportError:
        raise ImportError(
            "Videos and cameras are read by OpenCV, which is not installed. Install it: "
            "pip install opencv-python-headless."
        ) from None
    return cv2


class Video:
    """The frames of a video or a camera.

    Attributes:
        rate: frames per second.
        count: number of frames, None if it is not known.

    Raises: ImportError without OpenCV; ValueError if nothing can be read.
    """

    def __init__(self, source: Input) -> None:
        self._cv2, self._source = import_opencv(), source
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
        """(H, W, channels) uint8 frames, RGB or grey.

        Raises: ValueError if not even one frame can be read.
        """
        if channels not in (1, 3):
            raise ValueError(f"Videos have 1 or 3 channels, and the network takes {channels}.")
        cv2, number = self._cv2, 0
        conversion = cv2.COLOR_BGR2RGB if channels == 3 else cv2.COLOR_BGR2GRAY
        while True:
            success, frame = self._capture.read()
            if not success:
                break
            number += 1
            pixels = cv2.cvtColor(frame, conversion)
            yield pixels if channels == 3 else pixels[..., None]
        if not number:
            raise ValueError(f"{self._source.path}: no frame can be read.")

    def close(self) -> None:
        """Closes the file or the camera."""
        self._capture.release()


class VideoWriter:
    """Writes (H, W, 3) uint8 frames as an .mp4 file; the first frame gives the size."""

    def __init__(self, path: Path, rate: float) -> None:
        self._path = path
        self._rate = rate
        self._writer = None

    def write(self, frame: np.ndarray) -> None:
        """Adds a frame."""
        cv2 = import_opencv()
        if self._writer is None:
            size = (frame.shape[1], frame.shape[0])
            code = cv2.VideoWriter.fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(str(self._path), code, self._rate, size)
            if not self._writer.isOpened():
                raise ValueError(f"{self._path} cannot be written as .mp4 by this OpenCV.")
        self._writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        """Completes the file."""
        if self._writer is not None:
            self._writer.release()
