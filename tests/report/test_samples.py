"""Pages of sample overlays, and the class tables that `verify-dataset` writes."""

import json

import numpy as np
import pytest
from PIL import Image

from keras_seg.cli import main
from keras_seg.data import BuiltinDataset, ClassTable, FolderDataset, Sample, open_dataset
from keras_seg.data.builtin import dataset
from keras_seg.data.verify import verify_dataset
from keras_seg.data.verify.choice import MOST, chosen_samples
from keras_seg.data.verify.suggestion import SampleFacts
from keras_seg.report.samples import SIDE, class_shares, draw_mask, write_samples
from tests.data.test_annotations import ANNOTATIONS, MAKERS


@pytest.fixture(autouse=True)
def few_cells(monkeypatch):
    monkeypatch.setattr(dataset, "_LENGTHS", {"train": 12, "val": 4})


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("kind", "suffix"),
    [(kind, "html") for kind in ("folder", "builtin", *sorted(ANNOTATIONS))] + [("coco", "PNG")],
)
def test_every_kind_of_data_is_drawn(kind, suffix, tmp_path, shapes_folder, capsys):
    source = {"folder": str(shapes_folder), "builtin": "builtin:cells"}.get(kind)
    if source is None:
        (tmp_path / "export").mkdir()
        MAKERS[kind](tmp_path / "export")
        source = f"{kind}:{tmp_path / 'export'}"
    path = tmp_path / f"page.{suffix}"
    main(["verify-dataset", source, "--pictures", str(path)])
    assert "Pictures of" in capsys.readouterr().out
    if suffix == "PNG":
        picture = np.asarray(Image.open(path))
        assert picture.shape[1] > 1000 and picture.std() > 5
        return
    text = path.read_text()
    names = open_dataset(source).classes.names
    assert all(f"</span>{name}</td>" in text for name in names)
    assert text.count("<figure") == text.count('alt="image with its mask"') >= 2
    assert "Samples of train" in text and "Samples of val" in text
    readings = [line for line in text.splitlines() if 'class="reading"' in line]
    assert len(readings) == 2 and all(line.count(" images, ") == 1 for line in readings)
    assert "<script" not in text and "http://" not in text


def facts(pixels):
    rows = np.asarray(pixels)
    return [SampleFacts(f"s{i}", (8, 8), row, 0, b"", False, None, i) for i, row in enumerate(rows)]


def test_rare_classes_are_shown_and_the_number_is_limited():
    pixels = np.zeros((200, 4), int)
    pixels[:, 0] = 64
    pixels[150, 3] = 1
    pixels[77, 2] = pixels[78, 2] = pixels[79, 2] = 5
    chosen = [fact.index for fact in chosen_samples(facts(pixels))]
    assert 150 in chosen and len({77, 78, 79} & {*chosen}) == 2
    assert chosen == sorted(chosen) and len(chosen) == 6
    many = chosen_samples(facts(np.eye(100, dtype=int)))
    assert len(many) == MOST
    assert chosen_samples([]) == []


def test_the_background_and_unknown_pixels_keep_the_image():
    image = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3), np.uint8)
    mask = np.zeros((SIDE, SIDE), np.int32)
    mask[100:200, 100:200] = 1
    mask[300:] = 255
    table = ClassTable(("background", "cell"), ((0, 0, 0), (250, 0, 10)))
    plain, drawn = draw_mask(Sample("a", image, mask), table)
    np.testing.assert_array_equal(plain, image)
    np.testing.assert_array_equal(drawn[:90], image[:90])
    np.testing.assert_array_equal(drawn[100, 100:200], np.tile([250, 0, 10], (100, 1)))  # outline
    blended = 0.5 * image[150, 150] + 0.5 * np.array([250, 0, 10])
    np.testing.assert_allclose(drawn[150, 150], blended, atol=1)
    assert (drawn[300] == 255).all()
    np.testing.assert_array_equal(drawn[310:], image[310:])


def test_shares_are_those_of_the_known_pixels():
    report = verify_dataset("builtin:cells")
    cells = BuiltinDataset("cells")
    pixels = sum(np.bincount(sample.mask.ravel(), minlength=256) for sample in cells)
    pixels = pixels[: len(cells.classes)]
    np.testing.assert_allclose(class_shares(report, "train"), pixels / pixels.sum())


def test_other_endings_and_data_without_samples_are_refused(tmp_path, capsys):
    assert main(["verify-dataset", "builtin:cells", "--pictures", "a.jpg"]) == 2
    assert "ends in .html or .png" in capsys.readouterr().err
    with pytest.raises(ValueError, match="no readable sample"):
        write_samples(verify_dataset(str(tmp_path / "none")), tmp_path / "a.html")


