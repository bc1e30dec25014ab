"""A Griffe extension: one-line sections of docstrings become paragraphs with a bold title."""

from __future__ import annotations

import re

import griffe

SECTION = re.compile(
    r"^(?P<name>Args|Differs from the paper|Example|Raises|Returns|Shapes|Source|Warns): (?=\S)",
    re.MULTILINE,
)


class ShortSections(griffe.Extension):
    """Griffe takes a name for a section only where nothing follows it on its line.

    `Raises: ValueError for ...` on one line would be part of the paragraph above it.
    """

    def on_object(self, *, obj: griffe.Object, **_) -> None:
        """Called for every module, class, function and attribute."""
        if obj.docstring:
            obj.docstring.value = SECTION.sub(r"\n**\g<name>:** ", obj.docstring.value)
