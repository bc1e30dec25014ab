"""DeconvNet's ensemble over parts of an image."""

import numpy as np
import pytest

from keras_seg.inference.proposals import grid_proposals, predict_by_proposals
from tests.helpers.stub_runner import Stub, darkness


def halves():
    image = np.full((40, 60, 3), 250, np.uint8)
    image[:, :30] = 10
    return image


def watched(seen):
    def forward(images):
        seen.append(images.shape[1:])
        return np.abs(darkness(images)) * (darkness(images) > 0)

    return Stub(forward)


@pytest.mark.parametrize("combination", ["max", "mean"])
def test_parts_give_the_mask_together(combination):
    seen = []
    mask = predict_by_proposals(watched(seen), halves(), combination=combination)
    expected = np.abs(darkness(halves()[None])) * (darkness(halves()[None]) > 0)
    inner = np.abs(np.arange(60) - 29.5) > 2  # resizing mixes pixels at the border
    np.testing.assert_array_equal(mask[:, inner], expected[0].argmax(-1)[:, inner])
    assert set(seen) == {(224, 224, 3)} and len(seen) == len(grid_proposals((40, 60)))


def test_the_largest_score_decides_and_outside_of_boxes_is_the_first_class():
    answers = iter([[0, 5, 0], [0, 0, 9]])
    runner = Stub(lambda images: np.full((*images.shape[:3], 3), next(answers), np.float32))
    mask = predict_by_proposals(runner, halves(), [(0, 0, 20, 40), (10, 20, 30, 60)])
    assert mask[5, 5] == 1 and mask[15, 30] == 2 and mask[25, 50] == 2 and mask[35, 5] == 0


def test_grid_covers_the_image():
    covered = np.zeros((37, 51), int)
    for top, left, bottom, right in grid_proposals((37, 51), (4,)):
        covered[top:bottom, left:right] += 1
    assert covered.min() >= 1


@pytest.mark.parametrize("box", [(0, 0, 41, 60), (-1, 0, 5, 5), (5, 5, 5, 9)])
def test_refuses_boxes_outside(box):
    with pytest.raises(ValueError, match="within"):
        predict_by_proposals(Stub(darkness), halves(), [box])
