"""What segmentation_models.pytorch writes beside its weights is honoured, or refused by name."""

import json
import re
import warnings

import numpy as np
import pytest
from safetensors.numpy import save_file

from keras_seg import cli
from keras_seg.checkpoints import convert
from tests.helpers.reference import CASES, image, read_golden, state_dict

pytestmark = pytest.mark.xdist_group("smp_options")  # one worker, so that fixtures are made once


def golden(case):
    facts, outputs = read_golden(next(path for path in CASES if path.stem == case))
    return facts, state_dict(facts["manifest"], facts["seed"], facts["norm_scale"]), outputs


def save_pretrained(folder, tensors, **settings):
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(settings))
    return folder


UNET = {
    "_model_class": "Unet",
    "encoder_name": "resnet18",
    "encoder_depth": 3,
    "encoder_weights": "imagenet",
    "decoder_use_norm": "batchnorm",
    "decoder_channels": [16, 8, 8],
    "decoder_attention_type": None,
    "decoder_interpolation": "bilinear",
    "in_channels": 3,
    "classes": 2,
    "activation": "sigmoid",
    "aux_params": None,
}


@pytest.fixture(scope="module")
def unet():
    return golden("unet_smp_bilinear_sigmoid")


@pytest.fixture(scope="module")
def deeplab():
    _, tensors, _ = golden("deeplabv3plus_mobilenetv2_os16_smp")
    return tensors


@pytest.mark.parametrize("given", ["folder", "file"])
def test_a_folder_gives_what_its_network_computed(unet, tmp_path, given):
    facts, tensors, expected = unet
    folder = save_pretrained(tmp_path, tensors, **UNET)
    pixels = image(facts["input_shape"], facts["seed"])
    if given == "folder":
        model = convert(folder, "smp", pixels.shape[1:])
    else:
        with pytest.warns(UserWarning, match=r"options of .*config\.json are used"):
            model = convert(folder / "model.safetensors", "smp", pixels.shape[1:])
    found = np.asarray(model(pixels))[:, :: facts["step"], :: facts["step"]]
    np.testing.assert_allclose(found, expected["logits"], rtol=0, atol=1e-4)


@pytest.mark.slow
def test_without_the_folder_its_options_are_missing(unet):
    facts, tensors, expected = unet
    pixels = image(facts["input_shape"], facts["seed"])
    nearest = convert(tensors, "smp", pixels.shape[1:], activation="sigmoid")(pixels)
    assert np.abs(nearest[:, :: facts["step"], :: facts["step"]] - expected["logits"]).max() > 0.01


def test_the_command_line_takes_the_folder(unet, tmp_path, capsys):
    _, tensors, _ = unet
    folder = tmp_path / "folder"
    folder.mkdir()
    save_pretrained(folder, tensors, **UNET | {"activation": None})
    output = tmp_path / "model.keras"
    arguments = ["convert", str(folder), "--source", "smp", "--output", str(output)]
    assert cli.main(arguments) == cli.DONE
    assert output.is_file() and "logits      free x free x 2" in capsys.readouterr().out


