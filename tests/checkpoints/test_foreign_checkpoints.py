"""Checkpoints that no source reads are refused by the name of what they are."""

import json
import re

import numpy as np
import pytest
from safetensors.numpy import save_file

from keras_seg.checkpoints import convert, foreign
from keras_seg.checkpoints.timm_names import base_name, told_apart
from keras_seg.weights import read
from tests.helpers.reference import CASES, image, read_golden, state_dict

NETWORKS = {
    "decoder.center.top_conv.weight": "MAnet",
    "decoder.blocks.0.block.0.0.weight": "Linknet",
    "decoder.p5.weight": "FPN",
    "decoder.psp.blocks.0.pool.1.0.weight": "PSPNet",
    "decoder.fpa.branch1.1.conv.weight": "PAN",
    "decoder.aspp.convs.0.0.weight": "DeepLabV3 (without plus)",
    "decoder.feature_norms.0.weight": "UPerNet",
    "decoder.mlp_stage.0.linear.weight": "Segformer",
    "decoder.projection_blocks.0.project.0.weight": "DPT",
    "segformer.encoder.patch_embeddings.0.proj.weight": "SegFormer of Hugging Face",
    "decode_head.conv_seg.weight": "MMSegmentation",
    "image_encoder.patch_embed.proj.weight": "Segment Anything",
}
ENCODERS = {
    "_conv_stem.weight": "EfficientNet",
    "blocks.6.0.se.conv_reduce.weight": "EfficientNet",
    "blocks.1.0.conv_pw.0.weight": "MixNet",
    "features.denseblock1.denselayer1.conv1.weight": "DenseNet",
    "features_denseblock1.denselayer1.conv1.weight": "DenseNet",
    "features.conv2_1.c1x1_a.conv.weight": "DPN",
    "features.3.branch1.conv.weight": "Inception v4",
    "mixed_5b.branch0.conv.weight": "Inception ResNet v2",
    "s1.b1.conv1.conv.weight": "RegNet",
    "stage0.rbr_conv.0.conv.weight": "MobileOne",
    "patch_embed1.proj.weight": "Mix Transformer",
    "layer1.0.se_module.fc1.weight": "squeeze-and-excitation ResNet",
    "layer1.0.conv1.paths.0.conv.weight": "SKNet",
    "layer1.0.conv2.fc1.weight": "ResNeSt",
    "layer1.0.convs.0.weight": "Res2Net",
    "layer1.0.downsample.2.weight": "ResNet-D",
    "stages.0.blocks.0.conv_mid.0.conv.weight": "VoVNet",
    "stages.0.blocks.0.mlp.grn.weight": "ConvNeXt V2",
    "features.1.conv_dw.conv.weight": "ReXNet",
    "stem.2.weight": "ConvNeXt with an overlapping stem",
    "norm_pre.weight": "ConvNeXt with its norm before the pooling",
    "stages.0.blocks.0.norm.weight": "ConvNeXt with RMS norms",
    "stages.1.blocks.2.xca.temperature": "EdgeNeXt",
    "blocks.0.0.ghost1.primary_conv.0.weight": "GhostNet",
    "stem.conv1.conv.weight": "DarkNet or CSPNet",
    "stem.0.conv_kxk.0.conv.weight": "FastViT",
    "stem.conv_kxk.0.conv.weight": "MobileOne or RepVGG",
}


@pytest.fixture(scope="module")
def unet():
    return tensors_of("unet_smp_resnet18_narrow_odd")


def facts_of(case):
    return read_golden(next(path for path in CASES if path.stem == case))


def tensors_of(case):
    facts, _ = facts_of(case)
    return state_dict(facts["manifest"], facts["seed"], facts["norm_scale"])


@pytest.mark.parametrize(("tensor", "name"), NETWORKS.items())
def test_networks_are_named(tensor, name):
    tensors = {tensor: np.zeros((4, 4, 1, 1), "float32")}
    with pytest.raises(ValueError, match=rf"The checkpoint is .*{re.escape(name)}.*does not have"):
        convert(tensors, "smp")


@pytest.mark.parametrize("head", ["0.convs.4.1", "4", "cbr.0"])
def test_networks_of_torchvision_are_named(head):
    names = ("backbone.conv1.weight", f"classifier.{head}.weight")
    with pytest.raises(ValueError, match="of torchvision, which keras_seg does not have"):
        convert({name: np.zeros((4, 4, 1, 1), "float32") for name in names}, "vainf")


@pytest.mark.parametrize(("tensor", "family"), ENCODERS.items())
def test_encoders_are_named_in_smp_and_timm(unet, tensor, family):
    assert foreign.encoder({tensor: (8, 8, 1, 1)}).startswith(family)
    with pytest.raises(ValueError, match=f"of the family {family}.*, which") as error:
        convert({tensor: np.zeros((8, 8, 1, 1), "float32")}, "timm")
    assert "\\" not in str(error.value) and len(str(error.value)) < 400
    decoder = {name: array for name, array in unet.items() if not name.startswith("encoder.")}
    with pytest.raises(ValueError, match=f"of the family {family}.*, which"):
        convert(decoder | {f"encoder.{tensor}": np.zeros((8, 8, 1, 1), "float32")}, "smp")


