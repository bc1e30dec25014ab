"""Draws the picture of the browser page with the model "nuclei" of the package.

    python -m tools.browser_picture

Needs the extra `browser`, npm, and Chromium in the search path.
"""

from __future__ import annotations

import argparse
import io
import shutil
import tempfile
import threading
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from keras_seg.web import write_site
from keras_seg.web.server import page_server

PICTURE = Path(__file__).parent.parent / "docs" / "pictures" / "browser.png"
MODEL = "nuclei_int8"
SAMPLE = 1
"""The sample that is shown: stained tissue."""
SIZE = {"width": 800, "height": 570}
COLORS = 255


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=PICTURE)
    parser.add_argument("--width", type=int, default=SIZE["width"], help="of the window, in pixels")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_site(MODEL, Path(folder, "site"))
        with page_server(Path(folder, "site")) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            picture = _shown(f"http://localhost:{server.server_port}/", arguments.width)
            server.shutdown()
    picture.save(arguments.output, optimize=True)


def _shown(address: str, width: int) -> Image.Image:
    """The page after a click on the sample."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        page = browser.new_page(viewport=SIZE | {"width": width})
        page.goto(address)
        page.wait_for_selector("#choose:enabled", timeout=60_000)
        page.locator("#samples button").nth(SAMPLE).click()
        page.get_by_text("total").wait_for(timeout=60_000)
        content = page.screenshot(full_page=True)
        browser.close()
    picture = Image.open(io.BytesIO(content)).convert("RGB")
    return picture.quantize(COLORS, dither=Image.Dither.NONE)


if __name__ == "__main__":
    main()
