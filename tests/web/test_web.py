"""`keras-seg web`: the page's masks are the Python runner's, and nothing comes from elsewhere."""

import functools
import http.server
import json
import shutil
import subprocess
import threading

import numpy as np
import pytest
from PIL import Image

from keras_seg import export, inference
from keras_seg.card import ModelCard
from keras_seg.cli import main
from keras_seg.data.classes import ClassTable
from keras_seg.data.mask_colors import overlay
from keras_seg.data.reading.masks import read_mask
from keras_seg.data.reading.resize import resize_image
from keras_seg.inference.scores import resize_scores
from keras_seg.models import files
from keras_seg.web import describe, runtimes, site, write_site
from keras_seg.web.server import page_server
from tests.helpers.colour_blocks import ColourBlocks, card_of, small_network, trained

pytestmark = pytest.mark.xdist_group("web")

SIZE = (32, 48)
MODELS = {
    "float.tflite": {},
    "probabilities.tflite": {"head": "probabilities"},
    "argmax.tflite": {"input": "uint8", "head": "argmax"},
    "int8.tflite": {"quantize": "int8", "input": "uint8"},
    "int8_argmax.tflite": {"quantize": "int8", "input": "uint8", "head": "argmax"},
    "float.onnx": {},
    "nchw.onnx": {"layout": "nchw", "input": "uint8"},
    "argmax.onnx": {"head": "argmax"},
}
SAMPLE_SIZE = (70, 90)
IMAGE_SIZES = [(32, 48), (40, 48), (75, 50), (16, 20)]
NASTY = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Builds an exported file when a test first names it."""
    folder = tmp_path_factory.mktemp("exported")
    data = ColourBlocks()
    data.classes = ClassTable(("a", NASTY, "c"))
    files.save(trained(small_network(), data), folder / "model.keras", card_of(data))

    @functools.cache
    def make(name):
        options = dict(MODELS[name])
        if "quantize" in options:
            options["calibration"] = data
        export.export(folder / "model.keras", folder / name, input_shape=(*SIZE, 3), **options)
        return folder / name

    return make


@pytest.fixture(scope="module")
def node_modules(tmp_path_factory):
    """Packages with the right names and other content, and digests that fit it."""
    return _stand_in(tmp_path_factory.mktemp("node_modules"))


def _stand_in(folder):
    for package in [p for packages in runtimes.RUNTIMES.values() for p in packages]:
        place = folder / package.name
        for path in package.files:
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_text("changed")
        record = {"name": package.name, "version": package.version, "license": package.licence}
        (place / "package.json").write_text(json.dumps(record))
    return folder


class TestRefusals:
    """What cannot become a page is refused before anything is written, and says what to do."""

    def test_runtime_files_are_those_that_were_published(self, exported, node_modules, tmp_path):
        with pytest.raises(ValueError, match="differs from the published file.*npm install"):
            write_site(exported("float.tflite"), tmp_path / "site", runtime=node_modules)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("key", ["version", "license"])
    def test_runtime_of_another_version_or_licence(self, exported, tmp_path, key):
        folder = _stand_in(tmp_path / "node_modules")
        file = folder / "@litertjs/core/package.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {key: "other"}))
        with pytest.raises(ValueError, match="Received.*other"):
            runtimes.copy_runtime("tflite", tmp_path / "site", folder)

    def test_no_npm(self, exported, tmp_path, monkeypatch, capsys):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.setenv("PATH", str(tmp_path))
        output = tmp_path / "site"
        assert main(["web", str(exported("float.tflite")), "--output", str(output)]) == 2
        assert "--runtime node_modules" in capsys.readouterr().err
        assert not output.exists()
        assert [p.name for p in tmp_path.iterdir()] == ["cache"]

    def test_npm_without_a_network(self, exported, tmp_path, monkeypatch):
        npm = tmp_path / "npm"
        npm.write_text("#!/bin/sh\necho 'getaddrinfo failed' >&2\nexit 1\n")
        npm.chmod(0o755)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(RuntimeError, match="getaddrinfo failed.*--runtime"):
            write_site(exported("float.tflite"), tmp_path / "site")

    def test_other_suffix(self, tmp_path):
        with pytest.raises(ValueError, match="keras-seg export"):
            describe.describe(tmp_path / "model.keras")

    def test_free_size_and_missing_card(self, tmp_path):
        import onnx
        from onnx import TensorProto, helper

        def graph(size):
            return helper.make_model(
                helper.make_graph(
                    [helper.make_node("Identity", ["x"], ["y"])],
                    "g",
                    [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, size, size, 3])],
                    [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, size, size, 3])],
                ),
                opset_imports=[helper.make_opsetid("", 18)],
                ir_version=9,
            )

        onnx.save(graph(8), tmp_path / "bare.onnx")
        with pytest.raises(ValueError, match="has no card"):
            describe.describe(tmp_path / "bare.onnx")
        free = graph("n")
        card = ModelCard(ClassTable(("a", "b", "c")), "free").to_json()
        free.metadata_props.add(key="keras_seg", value=card)
        onnx.save(free, tmp_path / "free.onnx")
        with pytest.raises(ValueError, match="any size.*input_shape"):
            describe.describe(tmp_path / "free.onnx")

    def test_a_folder_of_something_else_is_left_alone(self, exported, tmp_path):
        (tmp_path / "thesis.tex").write_text("years of work")
        with pytest.raises(ValueError, match="is not a page of keras-seg web"):
            write_site(exported("float.tflite"), tmp_path)
        assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]

    def test_what_else_lies_in_a_page_is_not_removed(self, exported, tmp_path):
        for name in ("model.json", "index.html", "group1-shard1of1.bin"):
            (tmp_path / name).write_text("{}")
        with pytest.raises(ValueError, match="not part of the page: .'group1-shard1of1.bin'"):
            write_site(exported("float.tflite"), tmp_path)
        assert len(list(tmp_path.iterdir())) == 3


def test_page_loads_from_its_own_site_alone():
    """No address in the page's files, a policy without exceptions, a matching import-map hash."""
    import base64
    import hashlib
    import re
    from pathlib import Path

    page = Path(site.__file__).parent / "page"
    for file in page.iterdir():
        if file.is_file():
            text = file.read_text().replace('xmlns="http://www.w3.org/2000/svg"', "")
            assert not re.search(r"https?://|innerHTML|eval\(", text), file.name
    html = (page / "index.html").read_text()
    import_map = re.search(r'<script type="importmap">(.*?)</script>', html, re.S).group(1)
    digest = base64.b64encode(hashlib.sha256(import_map.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in html
    assert "default-src 'none'" in html and "unsafe-inline" not in html


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_resizing_is_pillows_to_the_last_bit(tmp_path):
    """Bytes, scores and classes, growing and shrinking, as the Python runner resizes them."""
    random = np.random.default_rng(0)
    cases = []
    for _ in range(40):
        height, width, rows, columns = random.integers(1, 90, 4).tolist()
        pixels = random.integers(0, 256, (height, width, 3), np.uint8)
        scores = random.normal(0, 5, (height, width, 3)).astype(np.float32)
        expected = [
            resize_image(pixels, (rows, columns)),
            resize_scores(scores, (rows, columns)),
            resize_scores(pixels[..., 0], (rows, columns)),
        ]
        case = [[height, width], [rows, columns], pixels, scores, pixels[..., 0], *expected]
        cases.append([np.asarray(part).ravel().tolist() for part in case])
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    page = site.resources.files("keras_seg.web") / "page"
    shutil.copy(page / "resize.js", tmp_path / "resize.mjs")
    (tmp_path / "check.mjs").write_text("""
import { readFileSync } from "node:fs";
import { resizeBilinear, resizeNearest } from "./resize.mjs";
const differ = (a, b) => a.length !== b.length || a.some((v, i) => v !== b[i]);
let wrong = [0, 0, 0];
const cases = JSON.parse(readFileSync("cases.json"));
for (const [from, to, pixels, scores, classes, ...expected] of cases) {
  const results = [
    resizeBilinear(Uint8Array.from(pixels), from, 3, to),
    resizeBilinear(Float32Array.from(scores), from, 3, to),
    resizeNearest(Uint8Array.from(classes), from, to),
  ];
  results.forEach((r, i) => (wrong[i] += differ(r, expected[i]) ? 1 : 0));
}
console.log(JSON.stringify(wrong));
""")
    done = subprocess.run(
        ["node", "check.mjs"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [0, 0, 0]


@pytest.fixture(scope="module")
def served(exported, tmp_path_factory):
    """Writes the site of a file and serves it: name → address."""
    folder = tmp_path_factory.mktemp("sites")
    handler = functools.partial(Quiet, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    Image.fromarray(ColourBlocks(size=SAMPLE_SIZE)[0].image).save(folder / "sample.png")

    @functools.cache
    def address(name, sizing="auto"):
        target = folder / f"{name}-{sizing}"
        try:
            write_site(exported(name), target, sizing=sizing, samples=folder / "sample.png")
        except RuntimeError as error:
            pytest.skip(f"the JavaScript runtime is not to be had: {error}")
        return f"http://127.0.0.1:{server.server_port}/{target.name}/"

    address.folder = folder
    yield address
    server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def opened(browser, address, cores=2):
    """The page, ready, and the list that collects its errors and what it asks of other hosts."""
    page = browser.new_context(viewport={"width": 390, "height": 844}).new_page()
    page.add_init_script(
        f"Object.defineProperty(navigator, 'hardwareConcurrency', {{ get: () => {cores} }})"
    )
    troubles = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("console", lambda message: complaint(message, troubles))
    page.on("request", lambda r: None if r.url.startswith(address[:16]) else foreign(r, troubles))
    page.goto(address)
    page.wait_for_selector("#choose:enabled, #status.error", timeout=60_000)
    assert "Ready" in page.inner_text("#status"), troubles
    return page, troubles


def complaint(message, troubles):
    """The LiteRT runtime writes its log, whatever the level, as errors of the console."""
    if message.type == "error" and not message.text.startswith(("INFO:", "WARNING:")):
        troubles.append(message.text)


def foreign(request, troubles):
    if not request.url.startswith(("blob:", "data:")):
        troubles.append(f"asked for {request.url}")


def mask_of(page, act):
    """The page's mask after something that makes it segment."""
    runs = page.evaluate("async () => (await import('./app.js')).state.runs")
    act()
    # a loop, because wait_for_function takes the promise of an async function for an answer
    values, size = page.evaluate(
        """async (runs) => {
            const { state } = await import('./app.js');
            for (let waited = 0; state.runs <= runs; waited++) {
                if (waited > 3000) throw Error(document.getElementById('status').innerText);
                await new Promise((resolve) => setTimeout(resolve, 20));
            }
            return [Array.from(state.mask), state.size];
        }""",
        runs,
    )
    return np.array(values, np.uint8).reshape(size)


CASES = [(name, "auto") for name in MODELS] + [
    ("float.tflite", "resize"),
    ("argmax.tflite", "resize"),
    ("argmax.onnx", "resize"),
    ("nchw.onnx", "resize"),
]


@pytest.mark.parametrize(("name", "sizing"), CASES)
def test_masks_of_the_page_are_those_of_the_runner(
    browser, served, exported, tmp_path, name, sizing
):
    page, troubles = opened(browser, served(name, sizing))
    runner = inference.load(exported(name), threads=1)
    for i, size in enumerate(IMAGE_SIZES):
        image = ColourBlocks(size=size)[i].image
        Image.fromarray(image).save(tmp_path / f"{i}.png")
        mask = mask_of(page, lambda i=i: page.set_input_files("#file", tmp_path / f"{i}.png"))
        expected = inference.predict(runner, image, sizing=sizing)
        assert mask.shape == expected.shape
        assert (mask != expected).sum() == 0, f"{(mask != expected).mean():.2%} at {size}"
        assert len(np.unique(expected)) > 1
    assert troubles == []
    page.context.close()


def canvas_of(page):
    """The pixels that the page shows, (H, W, 3)."""
    pixels, width = page.evaluate(
        "() => { const c = document.getElementById('picture');"
        " const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        " return [Array.from(d), c.width]; }"
    )
    return np.reshape(pixels, (-1, width, 4))[..., :3]


def test_page_in_use(browser, served, exported, tmp_path):
    """Samples, camera, opacity, switches, saving, names as text, no network, no scrolling."""
    page, troubles = opened(browser, served("float.tflite"))
    assert page.inner_text("#legend .name >> nth=1") == NASTY
    assert page.inner_text("h1") == page.title() == f"float: {card_of(ColourBlocks()).network}"
    assert page.inner_text("#network").endswith("1 CPU thread")
    image, sample = ColourBlocks(size=SAMPLE_SIZE)[0].image, "#samples button"
    mask = mask_of(page, lambda: page.click(sample))
    assert mask.shape == SAMPLE_SIZE
    assert page.inner_text("#time").startswith("Network ")
    classes = ClassTable(("a", NASTY, "c"))
    np.testing.assert_allclose(canvas_of(page), overlay(image, mask, classes), atol=1)
    shown = int(np.bincount(mask.ravel()).argmax())
    page.locator("#legend input").nth(shown).uncheck()
    hidden = canvas_of(page)
    assert (hidden[mask == shown] == image[mask == shown]).all()
    assert (hidden[mask != shown] != image[mask != shown]).any()
    page.fill("#opacity", "0")
    assert (canvas_of(page) == image).all()
    with page.expect_download() as download:
        page.click("#save")
    saved = download.value.path().rename(tmp_path / "mask.png")
    assert (read_mask(saved) == mask).all()
    mask_of(page, lambda: page.click("#camera"))
    page.click("#camera")
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    page.evaluate("async () => { await navigator.serviceWorker.ready; }")
    page.context.set_offline(True)
    page.reload()
    page.wait_for_selector("#choose:enabled", timeout=60_000)
    assert (mask_of(page, lambda: page.click(sample)) == mask).all()
    assert troubles == []
    page.context.close()


@pytest.mark.parametrize("name", ["float.tflite", "float.onnx"])
def test_an_isolated_page_uses_several_threads(browser, served, exported, name):
    """From the server of `--serve`, and from others as soon as the service worker runs."""
    plain = served(name)
    server = page_server(served.folder / f"{name}-auto")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    page, troubles = opened(browser, f"http://127.0.0.1:{server.server_port}/", cores=4)
    assert page.evaluate("() => crossOriginIsolated")
    assert page.inner_text("#network").endswith("2 CPU threads")
    mask = mask_of(page, lambda: page.click("#samples button"))
    image = ColourBlocks(size=SAMPLE_SIZE)[0].image
    assert (mask == inference.predict(inference.load(exported(name)), image)).all()
    assert troubles == []
    page.context.close()
    server.shutdown()
    server.server_close()
    page, troubles = opened(browser, plain, cores=4)
    assert page.inner_text("#network").endswith("1 CPU thread")
    page.evaluate("async () => { await navigator.serviceWorker.ready; }")
    page.reload()
    page.wait_for_selector("#choose:enabled", timeout=60_000)
    assert page.inner_text("#network").endswith("2 CPU threads") and troubles == []
    page.context.close()


def test_page_says_what_is_wrong_with_a_file(browser, served, tmp_path):
    page, _ = opened(browser, served("float.onnx"))
    (tmp_path / "no.png").write_text("no picture")
    page.set_input_files("#file", tmp_path / "no.png")
    page.wait_for_selector("#status.error")
    assert "could not be segmented" in page.inner_text("#status")
    page.context.close()
