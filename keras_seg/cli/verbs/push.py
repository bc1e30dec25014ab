"""`keras-seg push`: publishes a run or a model file on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from keras_seg.cli.output import DONE, say
from keras_seg.cli.verbs.verb import Verb


def push_verb(
    source: Path,
    repo: str,
    private: bool = False,
    licence: str | None = None,
    dry_run: bool = False,
    folder: Path | None = None,
) -> int:
    """Publish a run or a .keras file on the Hugging Face hub, with a page of measured facts.

    Args:
        source: folder of a run, whose exported files are published too, or a .keras file.
        repo: "user/repo" on the hub; it is created if there is none.
        private: whether a new repository is visible to its owner alone.
        licence: licence of the model, such as apache-2.0; unstated by default.
        dry_run: write the folder and publish nothing; no network is needed.
        folder: folder for the files, new or empty; by default a temporary one, and for a dry run
            the name of the repository.
    """
    from keras_seg.report.hub import save_to_hub

    place = save_to_hub(
        source, repo, private=private, licence=licence, dry_run=dry_run, folder=folder
    )
    say(f"{'Written, not published' if dry_run else 'Published'}: {place}", soft_wrap=True)
    return DONE


VERB = Verb(push_verb)