def test_networks_that_hold_parts_of_others_have_their_own_name():
    names = ["decoder.psp.blocks.0.1.weight", "decoder.feature_norms.0.weight"]
    assert foreign.network(names).startswith("UPerNet")
    shapes = {"stages.0.0.conv2_kxk.conv.weight": (8,), "stages.2.1.transformer.0.norm1.bias": (8,)}
    assert foreign.encoder(shapes) == "MobileViT"


def test_wider_and_grouped_resnets_are_named():
    first, last = "layer1.0.conv2.weight", "layer1.0.conv3.weight"
    grouped = {first: (128, 4, 3, 3), last: (256, 128, 1, 1)}
    assert foreign.encoder(grouped) == "ResNeXt of 32 groups"
    assert foreign.encoder({first: (128, 128, 3, 3), last: (256, 128, 1, 1)}) == "Wide ResNet"
    assert foreign.encoder({first: (64, 64, 3, 3), last: (256, 64, 1, 1)}) is None
    assert foreign.encoder({"layer1.0.bn1.weight": (64,)}) == "ResNet with group norms"
    with_mean = {"layer1.0.bn1.weight": (64,), "layer1.0.bn1.running_mean": (64,)}
    assert foreign.encoder(with_mean) is None


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_no_network_of_a_source_is_taken_for_a_foreign_one(path):
    manifest = read_golden(path)[0]["manifest"]
    assert foreign.network(manifest) is None
    own = {name.removeprefix("encoder."): tuple(shape) for name, shape in manifest.items()}
    assert foreign.encoder(own) is None


def test_an_encoder_without_a_name_is_refused_without_a_list(unet):
    tensors = {re.sub(r"^encoder\.layer", "encoder.part", n): a for n, a in unet.items()}
    with pytest.raises(ValueError, match="those of none that keras_seg has") as error:
        convert(tensors, "smp")
    assert len(str(error.value)) < 500


class TestTwins:
    @pytest.mark.parametrize(
        ("case", "models"),
        [
            ("timm_resnet50", ("resnet50", "resnetblur50", "resnetaa50")),
            (
                "timm_mobilenetv3_large_100",
                ("mobilenetv3_large_100", "tf_mobilenetv3_large_100"),
            ),
            ("timm_efficientnet_lite0", ("tf_efficientnet_lite0", "efficientnet_lite0")),
        ],
    )
    def test_tensors_of_several_models_are_asked_for_their_name(self, case, models):
        with pytest.raises(ValueError, match=f"model='{models[0]}'") as error:
            convert(tensors_of(case), "timm")
        assert all(re.search(rf"\b{model}\b", str(error.value)) for model in models)

    @pytest.mark.parametrize("name", ["resnetblur50", "resnetaa50.d_in1k"])
    def test_twins_that_we_lack_are_refused(self, name):
        with pytest.raises(ValueError, match="keras_seg has no resnet(blur|aa)50"):
            convert(tensors_of("timm_resnet50"), "timm", model=name)

    def test_the_name_of_another_model_is_refused(self):
        with pytest.raises(ValueError, match="another encoder than the tensors are.*resnet50"):
            convert(tensors_of("timm_resnet50"), "timm", model="resnet101")

    def test_the_name_of_a_model_that_we_lack_is_refused(self):
        with pytest.raises(ValueError, match="model='resnet26' is an encoder that keras_seg does"):
            convert(tensors_of("timm_resnet50"), "timm", model="resnet26")

    @pytest.mark.parametrize(
        ("name", "options"),
        [("tf_efficientnet_lite2.in1k", {}), ("efficientnet_lite2", {"tensorflow": False})],
    )
    def test_lite_networks_of_both_frameworks_are_told_apart(self, name, options):
        recognised = told_apart(("efficientnet_lite2", {}), name, word="model")
        assert recognised == ("efficientnet_lite2", options)

    def test_a_width_that_timm_has_once_is_not_asked_for(self):
        assert told_apart(("mobilenetv3_small_timm", {"alpha": 0.5}), None, word="model")[0] == (
            "mobilenetv3_small_timm"
        )

    @pytest.mark.parametrize("options", [{"model": "tf_mobilenetv3_small_100.in1k"}])
    def test_the_name_gives_what_tensorflow_gave(self, options):
        facts, expected = facts_of("timm_tf_mobilenetv3_small_100")
        pixels = image(facts["input_shape"], facts["seed"])
        model = convert(
            tensors_of("timm_tf_mobilenetv3_small_100"), "timm", pixels.shape[1:], **options
        )
        found = np.asarray(model(pixels)["features"])[:, :: facts["step"], :: facts["step"]]
        tolerance = 1e-4 * np.abs(expected["features"]).max()
        np.testing.assert_allclose(found, expected["features"], rtol=0, atol=tolerance)

    def test_the_arguments_in_timms_config_count(self, tmp_path):
        tensors = tensors_of("timm_resnet50")
        save_file(tensors, tmp_path / "model.safetensors")
        said = {"architecture": "resnet50", "model_args": {"output_stride": 16, "in_chans": 3}}
        (tmp_path / "config.json").write_text(json.dumps(said))
        model = convert(tmp_path, "timm", (64, 64, 3))
        assert model.output["stride_32"].shape[1:3] == (4, 4)
        assert model.get_layer("layer4.2.conv2").dilation_rate == (2, 2)

    @pytest.mark.parametrize("argument", [{"aa_layer": "avg"}, {"act_layer": "silu"}])
    def test_an_argument_of_timm_that_we_lack_is_refused_by_name(self, tmp_path, argument):
        save_file(tensors_of("timm_resnet50"), tmp_path / "model.safetensors")
        said = {"architecture": "resnet50", "model_args": argument}
        (tmp_path / "config.json").write_text(json.dumps(said))
        name, value = next(iter(argument.items()))
        with pytest.raises(ValueError, match=f"model_args with {name}='{value}'"):
            convert(tmp_path, "timm")

    def test_smp_asks_by_its_own_word(self):
        with pytest.raises(ValueError, match="encoder_name='tu-mobilenetv3_small_100'"):
            convert(tensors_of("unet_smp_tu_tf_mobilenetv3_small"), "smp")

    def test_names_are_read_as_hubs_write_them(self):
        names = ("resnet50", "tu-resnet50", "timm/resnet50.tv_in1k", "timm-resnet50")
        assert {base_name(name) for name in names} == {"resnet50"}


