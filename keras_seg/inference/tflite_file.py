"""The content of a .tflite file: opened by LiteRT, or its metadata read from its bytes."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from keras_seg.card import CARD_ENTRY
from keras_seg.model_paths import unreadable_file
from keras_seg.quiet import without_log_lines

if TYPE_CHECKING:
    from ai_edge_litert.interpreter import Interpreter

IDENTIFIER = b"TFL3"
"""Bytes 4 to 7 of every .tflite file."""
METADATA_ENTRY = "TFLITE_METADATA"
"""Name of the entry with the official metadata. A file with a card has a label file after it."""


def open_interpreter(path: Path, threads: int) -> Interpreter:
    """LiteRT's interpreter of a file.

    Raises: ValueError if the file is damaged, or no .tflite file.
    """
    from ai_edge_litert.interpreter import Interpreter

    with path.open("rb") as file:
        if file.read(8)[4:] != IDENTIFIER:
            raise unreadable_file(path, ".tflite", "it does not begin as such files do")
    try:
        with without_log_lines():
            interpreter = Interpreter(model_path=str(path), num_threads=threads)
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise unreadable_file(path, ".tflite", f"LiteRT says: {error}") from error
    return interpreter


def read_metadata(content: bytes, name: str) -> bytes | None:
    """The metadata entry of that name in a file's bytes, None if there is none."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content)
    for i in range(model.MetadataLength()):
        entry = model.Metadata(i)
        if entry.Name() == name.encode():
            return model.Buffers(entry.Buffer()).DataAsNumpy().tobytes()
    return None


def read_card_text(path: Path, content: bytes) -> bytes | None:
    """The card in a file's bytes as JSON, None if there is none.

    Raises: ValueError for damaged metadata.
    """
    try:
        text = read_metadata(content, CARD_ENTRY)
    except (struct.error, ValueError, TypeError) as error:  # flatbuffers follow damaged offsets
        raise unreadable_file(path, ".tflite", f"its metadata are damaged: {error}") from error
    if text and read_metadata(content, METADATA_ENTRY) and not zipfile.is_zipfile(path):
        raise unreadable_file(path, ".tflite", "the label file at its end is cut off")
    return text
