"""The log of a prediction in shards: one file per finished shard, and at the end one for all."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

from keras_seg.inference.files.resume import LOG_NAME, PredictionLog, records_in
from keras_seg.inference.files.shards import SHARDS
from keras_seg.storage import TRANSFERS, AnyPath, RemotePath, remove_folder, write_text_at


class ShardLog(PredictionLog):
    """The log of an output folder, with the shards of a run that was killed.

    Args:
        output: the output folder, also one of an object store.
        settings: as for `PredictionLog`.
    """

    def __init__(self, output: AnyPath, settings: dict) -> None:
        self._listed: set[str] | None = None
        if isinstance(output, RemotePath):  # one listing, and not a request per mask
            files = output.files() if output.is_dir() else []
            self._listed = {str(path.relative_to(output)) for path in files}
        super().__init__(cast(Path, output), settings)
        self._output = output
        self._merged = dict(self._records)
        for record in self._of_shards():
            self._records[record["source"]] = record
            self._owners[record["name"]] = record["source"]

    def finish(self) -> None:
        """Adds the records of all finished shards to the log of the folder, in their order."""
        path = self._output / LOG_NAME
        text = path.read_text(errors="replace") if path.exists() else ""
        if text and not text.endswith("\n"):
            text += "\n"
        for record in self._of_shards():
            self._records[record["source"]] = record
            if self._merged.get(record["source"]) != record:
                text += json.dumps(record) + "\n"
        if text:
            write_text_at(path, text)
        remove_folder(self._output / SHARDS)

    def _of_shards(self) -> list[dict]:
        """The records of the finished shards, in the order of their names."""
        folder = self._output / SHARDS
        if isinstance(folder, RemotePath):
            paths: list[AnyPath] = [*folder.files()] if folder.is_dir() else []
        else:
            paths = sorted(folder.glob("*.jsonl"))
        with ThreadPoolExecutor(TRANSFERS) as pool:
            texts = list(pool.map(lambda path: path.read_text(errors="replace"), paths))
        return [record for text in texts for record in records_in(text)]

    def _has(self, file: str) -> bool:
        return super()._has(file) if self._listed is None else file in self._listed
