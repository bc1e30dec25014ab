"""A loss in a recipe: a name, a sum with factors, a mapping with options, or a list of these."""

import inspect
import subprocess
import sys

import pytest

from keras_seg import losses
from keras_seg.losses.spec import LOSS_TABLE, SUMS_ELSEWHERE, parse_loss


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("dice", [("dice", 1, {})]),
        ("cross_entropy+0.5*dice", [("cross_entropy", 1, {}), ("dice", 0.5, {})]),
        (" 2 * focal + 1e+1*dice + dice", [("focal", 2, {}), ("dice", 10, {}), ("dice", 1, {})]),
        ({"name": "ohem", "threshold": 0.9}, [("ohem", 1, {"threshold": 0.9})]),
        (
            ["focal+2*dice", {"name": "tversky", "beta": 1, "weight": 0.4}],
            [("focal", 1, {}), ("dice", 2, {}), ("tversky", 0.4, {"beta": 1})],
        ),
    ],
)
def test_every_form_is_read(spec, expected):
    assert parse_loss(spec) == tuple(expected)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("dise", "Did you mean 'dice'"),
        ("cross_entropy+dise", "Did you mean 'dice'"),
        ({"name": "ohem", "treshold": 0.9}, "option of the loss 'ohem' 'treshold'.*'threshold'"),
        ({"threshold": 0.9}, "needs an entry 'name'"),
        ("dice*0.5", "Cannot read 'dice\\*0.5'"),
        ("dice+", "Cannot read ''"),
        ("0*dice", "must be above 0. Received: '0'"),
        ("1.2.3*dice", "must be above 0"),
        ({"name": "dice", "weight": -1}, "must be above 0. Received: -1"),
        ([], "Received: \\[\\]"),
        ({"name": ["dice"]}, "Unknown loss"),
        (
            {"name": "focal", "gamma": [1, 2]},
            "The loss 'focal': gamma must be a number. Received: \\[1, 2\\]",
        ),
        (None, "Received: None"),
    ],
)
def test_what_cannot_be_meant_is_answered_with_what_to_write(spec, message):
    with pytest.raises(ValueError, match=message):
        losses.get(spec)


def test_the_table_has_the_options_of_the_constructors():
    assert LOSS_TABLE.keys() == losses.LOSSES.keys()
    for name, entry in LOSS_TABLE.items():
        parameters = inspect.signature(losses.LOSSES[name]).parameters
        assert set(entry.options) == set(parameters) - {"name"}, name


def test_every_loss_of_the_table_is_public():
    for entry in LOSS_TABLE.values():
        assert entry.class_name in losses.__all__
        assert getattr(losses, entry.class_name) in losses.LOSSES.values()
    for name in losses.__all__:
        assert getattr(losses, name) is not None


def test_no_name_of_another_package_means_two_losses():
    foreign = [name for entry in LOSS_TABLE.values() for name in entry.elsewhere]
    foreign += [name for names in SUMS_ELSEWHERE.values() for name in names]
    assert len(set(foreign)) == len(foreign)


@pytest.mark.parametrize("name", losses.LOSSES)
def test_a_name_gives_the_loss_with_its_defaults(name):
    loss = losses.get(name)
    assert type(loss) is losses.LOSSES[name] and loss.name == name
    assert losses.get(loss) is loss


def test_options_and_factors_arrive():
    loss = losses.get(["2*dice", {"name": "ohem", "threshold": 0.9, "min_kept": 50}])
    assert loss.weights == [2, 1] and loss.losses[1].threshold == 0.9
    assert loss.losses[1].min_kept == 50 and loss.name == "dice_and_ohem"
    assert isinstance(losses.get("0.5*dice"), losses.WeightedSum)


def test_reading_a_spec_needs_no_tensorflow():
    program = (
        "import sys; from keras_seg.losses.spec import parse_loss; parse_loss('dice+focal'); "
        "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
