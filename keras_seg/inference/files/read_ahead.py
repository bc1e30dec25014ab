"""Reads the next image while the present one is predicted."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from keras_seg.data.reading.rows import ImageRows, open_rows
from keras_seg.inference import bands
from keras_seg.inference.files.inputs import Input
from keras_seg.inference.prediction import Runner


def read_ahead(
    sources: list[Input], runner: Runner
) -> Iterator[tuple[Input, Future[ImageRows] | None]]:
    """Each input with the future of its image; None for videos and cameras."""

    def start(pool: ThreadPoolExecutor, source: Input) -> Future[ImageRows] | None:
        if source.kind != "image":
            return None
        return pool.submit(
            open_rows,
            source.path,
            runner.input_shape[2],
            whole_pixels=bands.WHOLE_PIXELS,
            value_range=runner.card.value_range,
            nodata=runner.card.nodata,
        )

    with ThreadPoolExecutor(1) as pool:
        following = start(pool, sources[0]) if sources else None
        for i, source in enumerate(sources):
            present = following
            following = start(pool, sources[i + 1]) if i + 1 < len(sources) else None
            yield source, present
