"""`keras-seg verify-dataset`: checks all files of a data set."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Literal

from keras_seg.cli.checks import check_data
from keras_seg.cli.output import DONE, REFUSED, say, text_on_stderr, write_json
from keras_seg.cli.verbs.verb import Verb
from keras_seg.engines import check_engine


def verify_verb(
    data: str,
    channels: int = 3,
    json_file: Path | None = None,
    classes: list[str] | None = None,
    pictures: Path | None = None,
    write_classes: bool = False,
    multi_label: bool | None = None,
    engine: Literal["local", "ray"] = "local",
    address: str | None = None,
) -> int:
    """Check images and masks: pairs, sizes, values, damage, duplicates and class balance.

    Args:
        data: folder, built-in data set, or kind:FOLDER for an official layout or an export of an
            annotation tool.
        channels: number of channels of the images.
        json_file: file for the report as JSON; - for standard output.
        classes: class names, for a folder without classes.json.
        pictures: .html or .png file with sample overlays of all classes and both splits.
        write_classes: write names, colours and mask values to classes.json in the folder.
        multi_label: whether a pixel may have several classes; by default as classes.json says.
        engine: where samples are read: in this process, or on the machines of a Ray cluster, which
            all have to see the data set.
        address: the cluster, auto or HOST:PORT; by default that of RAY_ADDRESS, or a new one on
            this machine.
    """
    check_engine(engine, address)
    check_data(data)
    from keras_seg.data import verify

    if pictures is not None and pictures.suffix.lower() not in (".html", ".png"):
        raise ValueError(f"--pictures is a file that ends in .html or .png. Received: {pictures}")
    if write_classes:
        path, added = verify.write_class_table(data, classes, multi_label=multi_label)
        kept = "has all of them already" if not added else f"now has {', '.join(added)}"
        say(f"{path} {kept}. Check the names, and change them where needed.", soft_wrap=True)
        classes = None

    # Ray writes its own messages to standard output
    with text_on_stderr() if engine != "local" else nullcontext():
        report = verify.verify_dataset(
            data,
            classes=classes,
            channels=channels,
            multi_label=multi_label,
            engine=engine,
            address=address,
        )
    say(verify.to_text(report))
    write_json(json_file, verify.to_dict(report))
    if pictures is not None:
        from keras_seg.report.samples import write_samples

        number = write_samples(report, pictures)
        say(f"Pictures of {number} samples: {pictures}", soft_wrap=True)
    return REFUSED if report.errors else DONE


VERB = Verb(
    verify_verb,
    arguments={
        "--write_classes": {
            "action": "store_true",
            "help": "write names, colours, mask values and the rule of the mask names to "
            "classes.json in the folder; entries that it has are kept",
        }
    },
)
