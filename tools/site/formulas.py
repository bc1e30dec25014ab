"""A Markdown extension: formulas between dollar signs become MathML when the site is built.

Browsers draw MathML themselves, so the pages load no script for it.
"""

from __future__ import annotations

import re

from latex2mathml.converter import convert
from markdown import Markdown
from markdown.extensions import Extension
from markdown.preprocessors import Preprocessor

FORMULA = re.compile(
    r"(?P<code>`[^`\n]*`)|\$\$(?P<block>.+?)\$\$|\$(?P<inline>[^$\n]+)\$", re.DOTALL
)


class Formulas(Extension):
    """`$x$` within a line, `$$x$$` as a paragraph of its own."""

    def extendMarkdown(self, md: Markdown) -> None:
        # after fenced code has been taken out (25), before HTML is looked for (20)
        md.preprocessors.register(_Replace(md), "formulas", 22)


class _Replace(Preprocessor):
    def run(self, lines: list[str]) -> list[str]:
        return FORMULA.sub(self._replaced, "\n".join(lines)).split("\n")

    def _replaced(self, match: re.Match[str]) -> str:
        if match["code"]:
            return match["code"]
        if match["block"]:
            formula = convert(match["block"].strip(), display="block")
            return f"\n\n{self.md.htmlStash.store(formula)}\n\n"
        return self.md.htmlStash.store(convert(match["inline"]))


def makeExtension(**settings) -> Formulas:
    """Called by Markdown for `markdown_extensions: [tools.site.formulas]`."""
    return Formulas(**settings)
