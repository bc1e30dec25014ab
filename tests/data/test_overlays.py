"""Overlays leave the background alone, and colour-blind people can tell the default colours."""

import warnings

import numpy as np
import pytest
from PIL import Image

from keras_seg.data import ClassTable, FolderDataset
from keras_seg.data.class_colors import PALETTE, are_default_colors
from keras_seg.data.mask_colors import OverlayBands, colorize, outline_width, overlay
from tests.helpers.colour_difference import VISIONS, lab, smallest_difference

RANDOM = np.random.default_rng(0)
FORMER = [(0, 0, 0), (45, 84, 178), (149, 217, 54), (242, 61, 220), (45, 178, 156)]
FORMER += [(217, 142, 54), (106, 61, 242), (50, 178, 45), (217, 54, 109)]
"""The default colours of version 0.1."""
CELLS = ClassTable(("background", "cell"), ((0, 0, 0), (250, 0, 10)))


@pytest.mark.parametrize("vision", VISIONS)
def test_the_first_eight_colours_differ_for_everyone(vision):
    colors = lab(np.array(PALETTE[:8]), vision)
    ends = lab(np.array([(0, 0, 0), (255, 255, 255)]), vision)
    assert smallest_difference(colors, colors) > 11
    assert smallest_difference(colors, ends) > 22
    former = lab(np.array(FORMER[1:]), vision)
    assert smallest_difference(former, former) < 15  # the test can fail


def test_the_measure_of_colours_is_ciede2000():
    """Pairs 1, 7 and 14 of Sharma, Wu and Dalal (2005)."""
    first = np.array([[50, 2.6772, -79.7751], [50, 0, 0], [50, 2.49, -0.001]])
    second = np.array([[50, 0, -82.7485], [50, -1, 2], [50, -2.49, 0.0009]])
    measured = [smallest_difference(a[None], b[None]) for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(measured, [2.0425, 2.3669, 7.1792], atol=1e-4)


def test_default_colours_are_black_for_a_background_alone():
    assert ClassTable(("background", "cell")).colors == ((0, 0, 0), PALETTE[0])
    assert ClassTable.numbered(2).colors == ((0, 0, 0), PALETTE[0])
    assert ClassTable(("road", "car")).colors == PALETTE[:2]
    assert ClassTable.of_labels(("roof", "wall")).colors == PALETTE[:2]
    many = ClassTable.numbered(255)
    assert len(set(many.colors)) == 255
    stated = ClassTable(("a", "b"), ((1, 2, 3), (4, 5, 6)))
    assert ClassTable.from_dict(stated.to_dict()) == stated
    assert are_default_colors(many.names, many.colors)
    assert are_default_colors(many.names[:9], FORMER)
    assert not are_default_colors(stated.names, stated.colors)


@pytest.mark.parametrize(
    ("names", "colors", "background"),
    [
        (("background", "cell"), (), 0),
        (("cell", "__Background__"), (), 1),
        (("unlabelled", "cell"), ((0, 0, 0), (1, 1, 1)), 0),
        (("sky", "road"), ((128, 128, 128), (0, 0, 0)), None),
        (("road", "car"), (), None),
        (("foreground",), (), None),
    ],
)
def test_the_background_is_known_by_its_name_or_by_black(names, colors, background):
    assert ClassTable(names, colors).background == background


def test_the_background_and_unknown_pixels_keep_the_image():
    image = RANDOM.integers(0, 255, (20, 30, 3), np.uint8)
    mask = np.zeros((20, 30), np.int32)
    mask[5:15, 5:15] = 1
    mask[:, 20:] = 255
    drawn = overlay(image, mask, CELLS)
    np.testing.assert_array_equal(drawn[:5, :20], image[:5, :20])
    np.testing.assert_array_equal(drawn[:, 21:], image[:, 21:])
    assert (drawn[:, 20] == 255).all()  # the outline of what is unknown
    assert (drawn[5, 5:15] == CELLS.colors[1]).all()
    inside = (image[6:14, 6:14].astype(float) + CELLS.colors[1]) / 2
    np.testing.assert_allclose(drawn[6:14, 6:14], inside, atol=0.51)
    np.testing.assert_array_equal(overlay(image, mask, CELLS, opacity=0), image)
    every = overlay(image, mask, ClassTable(("gap", "cell")))
    assert (every[:5, :20] != image[:5, :20]).any(-1).mean() > 0.9
    labels = np.stack([mask == 0, mask == 1], -1).astype(np.uint8)
    labels[mask == 255] = 255
    np.testing.assert_array_equal(overlay(image, labels, CELLS), drawn)
    assert (colorize(mask, CELLS)[:5, :20] == 0).all()


@pytest.mark.parametrize("outline", [1, 3])
@pytest.mark.parametrize("heights", [(40,), (1, 1, 1, 37), (7, 16, 17), (2,) * 20])
def test_bands_give_the_overlay_of_the_whole_image(outline, heights):
    image = RANDOM.integers(0, 255, (40, 24, 3), np.uint8)
    mask = RANDOM.integers(0, 2, (5, 3)).repeat(8, 0).repeat(8, 1)
    bands, rows, start = OverlayBands(CELLS, outline), [], 0
    for height in heights:
        rows.append(bands.add(image[start : start + height], mask[start : start + height]))
        start += height
    rows.append(bands.end())
    expected = overlay(image, mask, CELLS, outline=outline)
    np.testing.assert_array_equal(np.concatenate(rows), expected)
    assert outline_width((400, 300)) == 1 and outline_width((2900, 4000)) == 4


def test_masks_are_read_alike_with_the_default_colours_of_earlier_versions(tmp_path):
    """A table from the card of an earlier version does not make colours count."""
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for i in range(4):
        Image.new("RGB", (8, 8)).save(tmp_path / "images" / f"{i}.png")
        mask = Image.fromarray(np.eye(8, dtype=np.uint8)).convert("P")
        mask.putpalette([45, 84, 178, 0, 0, 0])
        mask.save(tmp_path / "masks" / f"{i}.png")
    former = ClassTable(("background", "cell"), tuple(FORMER[:2]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it would say that palette and table disagree
        assert (FolderDataset(tmp_path, classes=former)[0].mask == np.eye(8)).all()
