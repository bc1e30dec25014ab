"""Text from files: names that UTF-8 cannot encode, and characters that control a terminal."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # rich takes a tenth of a second to import
    from collections.abc import Iterator

    from rich.console import Console, ConsoleOptions
    from rich.segment import Segment

CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Characters that control a terminal or change the direction of text."""


def visible(text: str) -> str:
    """Writes out control characters, such as `\\x1b`."""
    return CONTROL_CHARACTERS.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


class VisibleTable:
    """A rich renderable without control characters in its text. Its styles still apply."""

    def __init__(self, renderable: Any):
        self._renderable = renderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        from rich.segment import Segment

        for text, style, control in console.render(self._renderable, options):
            yield Segment(text if control else visible(text), style, control)


def not_encodable(names: tuple[str, ...]) -> list[str]:
    """The names that UTF-8 cannot encode: those with a lone surrogate."""
    return [name for name in names if any("\ud800" <= letter <= "\udfff" for letter in name)]
