"""The board pack: the folder beside an exported file with what a device needs to run it.

It holds a copy of the file, a program that needs no keras_seg, the same in C++, the names of the
classes and a page with the facts.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import jinja2

from keras_seg.atomic_files import draft_of, replace_path
from keras_seg.card import ModelCard
from keras_seg.export.board.constants import constants_of
from keras_seg.export.board.ends import End, read_ends
from keras_seg.export.board.facts import cpp_words, page_words, why_no_cpp
from keras_seg.export.board.latency import measured_latency
from keras_seg.export.board.program import specialised
from keras_seg.export.report import ExportReport

TEMPLATES = Path(__file__).with_name("templates")
KEPT = ("predict", "main")
"""Functions of the program that users call."""
PACKAGES = {"tflite": "ai-edge-litert", "onnx": "onnxruntime"}
"""Format → the package with its runtime."""
NAMES = ("board.py", "segment.cc", "CMakeLists.txt", "labels.txt", "README.md")
"""Files of a pack besides the model."""


def board_folder(path: Path) -> Path:
    """The folder of a file's board pack: `FILE.board`, as the report is `FILE.json`."""
    return path.with_name(f"{path.name}.board")


def check_board(path: Path, shape: tuple[int | None, ...]) -> None:
    """Raises an error if the board pack of a file cannot be written.

    Args:
        path: the file that will be exported.
        shape: (height, width, channels) of its image.

    Raises: ValueError for a file of free size; FileExistsError for a folder with other files.
    """
    if None in shape:
        raise ValueError(
            "board=True writes programs for one size of the image. Received: a file of free size, "
            f"{shape}. Pass input_shape, such as (256, 256), or leave board out."
        )
    folder = board_folder(path)
    if not folder.exists() and not folder.is_symlink():
        return
    known = {path.name, *NAMES, "__pycache__"}
    others = [] if not folder.is_dir() else [each.name for each in folder.iterdir()]
    others = sorted({*others} - known)
    if others or not folder.is_dir() or folder.is_symlink():
        what = f"a folder that also holds {', '.join(others[:3])}" if others else "no folder"
        raise FileExistsError(
            f"board=True writes the folder {folder}. Received: there, {what}. Move or rename it."
        )


def write_board(report: ExportReport) -> Path:
    """Writes the board pack of an exported file. An older pack stays until the new one is complete.

    Returns: the folder.
    """
    path = Path(report.path)
    folder = board_folder(path)
    ends = read_ends(path)
    constants = constants_of(report.card, report.options.sizing, report.format, *ends)
    with draft_of(folder) as draft:
        draft.mkdir()
        shutil.copyfile(path, draft / path.name)
        for name, text in _texts(report, constants, ends).items():
            (draft / name).write_text(text, encoding="utf-8")
        replace_path(draft, folder)
    return folder


def _texts(
    report: ExportReport, constants: dict[str, Any], ends: tuple[End, End]
) -> dict[str, str]:
    """File name → content, for the files besides the model."""
    path = Path(report.path)
    texts = {
        "board.py": board_program(path.name, report.format, constants),
        "labels.txt": _label_lines(report.card),
    }
    words = page_words(report, constants, ends, measured_latency(path, report.options.threads))
    why = why_no_cpp(constants)
    words |= {"package": PACKAGES[report.format], "cpp": why is None, "no_cpp": why}
    texts["README.md"] = _rendered("README.md", words)
    return texts | (cpp_program(path.name, constants, ends) if why is None else {})


def cpp_program(file: str, constants: dict[str, Any], ends: tuple[End, End]) -> dict[str, str]:
    """Name → content of the files of the C++ program for a file."""
    words = cpp_words(file, constants, ends)
    return {name: _rendered(name, words) for name in ("segment.cc", "CMakeLists.txt")}


def board_program(file: str, format: str, constants: dict[str, Any]) -> str:
    """`board.py` for a file with these constants."""
    template = (TEMPLATES / "board.py").read_text(encoding="utf-8")
    program = specialised(template, constants, KEPT)
    return program.replace("model.tflite", file).replace("ai-edge-litert", PACKAGES[format])


def _label_lines(card: ModelCard) -> str:
    return "".join(" ".join(name.split()) + "\n" for name in card.classes.names)


def _rendered(name: str, words: dict[str, Any]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # Markdown and C++ are not HTML
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(f"{name}.jinja").render(words)