class TestFiles:
    @pytest.mark.parametrize(
        ("name", "what"),
        [
            ("model.keras", "a model of Keras, which needs no conversion"),
            ("model.onnx", "an ONNX model"),
            ("model.tflite", "a TFLite model"),
            ("model.ckpt.index", "a checkpoint of TensorFlow"),
            ("graph.pb", "a graph of TensorFlow"),
        ],
    )
    def test_other_files_are_named(self, tmp_path, name, what):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(ValueError, match=what):
            read(tmp_path / name)

    @pytest.mark.parametrize("prefix", ["_orig_mod.", "net.", "network.", "module._orig_mod."])
    def test_prefixes_beside_a_loss_are_taken_off(self, unet, prefix):
        wrapped = {prefix + name: array for name, array in unet.items()}
        wrapped["criterion.weight"] = np.ones(2, "float32")
        assert {*read({"state_dict": wrapped, "epoch": 3})} == {*unet}

    def test_a_whole_pickled_model_says_what_to_write(self, tmp_path):
        torch = pytest.importorskip("torch")
        torch.save(torch.nn.Conv2d(1, 1, 1), tmp_path / "model.pt")
        with pytest.raises(
            ValueError, match=r"whole pickled model.*torch\.save\(model\.state_dict"
        ):
            read(tmp_path / "model.pt")


STATE = {"conv.weight": np.ones((2, 3, 1, 1), "float32"), "conv.bias": np.zeros(2, "float32")}
AVERAGE = {name: 2 * array for name, array in STATE.items()}


class TestWrappersOfTrainingLoops:
    """All give the same tensors as the state dict within."""

    def check(self, content, expected):
        found = read(content)
        assert {*found} == {*expected}
        for name, array in expected.items():
            np.testing.assert_array_equal(found[name], array)

    @pytest.mark.parametrize(
        "others", [{"n_averaged": np.array(3)}, {"mean": np.zeros(3), "std": np.ones(3)}]
    )
    @pytest.mark.parametrize("prefix", ["module.", "model."])
    def test_buffers_beside_the_network_are_passed_over(self, prefix, others):
        self.check({prefix + n: a for n, a in STATE.items()} | others, STATE)

    @pytest.mark.parametrize("name", ["model_ema", "state_dict_ema", "ema_model"])
    def test_an_average_alone_is_read(self, name):
        self.check({name: AVERAGE}, AVERAGE)
        self.check({f"{name}.{n}": a for n, a in AVERAGE.items()}, AVERAGE)

    def test_an_average_beside_the_weights_is_said(self):
        with pytest.warns(UserWarning, match="'model_ema', a moving average.*'model'"):
            self.check({"model": STATE, "model_ema": AVERAGE}, STATE)
        both = {f"model.{n}": a for n, a in STATE.items()}
        both |= {f"ema_model.{n}": a for n, a in AVERAGE.items()}
        with pytest.warns(UserWarning, match="'ema_model', a moving average"):
            self.check(both, STATE)

    def test_a_module_and_empty_tensors_are_refused_in_words(self):
        torch = pytest.importorskip("torch")
        layer = torch.nn.Conv2d(3, 2, 1)
        with pytest.raises(ValueError, match=r"Received: a Conv2d. Pass its state_dict\(\)"):
            convert(layer, "smp")
        with pytest.raises(ValueError, match="device 'meta'.*no values"):
            convert(layer.to("meta").state_dict(), "smp")