def test_names_cannot_change_the_page(tmp_path):
    for i in range(4):
        Image.new("RGB", (32, 32), (i, 0, 0)).save(tmp_path / f"<b>{i}.jpg")
        Image.fromarray(np.eye(32, dtype=np.uint8)).save(tmp_path / f"<b>{i}.png")
    (tmp_path / "classes.json").write_text('{"names": ["<i>", "</td>"]}')
    write_samples(verify_dataset(str(tmp_path)), tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text()
    assert "<b>" not in text and "<i>" not in text and "&lt;b&gt;0" in text


def save_masks(root, masks, *, mode=None, suffix=""):
    for i, mask in enumerate(masks):
        for folder in ("images", "masks"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), (i, 9, 0)).save(root / "images" / f"s{i}.jpg")
        picture = Image.fromarray(np.uint8(mask))
        picture = picture.convert(mode) if mode else picture
        picture.save(root / "masks" / f"s{i}{suffix}.png")


STRIPES = [np.roll(np.repeat(np.arange(4), 8)[None].repeat(32, 0), i, 1) for i in range(6)]
LOOKUP = np.array([(0, 0, 0), (9, 200, 1), (0, 0, 250), (255, 255, 255)])


@pytest.mark.parametrize(
    ("masks", "values", "names", "colors"),
    [
        ([each % 2 * 255 for each in STRIPES], [0, 255], 2, True),
        ([each * 60 for each in STRIPES], [0, 60, 120, 180], 4, True),
        ([np.where(each == 3, 255, each) for each in STRIPES], None, 3, True),
        ([LOOKUP[each] for each in STRIPES], None, 4, LOOKUP.tolist()),
        ([np.repeat(each[..., None], 3, -1) for each in STRIPES], None, 4, False),
    ],
    ids=["0 and 255", "steps", "unknown", "colours", "equal channels"],
)
def test_the_class_table_is_written_from_the_masks(masks, values, names, colors, tmp_path, capsys):
    save_masks(tmp_path, masks, suffix="_gt")
    before = {path.name: path.read_bytes() for path in (tmp_path / "masks").iterdir()}
    assert main(["verify-dataset", str(tmp_path), "--write_classes"]) == 0
    assert "classes.json now has names" in " ".join(capsys.readouterr().out.split())
    table = json.loads((tmp_path / "classes.json").read_text())
    assert len(table["names"]) == names and table.get("values") == values
    assert table["mask_suffix"] == "_gt"
    assert ("colors" in table) == bool(colors)
    if isinstance(colors, list):
        assert sorted(table["colors"]) == sorted(colors) and table["colors"][0] == [0, 0, 0]
    shown = {int(v) for sample in FolderDataset(tmp_path) for v in np.unique(sample.mask)}
    assert shown - {255} == set(range(names))
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "masks").iterdir()}


def test_palettes_give_their_colours_and_names_may_be_given(tmp_path):
    save_masks(tmp_path, STRIPES)
    for path in (tmp_path / "masks").iterdir():
        picture = Image.open(path).convert("P")
        picture.putdata(np.asarray(Image.open(path)).ravel().tolist())
        picture.putpalette(LOOKUP.ravel().tolist())
        picture.save(path)
    names = ["a", "b", "c", "d"]
    classes = ["--classes", json.dumps(names)]
    assert main(["verify-dataset", str(tmp_path), "--write_classes", *classes]) == 0
    table = json.loads((tmp_path / "classes.json").read_text())
    assert table == {"names": names, "colors": LOOKUP.tolist()}


def test_what_the_file_states_is_kept(tmp_path, capsys):
    save_masks(tmp_path, STRIPES)
    stated = {"names": ["w", "x", "y", "z"], "note": "mine"}
    (tmp_path / "classes.json").write_text(json.dumps(stated))
    assert main(["verify-dataset", str(tmp_path), "--write_classes"]) == 0
    table = json.loads((tmp_path / "classes.json").read_text())
    assert table | stated == table and len(table["colors"]) == 4
    assert main(["verify-dataset", str(tmp_path), "--write_classes"]) == 0
    assert "has all of them already" in " ".join(capsys.readouterr().out.split())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", sorted(ANNOTATIONS))
def test_exports_get_their_order_and_read_as_before(kind, tmp_path):
    expected = MAKERS[kind](tmp_path)
    main(["verify-dataset", f"{kind}:{tmp_path}", "--write_classes"])
    table = json.loads((tmp_path / "classes.json").read_text())
    assert table["names"] == ["background", "cat", "dog"] and len(table["colors"]) == 3
    (sample,) = open_dataset(f"{kind}:{tmp_path}", "val")
    np.testing.assert_array_equal(sample.mask, expected)


def test_tables_that_cannot_be_written_are_refused(tmp_path, capsys):
    assert main(["verify-dataset", "builtin:cells", "--write_classes"]) == 2
    assert "annotation tool. Received: builtin:cells" in capsys.readouterr().err
    noise = np.random.default_rng(0).integers(0, 255, (6, 32, 32))
    save_masks(tmp_path, noise)
    assert main(["verify-dataset", str(tmp_path), "--write_classes"]) == 2
    assert "grey levels or photographs" in capsys.readouterr().err
    save_masks(tmp_path, STRIPES)
    assert main(["verify-dataset", str(tmp_path), "--write_classes", "--classes", '["a"]']) == 2
    assert "show 4 classes. Received: 1 names" in capsys.readouterr().err
