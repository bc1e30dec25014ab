"""`keras-seg report`: writes an HTML page about a run."""

from __future__ import annotations

from pathlib import Path

from keras_seg.cli.checks import check_apart, check_counts
from keras_seg.cli.output import DONE, say
from keras_seg.cli.verbs.verb import Verb


def report_verb(
    run: Path, output: Path | None = None, data: str | None = None, limit: int | None = None
) -> int:
    """Write an HTML page about a run: curves, classes, images, files and recipe.

    Args:
        run: folder of the run.
        output: HTML file; by default report.html in the run.
        data: folder or built-in data set; by default the data of the run.
        limit: number of validation images to use; all by default.
    """
    from keras_seg.training.run_folder import MADE, MODEL_NAME, evaluation_data

    output = output or run / "report.html"
    check_apart(run=run, **{name: run / name for name in MADE}, output=output)
    check_counts(limit=limit)
    from keras_seg import inference
    from keras_seg.report.page import write_report

    runner = inference.load(run / MODEL_NAME)
    dataset = evaluation_data(
        run / MODEL_NAME,
        data,
        "val",
        runner.input_shape[2],
        value_range=runner.card.value_range,
        multi_label=runner.card.multi_label or None,
        nodata=runner.card.nodata,
    )
    write_report(run, output, runner, dataset, limit=limit)
    say(f"Report: {output}", soft_wrap=True)
    return DONE


VERB = Verb(report_verb)
