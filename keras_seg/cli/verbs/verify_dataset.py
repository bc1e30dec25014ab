"""`keras-seg verify-dataset`: checks all files of a data set."""

from __future__ import annotations

from pathlib import Path

from keras_seg.cli.output import DONE, REFUSED, say, write_json
from keras_seg.cli.verbs.verb import Verb


def verify_verb(
    data: str,
    channels: int = 3,
    json_file: Path | None = None,
    classes: list[str] | None = None,
    multi_label: bool | None = None,
) -> int:
    """Check images and masks: pairs, sizes, values, damage, duplicates and class balance.

    Args:
        data: folder, built-in data set, or kind:FOLDER for an official layout or an export of an
            annotation tool.
        channels: number of channels of the images.
        json_file: file for the report as JSON.
        classes: class names, for a folder without classes.json.
        multi_label: whether a pixel may have several classes; by default as classes.json says.
    """
    from keras_seg.data import verify

    report = verify.verify_dataset(
        data, classes=classes, channels=channels, multi_label=multi_label
    )
    say(verify.to_text(report))
    write_json(json_file, verify.to_dict(report))
    return REFUSED if report.errors else DONE


VERB = Verb(verify_verb)
