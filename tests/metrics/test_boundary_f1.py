"""Boundary F1 equals its formula over all pairs of pixels."""

import numpy as np
import pytest

from keras_seg import metrics


def outline(mask, counted):
    """Pixels of a mask with a neighbour outside of it, one by one."""
    found = []
    for y, x in np.argwhere(mask & counted):
        for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            v, u = y + dy, x + dx
            inside = 0 <= v < mask.shape[0] and 0 <= u < mask.shape[1]
            if inside and counted[v, u] and not mask[v, u]:
                found.append((y, x))
                break
    return np.array(found).reshape(-1, 2)


def boundary_f1_of_image(truth, predicted, reach):
    """By all pairs of pixels of the two outlines."""
    counted, scores = truth != 255, []
    for value in np.unique(truth[counted]):
        true, found = outline(truth == value, counted), outline(predicted == value, counted)
        if len(true) and len(found):
            distance = np.hypot(*np.moveaxis(true[:, None] - found[None], -1, 0))
            precision = (distance.min(0) <= reach).mean()
            recall = (distance.min(1) <= reach).mean()
            total = precision + recall
            scores.append(2 * precision * recall / total if total else 0)
        elif len(true) or len(found):
            scores.append(0)
    return np.mean(scores) if scores else np.nan


class TestBoundaryF1:
    @staticmethod
    def masks(seed, size=(24, 32)):
        rng = np.random.default_rng(seed)
        rows, columns = np.mgrid[: size[0], : size[1]]
        masks = np.zeros((2, 3, *size), int)
        for value in (1, 2, 3):
            for image in range(3):
                y, x, radius = rng.integers(0, size[0]), rng.integers(0, size[1]), rng.uniform(3, 9)
                for mask in masks[:, image]:
                    wobble = rng.uniform(-2, 2, 2)
                    mask[np.hypot(rows - y - wobble[0], columns - x - wobble[1]) < radius] = value
        masks[0][rng.random(masks[0].shape) < 0.02] = 255
        masks[0, 2] = 255 if seed == 1 else masks[0, 2]  # an image without truth
        return masks

    @pytest.mark.parametrize("seed", range(4))
    @pytest.mark.parametrize("tolerance", [0.0075, 0.025, 0.06])
    def test_is_its_formula_in_numpy_and_in_the_step(self, seed, tolerance):
        truth, predicted = self.masks(seed)
        reach = tolerance * 40  # the diagonal of 24x32
        each = [boundary_f1_of_image(*pair, reach) for pair in zip(truth, predicted, strict=True)]
        expected = np.nanmean(each)
        assert metrics.boundary_f1(truth, predicted, tolerance=tolerance) == pytest.approx(expected)
        metric = metrics.BoundaryF1(4, tolerance=tolerance)
        for pair in zip(truth, predicted, strict=True):
            metric.update_state(pair[0][None], pair[1][None])
        assert float(metric.result()) == pytest.approx(expected, rel=1e-5)

    def test_a_shift_within_the_tolerance_costs_nothing(self):
        truth = np.zeros((1, 300, 400), int)  # diagonal 500, so that 3.75 pixels are allowed
        truth[:, 100:200, 100:200] = 1
        shifted = {by: np.roll(truth, by, axis=2) for by in (0, 3, 4)}
        scores = {by: metrics.boundary_f1(truth, mask) for by, mask in shifted.items()}
        assert scores[0] == scores[3] == 1 > scores[4] > 0.5

    def test_a_class_that_fills_the_image_has_no_outline(self):
        full = np.zeros((8, 8), int)
        assert np.isnan(metrics.boundary_f1(full, full))
        assert metrics.boundary_f1(full, np.eye(8, dtype=int)) == 0

    def test_masks_must_be_of_one_shape(self):
        with pytest.raises(ValueError, match=r"Received: \(8, 8\) and \(8, 9\)"):
            metrics.boundary_f1(np.zeros((8, 8)), np.zeros((8, 9)))
