"""The log of finished inputs in an output folder, from which a stopped prediction resumes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from keras_seg.inference.files.inputs import Input

LOG_NAME = "predictions.jsonl"


class PredictionLog:
    """`predictions.jsonl`: one line per finished input, with its name in the folder.

    A name belongs to one input for good, so that two files with the same stem never overwrite each
    other; the second one is called `stem_2`. Lines that cannot be read are ignored, such as an
    incomplete last line of a process that was killed.

    Args:
        folder: the output folder.
        settings: what the predictions depend on. Inputs that were finished with other settings
            count as unfinished.
    """

    def __init__(self, folder: Path, settings: dict) -> None:
        self.folder = folder
        self.settings = settings
        self._path = folder / LOG_NAME
        self._keys: dict[Input, str] = {}
        self._ends_in_a_line = False
        self._records: dict[str, dict] = {}
        if self._path.exists():
            for line in self._path.read_text(errors="replace").splitlines():
                if (record := _record_of(line)) is not None:
                    self._records[record["source"]] = record
        self._owners = {record["name"]: source for source, record in self._records.items()}

    def name_of(self, source: Input) -> str:
        """The name of an input's predictions in this folder, the same whenever it is asked for."""
        key = self._key(source)
        if key in self._records:
            return self._records[key]["name"]
        name, count = source.name, 1
        while self._owners.get(name, key) != key:
            count += 1
            name = f"{source.name}_{count}"
        self._owners[name] = key
        return name

    def is_finished(self, source: Input) -> bool:
        """Whether the unchanged input was predicted with these settings, and its files exist."""
        record = self._records.get(self._key(source))
        return (
            record is not None
            and record["settings"] == self.settings
            and record["state"] == _file_state(source)
            and all(map(self._has, record["files"]))
        )

    def _has(self, file: str) -> bool:
        """Whether a file of a prediction is in the folder."""
        return (self.folder / file).exists()

    def add(self, source: Input, files: list[Path], size: tuple[int, int] | None) -> None:
        """Records that these files hold the prediction of an input; size: (height, width)."""
        record = {
            "source": self._key(source),
            "name": self.name_of(source),
            "state": _file_state(source),
            "settings": self.settings,
            "size": size,
            "files": [str(file.relative_to(self.folder)) for file in files],
        }
        self._records[record["source"]] = record
        start = "" if self._ends_in_a_line or self._is_complete() else "\n"
        self._ends_in_a_line = False
        with self._path.open("a") as file:
            file.write(start + json.dumps(record) + "\n")
        self._ends_in_a_line = True

    def _is_complete(self) -> bool:
        """Whether the log ends with a complete line, or is not there."""
        return not self._path.exists() or self._path.read_bytes().endswith(b"\n")

    def _key(self, source: Input) -> str:
        """What identifies an input: its absolute path, kept because links take long to follow."""
        if source not in self._keys:
            path = source.path if source.kind == "camera" else source.path.resolve()
            self._keys[source] = str(path)
        return self._keys[source]

    def record_of(self, source: Input) -> dict | None:
        """The record of a finished input, None if there is none."""
        return self._records.get(self._key(source))

    def result_files(self) -> set[Path]:
        """Absolute paths of all files that hold predictions."""
        folder = self.folder.resolve()
        return {folder / file for record in self._records.values() for file in record["files"]}


def _file_state(source: Input) -> list | None:
    """(bytes, time of the last change) of a file."""
    if source.kind == "camera" or not source.path.exists():
        return None
    status = source.path.stat()
    return [status.st_size, status.st_mtime_ns]


def _record_of(line: str) -> dict | None:
    """The record in a line; None if there is none, or its name or files are outside the folder."""
    try:
        record = json.loads(line)
        inside = [record["name"], *record["files"]]
        names = all(isinstance(name, str) and name for name in (record["source"], *inside))
        paths = [Path(name) for name in inside]
        within = not any(path.is_absolute() or ".." in path.parts for path in paths)
        return record if names and within and record.keys() >= {"settings", "state"} else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def records_in(text: str) -> Iterator[dict]:
    """The records in the text of a log."""
    records = map(_record_of, text.splitlines())
    return (record for record in records if record is not None)
