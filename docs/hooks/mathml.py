"""Formulas as MathML, which browsers draw themselves: the pages load no script for it."""

from __future__ import annotations

import re

from latex2mathml.converter import convert

FORMULA = re.compile(
    r"(?P<code>```.*?```|`[^`\n]*`)|\$\$(?P<block>.+?)\$\$|\$(?P<inline>[^$\n]+)\$", re.DOTALL
)


def on_page_markdown(markdown: str, **_) -> str:
    """Called by MkDocs for the text of every page."""
    return FORMULA.sub(_replaced, markdown)


def _replaced(match: re.Match) -> str:
    if match["code"]:
        return match["code"]
    if match["block"]:
        return f"\n{convert(match['block'].strip(), display='block')}\n"
    return f"<span>{convert(match['inline'])}</span>"  # a line that begins with <math> is a block
