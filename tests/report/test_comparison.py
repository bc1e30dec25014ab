"""Several runs become one table and one page; broken runs and other data are named."""

import io
import json
import re

import keras
import pytest
from rich.console import Console

from keras_seg import cli, models
from keras_seg.data import ClassTable
from keras_seg.report.compared_run import count_parameters
from keras_seg.report.comparison import compare_runs
from keras_seg.training.recipe import Recipe


@pytest.fixture
def runs(tmp_path):
    """A folder of three runs, a broken one, one without an epoch, and a file."""
    _write(tmp_path / "good", [0.2, 0.7, 0.6], learning_rate=0.01)
    _write(tmp_path / "better", [0.2, 0.8], epochs=9, loss="dice", crop=(64, 96))
    _write(tmp_path / "<b>other", [0.3], data="roads", names=("road", "car"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "log.jsonl").write_text("{")
    (tmp_path / "notes.txt").write_text("mine")
    return tmp_path


def _write(folder, scores, *, data="cells", names=("background", "cell"), **entries):
    folder.mkdir()
    recipe = Recipe(**{"data": data, "output": str(folder), "epochs": len(scores)} | entries)
    (folder / "recipe.yaml").write_text(recipe.to_yaml())
    rows = [
        {"epoch": n, "loss": 1 / n, "val_loss": 2 / n, "mean_iou": score, "val_mean_iou": score}
        | {"seconds": 60.0, "val_iou": {names[0]: 0.9, names[1]: score}}
        for n, score in enumerate(scores, start=1)
    ]
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_runs_are_sorted_and_what_differs_is_named(runs):
    comparison = compare_runs(sorted(runs.iterdir()))
    assert [run.facts.name for run in comparison.runs] == ["better", "good", "<b>other"]
    assert [(run.miou, run.epoch) for run in comparison.runs] == [(0.8, 2), (0.7, 2), (0.3, 1)]
    assert comparison.differing == ["data", "learning_rate"]
    told = "\n".join(comparison.notes)
    for part in ("broken is left out: ", "empty is left out: it is not the folder of a run"):
        assert part in told
    assert "notes.txt is left out: not a folder" in told
    assert "better is unfinished: 2 of 9 epochs" in told and "good" not in told
    assert re.search(r"<b>other has other data \(roads\) and other classes \(road, car\)", told)


def test_the_verb_writes_one_table_and_one_page(runs, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    words = [str(path) for path in sorted(runs.iterdir())]
    assert cli.main(["report", *words]) == cli.DONE
    output = capsys.readouterr()
    lines = [line for line in output.out.splitlines() if "%" in line]
    assert [re.search(r"\d+\.\d+ %", line)[0] for line in lines] == [
        "80.00 %",
        "70.00 %",
        "30.00 %",
    ]
    assert "2 of 2 (planned 9)" in lines[0] and "64x96" in lines[0] and "dice" in lines[0]
    assert "broken is left out" in output.err
    page = (runs / "comparison.html").read_text()
    assert page.index(">better<") < page.index(">good<") and "<b>other" not in page
    assert (
        '<td title="learning_rate">0.01</td>' in page
        and '<td title="IoU cell">80.00 %</td>' in page
    )
    assert page.count("<svg") == 2 and "<script" not in page
    # a second call finds the page of the first one among the runs, and replaces it
    words = [str(path) for path in sorted(runs.iterdir())]
    assert cli.main(["report", *words]) == cli.DONE
    assert "comparison.html is left out" not in capsys.readouterr().err


def test_what_cannot_be_compared_is_refused(runs, capsys):
    broken = [str(runs / "broken"), str(runs / "empty")]
    assert cli.main(["report", *broken]) == cli.WRONG_INPUT
    assert "No run can be compared." in capsys.readouterr().err
    assert not (runs / "comparison.html").exists()
    both = [str(runs / "good"), str(runs / "better")]
    assert cli.main(["report", *both, "--limit", "3"]) == cli.WRONG_INPUT
    assert "are for the report of one run" in capsys.readouterr().err
    recipe = runs / "good" / "recipe.yaml"
    before = recipe.read_text()
    assert cli.main(["report", *both, "--output", str(recipe)]) == cli.WRONG_INPUT
    assert recipe.read_text() == before


def _write_folds(folder, *scores, count=None):
    folder.mkdir()
    for number, score in enumerate(scores, start=1):
        fold = f"{number}/{count or len(scores)}"
        _write(folder / f"fold_{number}", [0.1, score], fold=fold)


def test_the_folds_of_a_training_are_one_row_among_others(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    _write_folds(tmp_path / "folds", 0.4, 0.5, 0.6)
    _write_folds(tmp_path / "stopped", 0.2, 0.3, count=5)
    _write(tmp_path / "plain", [0.7])
    _write(tmp_path / "alike", [0.7])
    for paths in ([*tmp_path.iterdir()], [*tmp_path.glob("*/fold_*"), tmp_path / "plain"]):
        comparison = compare_runs(sorted(paths))
        rows = {run.facts.name: run for run in comparison.runs}
        assert rows.keys() - {"alike"} == {"plain", "folds", "stopped"}
        assert rows["folds"].miou == pytest.approx(0.5) and len(rows["folds"].folds) == 3
        assert [row["val_mean_iou"] for row in rows["folds"].facts.rows] == pytest.approx(
            [0.1, 0.5]
        )
        assert rows["folds"].facts.seconds == 360 and "fold" not in comparison.differing
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(compare_runs(sorted(tmp_path.iterdir())).table())
    table = console.export_text()
    assert "50.00 ± 10.00 %" in table and "3 folds" in table and "90.00 ± 0.00 %" in table
    told = "\n".join(compare_runs(sorted(tmp_path.iterdir())).notes)
    assert "stopped is unfinished: 2 of 5 folds." in told
    assert "folds is validated on 3 folds, and most runs on the validation split" in told


def test_the_folds_of_one_training_are_compared_and_averaged(tmp_path, capsys):
    _write_folds(tmp_path / "folds", 0.4, 0.6)
    (tmp_path / "folds" / "fold_1" / "model.keras").touch()
    assert cli.main(["report", str(tmp_path / "folds")]) == cli.DONE
    printed = " ".join(capsys.readouterr().out.split())
    assert "2 runs by their best validation mIoU" in printed
    assert "Mean and standard deviation of 2 folds: mIoU 50.00 ± 14.14 %, background" in printed
    assert "50.00 ± 14.14 %" in (tmp_path / "folds" / "comparison.html").read_text()


def test_files_among_the_runs_are_named_in_one_note(tmp_path):
    _write(tmp_path / "good", [0.5])
    files = [tmp_path / f"{name}.txt" for name in "abcd"]
    for file in files:
        file.touch()
    (note,) = compare_runs([tmp_path / "good", *files]).notes
    assert note.endswith("c.txt, ... are left out: not folders.") and "d.txt" not in note


def test_an_early_stop_finishes_a_run(tmp_path):
    _write(tmp_path / "stopped", [0.5, 0.4, 0.3], epochs=50, early_stop=2)
    _write(tmp_path / "alike", [0.5, 0.4, 0.3], epochs=50)
    notes = compare_runs([tmp_path / "stopped", tmp_path / "alike"]).notes
    assert notes == [f"{tmp_path / 'alike'} is unfinished: 3 of 50 epochs."]


def test_equal_runs_have_a_table_without_differences(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    for name in ("a", "b"):
        _write(tmp_path / name, [0.5])
    comparison = compare_runs([tmp_path / "a", tmp_path / "b"])
    assert comparison.differing == comparison.notes == []
    assert comparison.lines() == ["All runs: network unet, crop 256x256, loss cross_entropy+dice"]
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(comparison.table())
    assert console.export_text().count("50.00 %") == 4  # mIoU and the class "cell" of both


def test_the_terminal_shows_in_80_characters_what_differs_from_the_defaults(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    _write(tmp_path / "default", [0.5])
    chosen = {"chosen": {"network": "U-Net"}, "learning_rate": 0.01, "batch_size": 4}
    chosen["loss"] = "dice"
    _write(tmp_path / "chosen", [0.4], **chosen)
    comparison = compare_runs([tmp_path / "default", tmp_path / "chosen"])
    assert comparison.differing == ["batch_size", "learning_rate"]
    shared, own = comparison.lines()
    assert shared.startswith("All runs: ") and own == "chosen: batch_size 4, learning_rate 0.01"
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(comparison.table())
    lines = console.export_text().splitlines()
    assert len(lines) < 12 and any("50.00 %" in line and "1 of 1" in line for line in lines)


def test_parameters_are_those_of_the_model(tmp_path):
    network = models.unet((16, 16, 3), 2, widths=(4, 8), dropout=0.1)
    models.save(network, tmp_path / "model.keras", models.ModelCard(ClassTable.numbered(2)))
    assert count_parameters(tmp_path / "model.keras") == network.count_params()
    assert any(isinstance(layer, keras.layers.Dropout) for layer in network.layers)
    (tmp_path / "model.keras").write_bytes(b"damaged")
    assert count_parameters(tmp_path / "model.keras") is None
    assert count_parameters(tmp_path / "none.keras") is None
