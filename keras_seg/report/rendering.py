"""Renders the templates of this folder: HTML pages that load nothing and run no script, and
Markdown pages for the hub.
"""

from __future__ import annotations

import functools
import html
import re
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

POLICY = Markup("default-src 'none'; img-src data:; style-src 'unsafe-inline'")
"""Content security policy: the page runs no script and loads nothing."""


def render(template: str, **values: Any) -> str:
    """The page of a template. All values are escaped, except `Markup`.

    Args:
        template: name of a file in `templates/`.
        values: what the template refers to.
    """
    return _environment().get_template(template).render(policy=POLICY, **values) + "\n"


def render_text(template: str, **values: Any) -> str:
    """The Markdown page of a template. The filter `cell` escapes a value for a cell of a table."""
    environment = _environment().overlay(autoescape=False)
    environment.filters["cell"] = _cell
    return environment.get_template(template).render(**values) + "\n"


def _cell(value: object) -> str:
    """A value in one line of Markdown, without the meaning that its characters have there."""
    text = " ".join(str(value).split())
    return re.sub(r"([\\`*_\[\]|])", r"\\\1", html.escape(text, quote=False))


@functools.cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("keras_seg.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_encodable,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _encodable(value: object) -> object:
    """A file name may hold bytes that are not UTF-8, which a page cannot hold."""
    if isinstance(value, Markup):
        return value
    return str(value).encode(errors="backslashreplace").decode()
