"""The page of a run needs no other file, and no name in it is read as markup."""

import json
import os
import re

import numpy as np
import pytest

from keras_seg import cli
from keras_seg.data.classes import ClassTable
from keras_seg.report import charts
from keras_seg.report import page as pages
from keras_seg.report.page import _exports, write_report
from tests.helpers.colour_blocks import ColourBlocks
from tests.helpers.stub_runner import Stub, darkness


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


ROW = '{"epoch": 1, "loss": 1.5, "val_mean_iou": 0.25}\n'


@pytest.mark.parametrize(
    "text",
    [
        ROW + ROW[:20],
        ROW + "\n",
        ROW.replace('"epoch": 1', '"epoch": "one"'),
        ROW.replace("1.5", "{}"),
        ROW.replace("1.5", "1" + 400 * "0"),
        ROW.replace(', "val_mean_iou": 0.25', ""),
        "[1]",
        "null",
        "[" * 100_000,
    ],
    ids=lambda text: text[-24:].strip(),
)
def test_a_damaged_log_is_refused_with_its_line(tmp_path, text):
    (tmp_path / "log.jsonl").write_text(text)
    with pytest.raises(ValueError, match=r"log\.jsonl, line \d must hold the numbers of an epoch"):
        write_report(tmp_path, tmp_path / "report.html", Stub(darkness), ColourBlocks(length=1))
    assert not (tmp_path / "report.html").exists()


def test_a_model_of_fewer_classes_than_the_data_is_refused(tmp_path):
    data = ColourBlocks(length=1)
    data.classes = ClassTable(("a", "b", "c", "d"))
    with pytest.raises(ValueError, match="predicts 3 classes"):
        write_report(tmp_path, tmp_path / "report.html", Stub(darkness), data)


@pytest.mark.parametrize(
    "damage",
    [
        {"gate": "passed"},
        {"gate": {"comparison": None}},
        {"gate": {"comparison": {"evaluations": [1]}}},
        {"gate": {"comparison": {"evaluations": {"onnx": 3}}}},
        {"gate": {"comparison": {"evaluations": {"onnx": {"latency_ms_median": "fast"}}}}},
    ],
    ids=str,
)
def test_damaged_export_reports_are_passed_over(tmp_path, damage):
    (tmp_path / "model.onnx").write_bytes(b"content")
    record = {"path": "model.onnx", "size_bytes": 7, "accuracy": "mIoU 80 %"}
    (tmp_path / "model.onnx.json").write_text(json.dumps(record))
    assert "mIoU 80 %" in _exports(tmp_path)
    (tmp_path / "model.onnx.json").write_text(json.dumps(record | damage))
    (tmp_path / "deep.json").write_text("[" * 100_000)
    assert "model.onnx" in _exports(tmp_path) and "mIoU 80 %" not in _exports(tmp_path)


def test_links_that_lead_nowhere_and_names_that_are_no_text_do_not_end_a_page(tmp_path):
    (tmp_path / "gone.onnx").symlink_to("nowhere")
    (tmp_path / os.fsdecode(b"\xff.onnx")).write_bytes(b"content")
    page = pages.page("run", [_exports(tmp_path)])
    assert "gone.onnx" not in page
    assert r"\udcff.onnx" in page and page.encode()


@pytest.mark.parametrize("name", ["recipe.yaml", "log.jsonl", "log.csv", "checkpoints"])
def test_the_page_is_not_written_over_what_the_training_left(tmp_path, capsys, name):
    (tmp_path / name).write_text("what was there")
    words = ["report", str(tmp_path), "--output", str(tmp_path / name)]
    assert cli.main(words) == cli.WRONG_INPUT
    assert "would be overwritten" in capsys.readouterr().err
    assert (tmp_path / name).read_text() == "what was there"


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
    page.set_content(pages.page("run", parts))
    boxes = "elements => elements.map(e => e.getBoundingClientRect().right)"
    edges = page.locator(".matrix td, .matrix th, .files td").evaluate_all(boxes)
    assert len(edges) >= count**2 and max(edges) <= 390
    digits = page.locator(".matrix td >> text=100").first
    assert float(digits.evaluate("e => parseFloat(getComputedStyle(e).fontSize)")) >= 9
    page.close()
