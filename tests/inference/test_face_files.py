"""iCNN's two stages and DeconvNet's proposals, from files and the command line."""

import keras
import numpy as np
import pytest
from PIL import Image

from keras_seg import cli, inference, models
from keras_seg.card import ModelCard
from keras_seg.data.classes import ClassTable
from keras_seg.data.reading.masks import read_mask
from keras_seg.data.reading.resize import resize_image
from keras_seg.inference import bands
from keras_seg.inference.files.predict import predict_files
from keras_seg.inference.proposals import predict_by_proposals
from keras_seg.inference.scores import resize_scores
from keras_seg.models import files
from keras_seg.models.face_parser import HELEN_LABELS

pytestmark = pytest.mark.xdist_group("face_files")  # one worker, so that fixtures are made once


NARROW = {"widths": (2, 2), "interlinks": 1}
COUNTS = {"brows": 2, "eyes": 2, "nose": 2, "mouth": 4}


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    """stage1.keras and a file for each network of the second stage."""
    folder = tmp_path_factory.mktemp("stages")
    keras.utils.set_random_seed(0)
    model = models.icnn((32, 32, 3), 9, **NARROW)
    classifier = model.get_layer("classifier")  # random parts all over the face
    classifier.kernel.assign(20 * classifier.kernel)
    files.save(model, folder / "stage1.keras", ModelCard(ClassTable(HELEN_LABELS), "icnn"))
    for name, count in COUNTS.items():
        net = models.icnn((16, 16, 3), count, **NARROW)
        net.get_layer("classifier").bias.assign([0, *[0.5] * (count - 1)])
        files.save(net, folder / f"{name}.keras", ModelCard(ClassTable.numbered(count), "icnn"))
    return folder


@pytest.fixture(scope="module")
def runner(stages):
    return inference.load_face_parser(stages / "stage1.keras", nets(stages))


def nets(folder):
    return {name: folder / f"{name}.keras" for name in COUNTS}


def face(height=40, width=48):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


def command(folder, *rest):
    parts = [f"--parts.{name}={path}" for name, path in nets(folder).items()]
    return cli.main(["predict", str(folder / "stage1.keras"), *map(str, rest), *parts])


def test_both_stages_are_one_runner_whose_mask_is_that_of_the_whole_network(stages, runner):
    assert runner.card.classes.names == HELEN_LABELS
    whole = models.face_parser(
        stage1=files.load(stages / "stage1.keras"),
        nets={name: files.load(path) for name, path in nets(stages).items()},
        stage1_size=32,
        patch_size=16,
    )
    expected = np.argmax(whole(face()[None].astype("float32"))[0], -1)
    assert len(np.unique(expected)) > 2
    np.testing.assert_array_equal(runner.predict(face()), expected)


@pytest.mark.slow
def test_command_writes_the_mask_of_both_stages(stages, runner, tmp_path):
    Image.fromarray(face()).save(tmp_path / "a.png")
    assert command(stages, tmp_path / "a.png", "--output", tmp_path / "out") == 0
    mask = read_mask(tmp_path / "out" / "a_mask.png")
    np.testing.assert_array_equal(mask, runner.predict(face()))


@pytest.mark.slow
def test_command_predicts_anew_when_the_file_of_a_part_has_changed(stages, tmp_path, capsys):
    Image.fromarray(face()).save(tmp_path / "a.png")
    arguments = (tmp_path / "a.png", "--output", tmp_path / "out")
    assert command(stages, *arguments) == 0
    assert command(stages, *arguments) == 0
    assert "1 of them before" in capsys.readouterr().out
    eyes = files.load(stages / "eyes.keras")
    eyes.get_layer("classifier").bias.assign([9, 0])
    before = (stages / "eyes.keras").read_bytes()
    files.save(eyes, stages / "eyes.keras", ModelCard(ClassTable.numbered(2), "icnn"))
    assert command(stages, *arguments) == 0
    assert "before" not in capsys.readouterr().out
    assert not np.isin(read_mask(tmp_path / "out" / "a_mask.png"), (3, 4)).any()
    (stages / "eyes.keras").write_bytes(before)


@pytest.mark.slow
def test_faces_are_resized_to_where_the_parts_were_trained(stages, runner):
    sized = inference.load_face_parser(stages / "stage1.keras", nets(stages), face_size=(40, 48))
    scores = runner.run(resize_image(face(100, 90), (40, 48)))
    expected = resize_scores(scores, (100, 90)).argmax(-1)
    np.testing.assert_array_equal(sized.predict(face(100, 90)), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nose": None}, "none for nose"),
        ({"eye": "eyes.keras"}, "Did you mean 'eyes'"),
        ({"nose": "mouth.keras"}, "network for 'nose'"),
        ({"nose": "stage1.keras"}, "one size"),
        ({"nose": "none.keras"}, "no model file"),
    ],
)
def test_files_that_do_not_fit_are_refused(stages, change, message):
    given = nets(stages) | {k: v and stages / v for k, v in change.items()}
    given = {name: path for name, path in given.items() if path}
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        inference.load_face_parser(stages / "stage1.keras", given)


def test_large_faces_at_their_own_scale_and_sizes_of_other_networks_are_refused(
    stages, runner, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(bands, "WHOLE_PIXELS", 100)
    Image.fromarray(face()).save(tmp_path / "a.png")
    result = predict_files(runner, [tmp_path / "a.png"], tmp_path / "out")
    assert "own scale is for images up to 100 pixels" in result.failed[0]
    image = str(tmp_path / "a.png")
    words = ["predict", str(stages / "eyes.keras"), image, "--face_size", "[40,40]"]
    assert cli.main(words) == 2
    assert "Give --parts" in capsys.readouterr().err


def test_proposals_by_the_command_are_those_of_the_function(tmp_path, capsys):
    model = models.unet((32, 32, 3), 3, widths=(2, 4))
    path = tmp_path / "m.keras"
    files.save(model, path, ModelCard(ClassTable.numbered(3), "unet"))
    Image.fromarray(face()).save(tmp_path / "a.png")
    words = ["predict", str(path), str(tmp_path / "a.png"), "--output", str(tmp_path / "out")]
    assert cli.main([*words, "--proposals", "mean"]) == 0
    expected = predict_by_proposals(inference.load(path), face(), combination="mean")
    np.testing.assert_array_equal(read_mask(tmp_path / "out" / "a_mask.png"), expected)
    assert cli.main([*words, "--proposals", "max", "--flips", "both"]) == 2
    assert "Proposals give only a mask" in capsys.readouterr().err