def test_pytorch_model_bin_is_read_too(unet, tmp_path):
    torch = pytest.importorskip("torch")
    facts, tensors, expected = unet
    state = {name: torch.from_numpy(np.array(array)) for name, array in tensors.items()}
    torch.save(state, tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text(json.dumps(UNET))
    pixels = image(facts["input_shape"], facts["seed"])
    found = np.asarray(convert(tmp_path, "smp", pixels.shape[1:])(pixels))
    thinned = found[:, :: facts["step"], :: facts["step"]]
    np.testing.assert_allclose(thinned, expected["logits"], rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"decoder_interpolation": "bicubic"}, "decoder_interpolation='bicubic'"),
        ({"decoder_interpolation": "trilinear"}, "decoder_interpolation='trilinear'"),
        ({"decoder_attention_type": "scse"}, "decoder_attention_type='scse'"),
        ({"decoder_use_norm": "layernorm"}, "decoder_use_norm='layernorm'"),
        ({"decoder_use_norm": "inplace"}, "decoder_use_norm='inplace'"),
        ({"decoder_use_norm": {"type": "batchnorm", "eps": 0.01}}, "'eps': 0.01"),
        ({"decoder_use_batchnorm": "inplace"}, "decoder_use_norm='inplace'"),
        ({"activation": "tanh"}, "activation='tanh'"),
        ({"activation": "logsoftmax"}, "activation='logsoftmax'"),
        ({"encoder_name": "efficientnet-b0"}, "encoder_name='efficientnet-b0' is an encoder that"),
        ({"encoder_name": "vgg16"}, "encoder_name='vgg16' was given.*resnet18"),
        ({"encoder_name": "tu-resnet18"}, "encoder_name='tu-resnet18' has tensors under"),
        ({"encoder_depth": 4}, "encoder_depth=4 was given, but the tensors say 3"),
        ({"decoder_channels": [16, 8, 4]}, r"decoder_channels=\[16, 8, 4\] was given"),
        ({"classes": 3}, "classes=3 was given, but the tensors say 2"),
        ({"in_channels": 4}, "in_channels=4 was given, but the tensors say 3"),
        ({"_model_class": "UnetPlusPlus"}, "says UnetPlusPlus.*those of Unet"),
        ({"encoder_output_stride": 8}, "encoder_output_stride=8 is no option of Unet"),
        ({"upsampling": 2}, "upsampling=2 is no option of Unet"),
        ({"decoder_new_thing": 7}, "decoder_new_thing=7"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_honoured_is_refused_by_name(unet, tmp_path, change, message):
    folder = save_pretrained(tmp_path, unet[1], **UNET | change)
    with pytest.raises(ValueError, match=message):
        convert(folder, "smp", (64, 96, 3))


def test_an_unknown_option_without_a_value_changes_nothing(unet, tmp_path):
    folder = save_pretrained(tmp_path, unet[1], **UNET, decoder_new_thing=None)
    assert convert(folder, "smp", (64, 96, 3)).output.shape == (None, 64, 96, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"upsampling": 8}, "upsampling=8 gives scores of another size"),
        ({"encoder_output_stride": 4}, "encoder_output_stride=4 is not 8 or 16"),
        ({"decoder_atrous_rates": [1, 2]}, r"decoder_atrous_rates=\[1, 2\]"),
        ({"decoder_aspp_separable": False}, "decoder_aspp_separable=False was given"),
        ({"encoder_depth": 4}, "encoder_depth=4 was given, but the decoder needs 5"),
        ({"decoder_interpolation": "bilinear"}, "no option of DeepLabV3Plus"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_options_of_deeplab_are_refused_by_name(deeplab, options, message):
    with pytest.raises(ValueError, match=message):
        convert(deeplab, "smp", (64, 96, 3), **options)


def test_our_own_words_still_count(unet):
    facts, tensors, expected = unet
    pixels = image(facts["input_shape"], facts["seed"])
    grid = {"resize_grid": "half_pixel"}
    ours = {"upsampling": "bilinear", "variant": grid, "activation": "sigmoid"}
    found = np.asarray(convert(tensors, "smp", pixels.shape[1:], **ours)(pixels))
    thinned = found[:, :: facts["step"], :: facts["step"]]
    np.testing.assert_allclose(thinned, expected["logits"], rtol=0, atol=1e-4)


def test_area_is_nearest_where_sizes_double(unet):
    facts, tensors, _ = unet
    shape = tuple(facts["input_shape"][1:])
    area, nearest = (
        convert(tensors, "smp", shape, decoder_interpolation=mode).to_json()
        for mode in ("area", "nearest")
    )
    assert area == nearest


class TestOptionsThatNoTensorTells:
    def test_the_defaults_that_are_assumed_are_said(self, unet, deeplab):
        assumed = "decoder_interpolation='nearest', activation=None"
        with pytest.warns(UserWarning, match=assumed) as caught:
            convert(unet[1], "smp")
        assert caught[0].filename == __file__
        assumed = r"stride=16, decoder_atrous_rates=\(12, 24, 36\), upsampling=4, activation=None"
        with pytest.warns(UserWarning, match=assumed):
            convert(deeplab, "smp")

    @pytest.mark.parametrize(
        "said",
        [
            {"decoder_interpolation": "bilinear", "activation": None},
            {
                "upsampling": "bilinear",
                "variant": {"resize_grid": "half_pixel"},
                "activation": "sigmoid",
            },
        ],
        ids=["theirs", "ours"],
    )
    def test_nothing_is_assumed_where_all_is_said(self, unet, said):
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            convert(unet[1], "smp", **said)

    def test_nothing_is_assumed_of_a_folder(self, unet, tmp_path):
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            convert(save_pretrained(tmp_path, unet[1], **UNET), "smp")


def test_a_classification_head_is_left_out_with_a_word(unet):
    _, tensors, _ = unet
    head = {"weight": np.ones((3, 128), "float32"), "bias": np.ones(3, "float32")}
    with_head = tensors | {f"classification_head.3.{leaf}": array for leaf, array in head.items()}
    pixels = np.random.default_rng(0).normal(size=(1, 32, 32, 3)).astype("float32")
    with pytest.warns(UserWarning, match="classification head .* left out"):
        found = convert(with_head, "smp")(pixels)
    np.testing.assert_array_equal(found, convert(tensors, "smp")(pixels))


def test_another_number_of_channels_says_what_to_pass(unet):
    with pytest.raises(ValueError, match=re.escape("Pass input_shape=(None, None, 3)")):
        convert(unet[1], "smp", (None, None, 4))


def test_norms_without_a_mean_and_instance_norms_are_seen(unet):
    tensors = unet[1]
    without_mean = {n: a for n, a in tensors.items() if not re.match(r"decoder.*running_", n)}
    with pytest.raises(ValueError, match="layernorm or instancenorm"):
        convert(without_mean, "smp")
    bare = {n: a for n, a in tensors.items() if not re.match(r"decoder\..*\.conv\d\.1\.", n)}
    with pytest.raises(ValueError, match="was instancenorm"):
        convert(bare, "smp")


class TestFolders:
    def test_a_folder_without_weights_says_what_lies_there(self, tmp_path):
        (tmp_path / "notes.txt").write_text("")
        with pytest.raises(ValueError, match=r"model.safetensors, pytorch_model.bin.*notes\.txt"):
            convert(tmp_path, "smp")

    def test_a_word_against_config_json_is_taken_and_told(self, unet, tmp_path):
        save_pretrained(tmp_path, unet[1], **UNET | {"decoder_interpolation": "nearest"})
        with pytest.warns(UserWarning, match=r"says decoder_interpolation='nearest'.*is taken"):
            convert(tmp_path, "smp", decoder_interpolation="bilinear")

    @pytest.mark.parametrize("text", ["{", "[1]"])
    def test_a_damaged_config_is_said(self, unet, tmp_path, text):
        save_pretrained(tmp_path, unet[1])
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(ValueError, match=r"config\.json"):
            convert(tmp_path, "smp")
