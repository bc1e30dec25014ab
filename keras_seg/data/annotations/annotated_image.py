"""The images of an export, and what the names of its files tell."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_seg.data.folder.pictures import SPLIT_FOLDERS

SPLIT_NAMES = SPLIT_FOLDERS
"""Words in the names of folders and files that name the split."""


@dataclass(frozen=True)
class AnnotatedImage:
    """One image of an export, before its image file is found.

    Attributes:
        file_name: name of the image, as the annotation file writes it.
        source: the annotation file.
        content: what the format's reader needs to paint the mask.
        image: the image file, where the reader knows it; otherwise it is looked for.
    """

    file_name: str
    source: Path
    content: Any
    image: Path | None = None

    def __str__(self) -> str:
        return f"{self.source} ({self.file_name})"


Parts = dict[str, list[AnnotatedImage]]
"""Images of each split; an export without splits has the one part ""."""


def split_in(text: str) -> str:
    """The split in the name of a file or folder; "" if there is none."""
    tokens = re.split(r"[^a-z]+", text.lower())
    for split, names in SPLIT_NAMES.items():
        if any(name in tokens for name in names):
            return split
    return ""


def split_folder(root: Path, split: str) -> Path | None:
    """The sub-folder of a split, whose name may be "valid" for "val"."""
    names = SPLIT_NAMES[split]
    return next((root / name for name in names if (root / name).is_dir()), None)


def plain(name: object) -> str:
    """A name in the form that all names are compared in: Unicode NFC, no space around it."""
    return unicodedata.normalize("NFC", str(name)).strip()
