"""The model card of a file: the one that it holds, or one made for a foreign file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from keras_seg.arguments import flag
from keras_seg.card import ModelCard
from keras_seg.data.classes import ClassTable
from keras_seg.model_paths import unreadable_file


def card_from_text(
    text: str | bytes | None, channels: int | None, path: Path, multi_label: bool | None = None
) -> ModelCard:
    """The card that a file holds as JSON, or one with numbered classes for a foreign file.

    Args:
        text: the JSON, None for a file without a card.
        channels: number of output channels; None for a file that outputs classes, not scores.
        multi_label: what the caller says about a foreign file, None for nothing.

    Raises: ValueError if the card contradicts the output, or if there is no card and the output
        does not show the number of classes.
    """
    if text is None and channels is None:
        raise ValueError(
            f"{path} outputs class maps and does not say how many classes there are. "
            "Received: a file without the metadata that keras_seg.export writes. "
            "Export it with keras_seg.export, or name the classes: keras_seg.inference.load(path, "
            "card=keras_seg.models.ModelCard(keras_seg.data.ClassTable(names), head='argmax'))."
        )
    if text is None:
        return numbered_card(channels, bool(multi_label))
    try:
        card = ModelCard.from_json(text)
    except ValueError as error:
        raise unreadable_file(path, path.suffix.lower(), error) from error
    check_card_channels(card, channels, path)
    if multi_label not in (None, card.multi_label):
        raise _contradiction(path, card.multi_label)
    return card


def foreign_card(
    card: ModelCard | None, channels: int | None, path: Path, multi_label: bool | None
) -> ModelCard:
    """The card of a file without one: what the caller gave, or numbered classes.

    Raises: ValueError as `card_from_text`.
    """
    if card is None:
        return card_from_text(None, channels, path, multi_label)
    card = with_multi_label(card, multi_label, is_trusted(card), path)
    check_card_channels(card, channels, path)
    return card


def numbered_card(channels: int, multi_label: bool) -> ModelCard:
    """The card of a foreign network if only its number of channels is known."""
    if not multi_label:
        return ModelCard(ClassTable.numbered(count_classes(channels)))
    colors = ClassTable.numbered(channels + 1).colors[1:]  # no label is black
    names = tuple(f"label {i}" for i in range(channels))
    return ModelCard(ClassTable(names, colors), multi_label=True)


def check_card_arguments(card: ModelCard | None, multi_label: bool | None) -> None:
    """Raises ValueError for arguments of the wrong type."""
    if card is not None and not isinstance(card, ModelCard):
        raise ValueError(
            "card is a keras_seg.models.ModelCard, such as ModelCard(ClassTable(names)). "
            f"Received: {card!r}"
        )
    if multi_label is not None:
        flag(multi_label, "multi_label")


def with_multi_label(
    card: ModelCard, multi_label: bool | None, trusted: bool, path: Path | None
) -> ModelCard:
    """The card with `multi_label` as the caller says; None changes nothing.

    Raises: ValueError if that contradicts a trusted card.
    """
    if multi_label in (None, card.multi_label):
        return card
    if trusted:
        raise _contradiction(path, card.multi_label)
    return replace(card, multi_label=multi_label)


def is_trusted(card: ModelCard | None) -> bool:
    """Whether a card states what a network outputs; the default head of a foreign card does not."""
    return card is not None and (card.network is not None or card.head != "logits")


def check_card_channels(card: ModelCard, channels: int | None, path: Path | None) -> None:
    """Raises ValueError if a card names another number of classes than the network outputs."""
    named = len(card.classes)
    binary = channels == 1 and named == 2 and not card.multi_label
    if channels not in (None, named) and not binary:
        raise ValueError(
            f"{path or 'The model'} outputs {channels} classes but its card names {named}: "
            f"{', '.join(card.classes.names)}. Give a card whose classes match."
        )


def count_classes(channels: int, multi_label: bool = False) -> int:
    """Number of mask values for a number of output channels: a single logit separates two."""
    return 2 if channels == 1 and not multi_label else channels


def _contradiction(path: Path | None, multi_label: bool) -> ValueError:
    """The error for `multi_label` that the card contradicts."""
    kind = "labels of which a pixel may have several" if multi_label else "exclusive classes"
    return ValueError(
        f"{path or 'The model'} has {kind}, as its card says. Received: multi_label="
        f"{not multi_label}. Leave multi_label out."
    )
