"""`keras-seg report`: writes an HTML page about a run, or about several."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from keras_seg.cli.checks import check_apart, check_counts, check_data
from keras_seg.cli.output import DONE, complain, say
from keras_seg.cli.verbs.verb import Verb
from keras_seg.names import nearest_path_hint

PAGE, COMPARISON = "report.html", "comparison.html"


def report_verb(
    runs: list[str], output: Path | None = None, data: str | None = None, limit: int | None = None
) -> int:
    """Write an HTML page about a run: curves, classes, images, files and recipe.

    Several runs are compared in one page and one table.

    Args:
        output: HTML file; by default report.html in the run, or comparison.html beside the runs.
        data: folder or built-in data set; by default the data of the run.
        limit: number of validation images to use; all by default.
    """
    from keras_seg.training.run_folder import MADE

    paths = [Path(run) for run in runs]
    folders = [path for path in paths if path.is_dir()]
    if len(paths) == 1 or len(folders) == 1:
        run = folders[0] if folders else paths[0]
        output = output or run / PAGE
        check_apart(run=run, **{name: run / name for name in MADE}, output=output)
        return _one(run, output, data, limit)
    if data is not None or limit is not None:
        raise ValueError(
            "data and limit are for the report of one run. A comparison reads the logs of the runs "
            "and predicts nothing. Leave them out."
        )
    output = output or _beside(folders or paths) / COMPARISON
    for run in folders:
        check_apart(run=run, **{name: run / name for name in MADE}, output=output)
    return _several([path for path in paths if path.resolve() != output.resolve()], output)


def _one(run: Path, output: Path, data: str | None, limit: int | None) -> int:
    from keras_seg.training.run_folder import MODEL_NAME, evaluation_data

    check_counts(limit=limit)
    check_data(data)
    if not run.exists():
        hint = nearest_path_hint(run, folders_only=True)
        raise FileNotFoundError(
            f"There is no folder {run}.{hint} Pass the folder that `keras-seg train` got as "
            "--output."
        )
    if not (run / MODEL_NAME).exists():
        if any(run.glob(f"fold_*/{MODEL_NAME}")):
            return _several([run], run / COMPARISON if output == run / PAGE else output)
        raise FileNotFoundError(
            f"{run} is not the folder of a run: it has no {MODEL_NAME}. Pass the folder that "
            "`keras-seg train` got as --output."
        )
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


def _several(runs: Sequence[Path], output: Path) -> int:
    from keras_seg.report.comparison import compare_runs, write_comparison

    comparison = compare_runs(runs)
    for note in comparison.notes:
        complain(note)
    say(comparison.table())
    for line in comparison.lines():
        say(line)
    write_comparison(comparison, output)
    say(f"Comparison: {output}", soft_wrap=True)
    return DONE


def _beside(runs: Sequence[Path]) -> Path:
    """The folder that all runs are in."""
    return Path(os.path.commonpath([run.resolve().parent for run in runs]))


VERB = Verb(
    report_verb,
    arguments={
        "runs": {
            "nargs": "+",
            "type": str,
            "help": "folder of a run; several folders are compared",
        },
    },
)
