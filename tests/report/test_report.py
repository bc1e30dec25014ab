"""The page of a run needs no other file, and no name in it is read as markup."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from keras_seg import cli
from keras_seg.data.classes import ClassTable
from keras_seg.report import charts
from keras_seg.report.model_files import model_files
from keras_seg.report.page import write_report
from keras_seg.report.pictures import ADDED, CONFUSED, MISSED, compared, data_url
from keras_seg.report.rendering import render
from keras_seg.report.run_facts import RunFacts, duration, read_run
from keras_seg.training.recipe import Recipe
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
    (run / "model.keras").write_bytes(bytes(2_000_000))
    side = {"latency_ms_median": 12.34, "miou": 0.8, "sizing": "tile"}
    keras = {"latency_ms_median": 23.45, "miou": 0.81, "sizing": "tile"}
    gate = {"comparison": {"evaluations": {"tflite": side, "keras": keras}}}
    record = {"path": str(run / "model.tflite"), "gate": gate, "accuracy": "mIoU 80 % <kept>"}
    record["input_shape"] = [32, 48, 3]
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
    for part in ("Learning curves", "Scores of each class", "Confusion", "Best images", "Files"):
        assert part in page
    for text in ("1.50 MB", "12.3 ms", "mIoU 80 % &lt;kept&gt;", "&lt;script&gt;alert(1)"):
        assert text in page
    assert "23.4 ms<small>windows of 32x48" in page and "80.00 %<small>windows of 32x48" in page
    assert "model.keras sees whole images" in page and "both files see\nwindows of 32x48" in page
    assert "old.onnx" in page and "of an older file" not in page
    assert "<script" not in page and "<b>run" not in page
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in page
    links = re.findall(r"(?:src|href)=\"([^\"#]+)", page)
    assert links and all(link.startswith("data:image/jpeg;base64,") for link in links)
    truth = np.concatenate([sample.mask[sample.mask != 255] for sample in data])
    predicted = np.concatenate(
        [Stub(darkness).predict(s.image)[s.mask != 255] for s in data], axis=None
    )
    both = [((truth == k) & (predicted == k)).sum() for k in range(3)]
    either = [((truth == k) | (predicted == k)).sum() for k in range(3)]
    assert f"mIoU {100 * np.mean(np.divide(both, either)):.2f} %" in page
    shown = {title: re.findall(f'title="{title}">([^<]*)<', page) for title in SCORES}
    sums = {title: [(truth == k).sum(), (predicted == k).sum()] for title in SCORES for k in (1,)}
    assert shown["recall"][1] == f"{100 * both[1] / sums['recall'][0]:.1f} %"
    assert shown["precision"][1] == f"{100 * both[1] / sums['precision'][1]:.1f} %"
    assert shown["Dice"][1] == f"{200 * both[1] / sum(sums['Dice']):.1f} %"
    assert shown["pixels"][1] == f"{sums['pixels'][0]:,}"


SCORES = ("precision", "recall", "Dice", "pixels")


def test_the_head_and_the_recipe_say_what_is_special_about_a_run(tmp_path):
    recipe = Recipe(data="nuclei", output="here", epochs=9, model_options={"widths": [4, 8]})
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml())
    environment = {"backend": "tensorflow", "device": "H200", "devices": 2}
    environment["started"] = "2026-11-30T18:22:00+00:00"
    (tmp_path / "environment.json").write_text(json.dumps(environment))
    (tmp_path / "log.jsonl").write_text(ROW[:-2] + ', "seconds": 71.2}\n')
    data = ColourBlocks(length=2)
    write_report(tmp_path, tmp_path / "report.html", Stub(darkness), data)
    page = (tmp_path / "report.html").read_text()
    entries = dict(re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", page))
    assert entries["Date"] == "2026-11-30 18:22" and entries["Device"] == "2 x H200, TensorFlow"
    assert entries["Duration"] == "1 min 11 s, 1 epoch" and entries["Data"] == "nuclei"
    assert entries["Network"] == "stub" and "Parameters" not in entries
    shown, whole = page.split("<details>")
    assert "<td>model_options.widths</td><td>[4, 8]</td>" in shown
    assert '<td>epochs</td><td>9</td><td title="default">50</td>' in shown
    assert "batch_size" not in shown and "batch_size: 8" in whole
    assert duration(42.4) == "42 s" and duration(7500) == "2 h 5 min"


def test_what_is_damaged_in_a_run_is_left_out_of_its_facts(tmp_path):
    (tmp_path / "recipe.yaml").write_text("- no\n- recipe")
    (tmp_path / "environment.json").write_text("[1]")
    (tmp_path / "checkpoints" / "step_000000009").mkdir(parents=True)
    (tmp_path / "checkpoints" / "step_000000009" / "facts.json").write_text('{"data": [1]}')
    facts = read_run(tmp_path)
    assert facts == RunFacts(tmp_path, recipe_text="- no\n- recipe")
    assert (facts.changed, facts.date, facts.device, facts.best) == ([], "", "", None)


def test_wrong_pixels_have_the_colour_of_their_kind():
    image = np.zeros((2, 4, 3), np.uint8)
    truth = np.array([[0, 1, 1, 0], [255, 1, 2, 0]])
    predicted = np.array([[0, 0, 1, 1], [1, 1, 1, 0]])
    classes = ClassTable(("background", "a", "b"))
    errors = compared(image, truth, predicted, classes)["errors"]
    step = errors.shape[0] // 2
    kinds = errors[step // 2 :: step, step // 2 :: step]
    bright = {tuple(np.round(0.85 * np.array(c)).astype(int)): c for c in (MISSED, ADDED, CONFUSED)}
    named = [[bright.get(tuple(pixel)) for pixel in row.tolist()] for row in kinds]
    assert named == [[None, MISSED, None, ADDED], [None, None, CONFUSED, None]]


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
    assert [file.accuracy for file in model_files(tmp_path)] == ["mIoU 80 %"]
    (tmp_path / "model.onnx.json").write_text(json.dumps(record | damage))
    (tmp_path / "deep.json").write_text("[" * 100_000)
    assert [(file.name, file.accuracy) for file in model_files(tmp_path)] == [("model.onnx", "")]


def test_links_that_lead_nowhere_and_names_that_are_no_text_do_not_end_a_page(tmp_path):
    (tmp_path / "gone.onnx").symlink_to("nowhere")
    (tmp_path / os.fsdecode(b"\xff.onnx")).write_bytes(b"content")
    write_report(tmp_path, tmp_path / "report.html", Stub(darkness), ColourBlocks(length=1))
    page = (tmp_path / "report.html").read_text()
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
def test_the_page_fits_on_a_phone_and_pictures_enlarge(browser, tmp_path, count):
    names = tuple(f"class {n} of some" for n in range(count))
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.set_content(_page_of(tmp_path, names))
    boxes = "elements => elements.map(e => e.getBoundingClientRect().right)"
    edges = page.locator(".matrix td, .matrix th, .files td, .scores td").evaluate_all(boxes)
    assert len(edges) >= count**2 and max(edges) <= 390
    digits = page.locator(".matrix td >> text=100").first
    assert float(digits.evaluate("e => parseFloat(getComputedStyle(e).fontSize)")) >= 9
    picture = page.locator(".zoom img").first
    width = "e => e.getBoundingClientRect().width"
    small = picture.evaluate(width)
    picture.click()
    assert small < 200 and picture.evaluate(width) == 390
    picture.click()
    assert picture.evaluate(width) == small
    page.close()


@pytest.mark.xdist_group("web")
def test_the_page_follows_dark_mode(browser, tmp_path):
    page = browser.new_page(color_scheme="dark")
    page.set_content(_page_of(tmp_path, ("a", "b")))
    brightness = (
        "e => getComputedStyle(e)[{0}].match(/\\d+/g).slice(0, 3).reduce((a, b) => +a + +b)"
    )
    body = page.locator("body")
    assert body.evaluate(brightness.format('"backgroundColor"')) < 150
    for part in ("body", "svg text", "dt"):
        color = page.locator(part).first.evaluate(brightness.format('"color"'))
        assert color > 350, part
    tick = page.locator("svg text").first
    assert tick.evaluate(brightness.format('"fill"')) > 350
    page.close()


def _page_of(tmp_path, names):
    """The page of a run with these classes and one picture."""
    (tmp_path / "model_int8_fused_argmax.tflite").write_bytes(b"content")
    record = {"path": "model_int8_fused_argmax.tflite", "size_bytes": 7, "accuracy": "kept " * 30}
    (tmp_path / "model.json").write_text(json.dumps(record))
    scores = dict.fromkeys(("precision", "recall", "dice", "share"), "100.0 %")
    scores |= {"iou": "99.9 %", "bar": 99.9, "pixels": "1,234,567", "predicted": "1,234,567"}
    grey = data_url(np.zeros((90, 120, 3), np.uint8))
    row = {"name": "x", "score": "5 %", "pictures": dict.fromkeys(("image", "truth"), grey)}
    return render(
        "run.html",
        title="run",
        miou="50 %",
        sizing="whole images",
        images=1,
        dataset="data",
        head={"Network": "unet"},
        curves=charts.curves([json.loads(ROW)]),
        kind="class",
        classes=[scores | {"name": name, "color": "rgb(1 2 3)"} for name in names],
        matrix=charts.matrix(np.eye(len(names), dtype=int), names),
        pictures={"Best images": [row]},
        error_colors={},
        files=model_files(tmp_path),
        differing=[],
        changed=[("epochs", "9", "50")],
        recipe="epochs: 9",
        environment={"Python": "3"},
    )


@pytest.mark.parametrize("theme", charts.CELL_COLORS)
def test_text_has_contrast_on_every_cell_of_a_matrix(theme):
    style = Path(charts.__file__).with_name("templates").joinpath("style.css").read_text()
    colors = {
        name: re.findall(rf"--{name}:#([0-9a-f]+)", style)[theme == "dark"]
        for name in ("paper", "full")
    }
    empty, full = ("".join(2 * x for x in c) if len(c) == 3 else c for c in colors.values())
    assert [tuple(bytes.fromhex(c)) for c in (empty, full)] == [*charts.CELL_COLORS[theme]]
    for share in np.linspace(0, 1, 1001):
        here, there = map(np.array, charts.CELL_COLORS[theme])
        levels = [
            charts.luminance(share * there + (1 - share) * here),
            float(charts.text_color(share, theme) == "#fff"),
        ]
        assert (max(levels) + 0.05) / (min(levels) + 0.05) >= 4.5, share
