"""A server for trying a page on this computer."""

from __future__ import annotations

import functools
import http.server
from pathlib import Path

ISOLATING = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}
"""Headers of a page to which a browser gives several threads."""


class IsolatingHandler(http.server.SimpleHTTPRequestHandler):
    """Sends files with the headers of an isolated page, and writes no log."""

    def end_headers(self) -> None:
        """Adds the headers."""
        for name, value in ISOLATING.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Writes nothing."""


def page_server(folder: str | Path, port: int = 0) -> http.server.ThreadingHTTPServer:
    """A server of a page for this computer alone; its `serve_forever` runs it.

    Args:
        folder: the page.
        port: its port; 0 for a free one, which `server_port` then has.

    Raises: OSError if the port is in use.
    """
    handler = functools.partial(IsolatingHandler, directory=str(folder))
    return http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
