"""A shard: some inputs of a prediction, which a worker predicts and publishes together."""

from __future__ import annotations

import json
import platform
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import cast

from keras_seg.atomic_files import draft_of
from keras_seg.data.reading.arrays import TIFF_SUFFIXES
from keras_seg.data.reading.georeference import WORLD_FILES
from keras_seg.engines.job import Job
from keras_seg.inference.files.inputs import Input
from keras_seg.inference.files.options import PredictionOptions
from keras_seg.inference.files.predict import predict_files
from keras_seg.inference.files.resume import LOG_NAME, records_in
from keras_seg.inference.network_copy import NetworkCopy
from keras_seg.inference.prediction import Runner
from keras_seg.storage import AnyPath, RemotePath, put, transfer, write_text_at

SHARDS = ".shards"
"""Folder in the output folder with the logs of finished shards, and drafts of unfinished ones."""
SCRATCH = "keras_seg-shard"


@dataclass(frozen=True)
class Shard:
    """Some inputs, each with the name that its predictions get in the output folder.

    Attributes:
        name: orders the shards of a run.
        inputs: the inputs.
    """

    name: str
    inputs: tuple[Input, ...]


@dataclass(frozen=True)
class ShardResult:
    """What became of a shard.

    Attributes:
        name: the name of the shard.
        inputs: number of its inputs.
        failed: one message per input that could not be predicted.
    """

    name: str
    inputs: int
    failed: tuple[str, ...] = ()


@dataclass(frozen=True)
class PredictionJob(Job[Shard, ShardResult]):
    """Predicts shards into an output folder.

    The files of a shard are written to a draft folder and renamed, or uploaded, when all are
    complete. Its log is written last. So a shard whose worker dies leaves no part of a mask, and is
    done again.

    Attributes:
        network: the network.
        options: how inputs are predicted.
        settings: what finished inputs record about network and options.
        output: the output folder, which all workers see.
        threads: CPU threads of a worker.
        workers: number of images that it works on at the same time, as for `predict_files`.
    """

    network: NetworkCopy
    options: PredictionOptions
    settings: dict
    output: AnyPath
    threads: int | None = None
    workers: int | None = None

    def start(self) -> Callable[[Shard], ShardResult]:
        """Opens the network. Raises: ValueError if the output folder is not seen from here."""
        if isinstance(self.output, Path) and not (self.output / SHARDS).is_dir():
            raise ValueError(
                f"The machine {platform.node()} of the cluster does not see {self.output}. Give a "
                "folder of a file system that all machines share, or one of an object store, such "
                "as s3://bucket/masks."
            )
        return partial(self._predict, cast(Runner, self.network.open(self.threads)))

    def split(self, task: Shard) -> Sequence[Shard]:
        """A shard for each input."""
        return [
            Shard(f"{task.name}-{number:06d}", (source,))
            for number, source in enumerate(task.inputs)
        ]

    def lost(self, task: Shard, reason: str) -> ShardResult:
        """The result of a shard whose workers died."""
        failed = tuple(f"{source.path}: {reason}" for source in task.inputs)
        return ShardResult(task.name, len(task.inputs), failed)

    def _predict(self, runner: Runner, shard: Shard) -> ShardResult:
        with _draft_folder(self.output) as draft:
            local, failed = _fetched(shard.inputs, draft / "inputs")
            outputs = self.options.outputs
            if outputs.polygons == "coco":  # one file of all inputs, which the driver writes
                outputs = replace(outputs, polygons=None)
            result = predict_files(
                runner,
                [*local.values()],
                draft / "masks",
                sizing=self.options.sizing,
                tta=self.options.tta,
                outputs=outputs,
                frames=self.options.frames,
                proposals=self.options.proposals,
                threshold=self.options.threshold,
                workers=self.workers,
            )
            for message in result.failed:
                failed.append(_with_addresses(message, local))
            self._publish(shard, local, draft / "masks")
        return ShardResult(shard.name, len(shard.inputs), tuple(failed))

    def _publish(self, shard: Shard, local: dict[Input, Input], masks: Path) -> None:
        """Gives the files of a shard their places, and then writes its log."""
        log = masks / LOG_NAME
        text = log.read_text() if log.exists() else ""
        records = {record["source"]: record for record in records_in(text)}
        lines, files = [], []
        for source, copy in local.items():
            record = records.get(str(copy.path.resolve()))
            if record is None:  # its prediction failed
                continue
            record["settings"] = self.settings
            if source is not copy:
                record |= {"source": str(source.path), "state": list(source.path.stat())}
            lines.append(json.dumps(record) + "\n")
            files += record["files"]

        errors = transfer(lambda file: put(masks / file, self.output / file), files)
        for error in filter(None, errors):
            raise error
        if lines:
            write_text_at(self.output / SHARDS / f"{shard.name}.jsonl", "".join(lines))


@contextmanager
def _draft_folder(output: AnyPath) -> Iterator[Path]:
    """A folder for the files of a shard, on the file system of the output folder if it has one.

    No other process uses it, also not one that is believed to be dead. The driver removes those
    that remain in an output folder; those in the temporary folder of a machine are removed by the
    next shard there.
    """
    if isinstance(output, RemotePath):
        with draft_of(Path(tempfile.gettempdir()) / SCRATCH) as draft:
            yield draft
    else:
        with tempfile.TemporaryDirectory(dir=output / SHARDS, ignore_cleanup_errors=True) as draft:
            yield Path(draft)


def _fetched(sources: Sequence[Input], folder: Path) -> tuple[dict[Input, Input], list[str]]:
    """Inputs of this machine for those of a shard, and a message per input that was not fetched.

    Files of object stores are copied to the folder, each to its own, with the world file of a TIFF.
    """
    copies = {
        source: source._replace(path=folder / str(number) / source.path.name)
        if isinstance(source.path, RemotePath)
        else source
        for number, source in enumerate(sources)
    }
    remote = [source for source in sources if copies[source] is not source]

    def fetch(source: Input) -> None:
        path = cast(RemotePath, source.path)
        path.download(copies[source].path)
        if path.suffix.lower() in TIFF_SUFFIXES:
            for beside in map(path.with_suffix, WORLD_FILES):
                if beside.exists():
                    beside.download(copies[source].path.with_name(beside.name))

    failed = []
    for source, error in zip(remote, transfer(fetch, remote), strict=True):
        if error is not None:
            failed.append(f"{source.path}: {error}")
            del copies[source]
    return copies, failed


def _with_addresses(message: str, local: dict[Input, Input]) -> str:
    """A message about copies of inputs, with the addresses of the inputs."""
    for source, copy in local.items():
        if source is not copy:
            message = message.replace(str(copy.path), str(source.path))
    return message
