"""What an output folder holds already, so that a stopped prediction goes on where it was."""

from __future__ import annotations

import json
from pathlib import Path

from keras_seg.inference.files.inputs import Source

LEDGER_NAME = "predictions.jsonl"


class Ledger:
    """`predictions.jsonl`: a line for each finished source, with its name in the folder.

    A name belongs to one source for good, so that two files of one stem never overwrite each
    other; the second is called `stem_2`. Lines that are none of its own are left out, such as a
    torn last one, of a process that was killed.

    Args:
        settings: what the predictions depend on; sources that were finished with others are not.
    """

    def __init__(self, folder: Path, settings: dict):
        self.folder, self.settings = folder, settings
        self._path = folder / LEDGER_NAME
        self._lines: dict[str, dict] = {}
        if self._path.exists():
            for line in self._path.read_text(errors="replace").splitlines():
                if (record := _record(line)) is not None:
                    self._lines[record["source"]] = record
        self._owners = {record["name"]: source for source, record in self._lines.items()}

    def name(self, source: Source) -> str:
        """What the source's predictions are called here, now and when it comes again."""
        key = _key(source)
        if key in self._lines:
            return self._lines[key]["name"]
        name, count = source.name, 1
        while self._owners.get(name, key) != key:
            count += 1
            name = f"{source.name}_{count}"
        self._owners[name] = key
        return name

    def is_finished(self, source: Source) -> bool:
        """Whether the source, unchanged, was predicted with these settings and all is there."""
        record = self._lines.get(_key(source))
        return (
            record is not None
            and record["settings"] == self.settings
            and record["state"] == _state(source)
            and all((self.folder / file).exists() for file in record["files"])
        )

    def enter(self, source: Source, files: list[Path], size: tuple[int, int] | None) -> None:
        """Notes that these files hold the source's prediction; size: (height, width)."""
        record = {
            "source": _key(source),
            "name": self.name(source),
            "state": _state(source),
            "settings": self.settings,
            "size": size,
            "files": [str(file.relative_to(self.folder)) for file in files],
        }
        self._lines[record["source"]] = record
        whole = not self._path.exists() or self._path.read_bytes().endswith(b"\n")
        with self._path.open("a") as file:
            file.write(("" if whole else "\n") + json.dumps(record) + "\n")

    def record(self, source: Source) -> dict | None:
        """The line of a source."""
        return self._lines.get(_key(source))

    def results(self) -> set[Path]:
        """The files that hold predictions, as absolute paths."""
        folder = self.folder.resolve()
        return {folder / file for record in self._lines.values() for file in record["files"]}


def _record(line: str) -> dict | None:
    """A line's record, None if it is none whose name and files lie in the folder."""
    try:
        record = json.loads(line)
        inside = [record["name"], *record["files"]]
        names = all(isinstance(name, str) and name for name in (record["source"], *inside))
        paths = [Path(name) for name in inside]
        within = not any(path.is_absolute() or ".." in path.parts for path in paths)
        return record if names and within and record.keys() >= {"settings", "state"} else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _key(source: Source) -> str:
    return str(source.path if source.kind == "camera" else source.path.resolve())


def _state(source: Source) -> list | None:
    """(bytes, time of change) of a file."""
    if source.kind == "camera" or not source.path.exists():
        return None
    status = source.path.stat()
    return [status.st_size, status.st_mtime_ns]
