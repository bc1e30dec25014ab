"""The page of a run stands by itself, and nothing in it is taken for markup."""

import json
import re

import numpy as np
import pytest

from keras_seg.data.classes import ClassTable
from keras_seg.report import charts
from keras_seg.report.page import _exports, _page, write_report
from tests.colour_blocks import ColourBlocks
from tests.test_inference import Stub, darkness


def test_page_is_one_escaped_file_with_every_part(tmp_path):
    run = tmp_path / "<b>run"
    run.mkdir()
    rows = [
        {"epoch": n, "loss": 2 / n, "val_loss": 3 / n, "mean_iou": 0.1 * n, "val_mean_iou": 0.2}
        for n in (1, 2)
    ]
    (run / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (run / "recipe.yaml").write_text("data: <script>alert(1)</script>\n")
    (run / "model.tflite").write_bytes(bytes(1_500_000))
    side = {"latency_ms_median": 12.34}
    gate = {"comparison": {"evaluations": {"tflite": side}}}
    record = {"path": str(run / "model.tflite"), "gate": gate, "accuracy": "mIoU 80 % <kept>"}
    record["size_bytes"] = 1_500_000
    (run / "model.json").write_text(json.dumps(record))
    (run / "other.json").write_text("[]")
    (run / "old.onnx").write_bytes(b"new")
    stale = record | {"path": "old.onnx", "accuracy": "of an older file"}
    (run / "old.onnx.json").write_text(json.dumps(stale))
    data = ColourBlocks(length=9)
    data.classes = ClassTable(("a<script>", "b$x_", "c&"))
    write_report(run, run / "report.html", Stub(darkness), data)
    page = (run / "report.html").read_text()
    for part in ("Learning curves", "IoU of each class", "Confusion", "Best images", "Files"):
        assert part in page
    for text in ("1.50 MB", "12.3 ms", "mIoU 80 % &lt;kept&gt;", "&lt;script&gt;alert(1)"):
        assert text in page
    assert "old.onnx" in page and "of an older file" not in page
    assert "<script" not in page and "<b>run" not in page
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in page
    links = re.findall(r"(?:src|href)=\"([^\"#]+)", page)
    assert links and all(link.startswith("data:image/png") for link in links)
    truth = np.concatenate([sample.mask[sample.mask != 255] for sample in data])
    found = np.concatenate(
        [Stub(darkness).predict(s.image)[s.mask != 255] for s in data], axis=None
    )
    iou = [
        ((truth == k) & (found == k)).sum() / ((truth == k) | (found == k)).sum() for k in range(3)
    ]
    assert f"mIoU {100 * np.mean(iou):.2f} %" in page


@pytest.mark.xdist_group("web")
@pytest.mark.parametrize("count", [2, 19])
def test_confusion_and_files_fit_on_a_phone(browser, tmp_path, count):
    names = tuple(f"class {n} of some" for n in range(count))
    confusion = np.eye(count, dtype=int)
    (tmp_path / "model_int8_fused_argmax.tflite").write_bytes(b"content")
    record = {"path": "model_int8_fused_argmax.tflite", "size_bytes": 7, "accuracy": "kept " * 30}
    (tmp_path / "model.json").write_text(json.dumps(record))
    parts = [f'<div class="wide">{charts.matrix(confusion, names)}</div>', _exports(tmp_path)]
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.set_content(_page("run", parts))
    boxes = "elements => elements.map(e => e.getBoundingClientRect().right)"
    edges = page.locator(".matrix td, .matrix th, .files td").evaluate_all(boxes)
    assert len(edges) >= count**2 and max(edges) <= 390
    digits = page.locator(".matrix td >> text=100").first
    assert float(digits.evaluate("e => parseFloat(getComputedStyle(e).fontSize)")) >= 9
    page.close()
