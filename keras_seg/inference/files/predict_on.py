"""Prediction of files on an engine: on a cluster, and from or to object stores."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from keras_seg.atomic_files import only_user
from keras_seg.engines import check_engine, open_engine
from keras_seg.engines.job import Engine
from keras_seg.engines.local import LocalEngine
from keras_seg.inference.files.coco import write_coco
from keras_seg.inference.files.earlier_results import without_earlier_results
from keras_seg.inference.files.inputs import Input, find_inputs, without_masks_beside
from keras_seg.inference.files.label_masks import mask_endings
from keras_seg.inference.files.options import PredictionOptions
from keras_seg.inference.files.predict import FilesResult, predict_files
from keras_seg.inference.files.shard_log import ShardLog
from keras_seg.inference.files.shards import SHARDS, PredictionJob, Shard, ShardResult
from keras_seg.inference.network_copy import NetworkCopy, check_can_be_copied
from keras_seg.inference.prediction import Runner
from keras_seg.parallel import checked_workers
from keras_seg.storage import AnyPath, RemotePath, as_path, is_url

LARGEST_SHARD = 256
SHARDS_PER_WORKER = 8
"""Shards of each worker, if the inputs suffice: the last ones end at about the same time."""


def predict_anywhere(
    runner: Runner,
    inputs: Iterable[str | Path],
    output: str | Path,
    options: PredictionOptions,
    *,
    overwrite: bool = False,
    engine: str = "local",
    address: str | None = None,
    threads: int | None = None,
    workers: int | None = None,
) -> FilesResult:
    """`predict_files` for local files on this machine, and `predict_on` for everything else.

    Args:
        runner, inputs, output, options, overwrite, threads, workers: as for `predict_on`.
        engine, address: as for `keras_seg.engines.open_engine`.

    Raises: as `predict_on` and `open_engine`.
    """
    check_engine(engine, address)
    inputs, folder = list(inputs), as_path(output)
    if engine == "local" and isinstance(folder, Path) and not any(map(is_url, inputs)):
        return predict_files(
            runner,
            inputs,
            folder,
            sizing=options.sizing,
            tta=options.tta,
            outputs=options.outputs,
            overwrite=overwrite,
            frames=options.frames,
            proposals=options.proposals,
            threshold=options.threshold,
            workers=workers,
        )
    with open_engine(engine, address, threads=threads) as opened:
        return predict_on(
            opened,
            runner,
            inputs,
            folder,
            options,
            overwrite=overwrite,
            threads=threads,
            workers=workers,
        )


def predict_on(
    engine: Engine,
    runner: Runner,
    inputs: Iterable[str | Path],
    output: AnyPath,
    options: PredictionOptions,
    *,
    overwrite: bool = False,
    threads: int | None = None,
    workers: int | None = None,
) -> FilesResult:
    """As `predict_files`, on an engine, and with files of object stores.

    The files are those of one machine, byte by byte, if workers have as many threads and the same
    versions of packages. This process holds names and no pixels, unless one COCO file is written.

    Args:
        engine: what runs the shards.
        runner: the network.
        inputs: files, folders and patterns, of object stores too. Workers on other machines have to
            see local ones under the same path.
        output: folder of the results.
        options: how inputs are predicted, and what is written.
        overwrite: predict again what was finished before.
        threads: CPU threads of a process of the engine.
        workers: number of images that such a process works on at the same time.

    Raises: ValueError for inputs or options that do not fit; OSError if nothing can be written.
    """
    options.check(runner)
    checked_workers(workers)
    _check(engine, runner, output, options)
    inputs = list(inputs)
    sources = find_inputs(inputs)
    _check_sources(engine, sources)
    with _alone_in(output):
        log = ShardLog(output, options.settings(runner))
        endings = mask_endings(runner.card.classes, runner.card.multi_label)
        sources = without_masks_beside(without_earlier_results(sources, log, endings), inputs)
        unfinished = [each for each in sources if overwrite or not log.is_finished(each)]
        named = [each._replace(name=log.name_of(each)) for each in unfinished]
        job = PredictionJob(NetworkCopy(runner), options, log.settings, output, threads, workers)
        try:
            failed = _run(engine, job, shards_of(named, engine.workers))
        finally:
            log.finish()
        if options.outputs.polygons == "coco":
            write_coco(sources, log, runner.card, instances=options.outputs.instances is not None)
    return FilesResult(len(unfinished) - len(failed), len(sources) - len(unfinished), failed)


def shards_of(inputs: Sequence[Input], workers: int) -> list[Shard]:
    """Inputs in shards, in their order. Each video is a shard of its own."""
    size = max(1, min(LARGEST_SHARD, len(inputs) // (SHARDS_PER_WORKER * workers)))
    run = f"{time.time_ns():020d}"  # later runs come later in the order of names
    groups: list[list[Input]] = []
    for source in inputs:
        alone = source.kind != "image" or (groups and groups[-1][0].kind != "image")
        if not groups or alone or len(groups[-1]) == size:
            groups.append([])
        groups[-1].append(source)
    return [Shard(f"{run}-{number:08d}", tuple(each)) for number, each in enumerate(groups)]


def _run(engine: Engine, job: PredictionJob, shards: Sequence[Shard]) -> list[str]:
    """Predicts the shards behind a progress bar; returns the messages of failed inputs in order."""
    results: list[ShardResult] = []
    console = Console(file=sys.stderr)
    # in this process, each shard has a bar of its own
    hidden = not console.is_terminal or isinstance(engine, LocalEngine)
    with Progress(console=console, disable=hidden, transient=True) as progress:
        task = progress.add_task("Predicting", total=sum(len(shard.inputs) for shard in shards))
        for result in engine.run(job, shards):
            if result.failed:
                results.append(result)
            progress.advance(task, result.inputs)
    results.sort(key=lambda result: result.name)
    return [message for result in results for message in result.failed]


@contextmanager
def _alone_in(output: AnyPath) -> Iterator[None]:
    """Makes a local output folder with its folder of shards, and locks that for this run."""
    with ExitStack() as stack:
        if isinstance(output, Path):
            shards = output / SHARDS
            shards.mkdir(parents=True, exist_ok=True)
            remedy = "Wait until that prediction has ended, or choose another output folder."
            stack.enter_context(only_user(shards, remedy=remedy))
        yield


def _check(engine: Engine, runner: Runner, output: AnyPath, options: PredictionOptions) -> None:
    if not isinstance(engine, LocalEngine):
        check_can_be_copied(runner)
    if options.outputs.polygons == "coco" and isinstance(output, RemotePath):
        raise ValueError(
            "coco.json is made of all masks, which would be read back from the object store. "
            "Choose polygons geojson, or an output folder of this machine."
        )


def _check_sources(engine: Engine, sources: Sequence[Input]) -> None:
    cameras = [source for source in sources if source.kind == "camera"]
    if cameras:
        raise ValueError(
            f"A camera belongs to one machine. Received: {cameras[0].path} and the engine "
            f"{type(engine).__name__}. Use the engine 'local' and a local output folder."
        )
