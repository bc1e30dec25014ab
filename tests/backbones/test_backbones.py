"""Every encoder: sizes, dilation, channels, and where its ImageNet weights come from."""

import re
import sys
import types

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from keras_seg import backbones
from keras_seg.backbones.applications import application_maps
from keras_seg.backbones.mobilenetv2 import names_from_torchvision
from keras_seg.backbones.resnet import BLOCKS, DEEP_STEMS, resnet_maps, stage_dilations
from keras_seg.backbones.table import Application
from keras_seg.card import ModelCard
from keras_seg.checkpoints import convert
from keras_seg.data import ClassTable
from keras_seg.export.network.deployed import deployed_model
from keras_seg.export.onnx.convert import as_float32 as onnx_float32
from keras_seg.export.onnx.convert import float_graph, onnx_file
from keras_seg.export.options import ExportOptions
from keras_seg.export.proof.audit import audit
from keras_seg.export.tflite.convert import as_float32, as_int8, tflite_graph
from keras_seg.layers import ChannelNormalization
from keras_seg.weights import fit_first_kernel
from keras_seg.weights.loading import tensor_name
from tests.helpers.narrow_encoders import ENCODERS, narrow_options
from tests.helpers.without_values import without_values

RNG = np.random.default_rng(0)
SMALL = ["resnet18", "vgg16_bn", "mobilenetv2_timm", "mobilenetv3_small_minimalistic"]
SIZED = [
    *SMALL,
    "mobilenetv3_small_timm",
    "tf_mobilenetv3_large_minimalistic_timm",
    "hrnet_w18_small_v1",
    "xception_timm",
    "efficientnet_lite0",
    *("xception41", "keras_xception", "tf_efficientnetv2_b0_timm"),
]
FIRST, LAST = {16: 0, 8: 0}, {16: 1, 8: 3}
"""Which of the dilated map's pixels the strided map has: Keras and TensorFlow pad below and to the
right, so that a kernel lies around the last of the pixels that a stride joins."""
SAMPLES = [
    # a pooling without stride keeps its window: behind the second, samples are not those before
    ("resnet18", FIRST),
    ("vgg16_bn", {16: 0}),
    ("tf_mobilenetv3_small_timm", LAST),
]
LARGE_SAMPLES = [
    ("mobilenetv2_timm", FIRST),
    # a 2x2 kernel begins at its pixel; dilated, it lies around the next
    ("convnext_tiny_timm", {16: 0, 8: 1}),
    ("mobilenetv2", LAST),
    ("mobilenetv3_small", LAST),
    ("mobilenetv3_small_timm", FIRST),
    ("mobilenetv3_small_minimalistic", LAST),
    ("mobilenetv3_large", LAST),
    ("mobilenetv3_large_timm", FIRST),
    ("efficientnetv2_b0", LAST),
    ("tf_efficientnetv2_b0_timm", LAST),
    ("efficientnet_lite0", LAST),
    ("convnext_tiny", {16: 0, 8: 1}),
    ("xception41", FIRST),
    ("xception_timm", {16: 0}),
    ("keras_xception", {16: 1}),
    ("keras_resnet50", FIRST),
]
DILATED = SAMPLES + [pytest.param(*case, marks=pytest.mark.slow) for case in LARGE_SAMPLES]


def build(name, input_shape=(None, None, 3), **options):
    return backbones.build(name, input_shape, **narrow_options(name) | options)


def randomise(model, seed=0):
    """Random norms too, so that nothing that a test compares is constant."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        shape = tuple(weight.shape)
        if len(shape) > 1:
            scale = np.sqrt(2 / np.prod(shape[:-1]))
            weight.assign(scale * rng.standard_normal(shape))
        elif "seed" not in weight.path:
            weight.assign(rng.uniform(0.5, 1, shape))
    return model


def state_dict(model):
    """The tensors of a model as PyTorch would store them, with a classifier."""
    tensors = {}
    for layer in model.layers:
        for weight in layer.weights:
            array = np.asarray(weight)
            if array.ndim == 4:
                depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
                array = array.transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1))
            tensors[tensor_name(layer, weight)] = np.ascontiguousarray(array)
            if "running_var" in tensor_name(layer, weight):
                tensors[f"{layer.name}.num_batches_tracked"] = np.zeros((), "int64")
    return tensors | {"fc.weight": np.zeros((10, 4), "float32"), "fc.bias": np.zeros(10, "float32")}


def without_squeeze(model):
    """Makes the gates of squeeze and excitation constants, which differ from channel to channel."""
    gates = re.compile(r"(se\.conv_expand|se_expand|squeeze_excite_conv_1)$")
    for layer in model.layers:
        if gates.search(layer.name):
            kernel, bias = layer.get_weights()
            layer.set_weights([0 * kernel, bias])
    return model


def without_last_shortcut(model):
    """Takes away what the last strided 1x1 convolution adds."""
    strided = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D) and layer.strides == (2, 2)
    ]
    strided[-1].set_weights([0 * value for value in strided[-1].get_weights()])


def relative_difference(found, expected):
    return np.abs(np.asarray(found) - expected).max() / np.abs(expected).max()


class TestSizes:
    @pytest.mark.parametrize("name", SIZED)
    def test_map_at_a_stride_has_the_size_of_the_image_over_it(self, name):
        with without_values():
            maps = build(name, (65, 98, 3)).output
        assert [*maps] == [f"stride_{s}" for s in (2, 4, 8, 16, 32)]
        for stride in (2, 4, 8, 16, 32):
            size = (-(-65 // stride), -(-98 // stride))
            floor = (65 // stride, 98 // stride)
            assert maps[f"stride_{stride}"].shape[1:3] in (
                (size, floor) if "vgg" in name else (size,)
            )

    def test_table_names_every_backbone_of_the_papers_and_of_edge_users(self):
        names = set(backbones.list_backbones())
        assert {f"resnet{depth}" for depth in BLOCKS} <= names
        assert {"vgg16", "vgg19_bn", "xception65", "hrnet_w48", "mobilenetv3_large"} <= names
        for name in names - {"xception_timm"}:  # published outside the hub only
            row = backbones.find(name)
            assert isinstance(row, Application) or row.imagenet.licence

    @pytest.mark.parametrize("name", backbones.list_backbones())
    def test_every_application_has_a_twin_for_weights_of_pytorch(self, name):
        row = backbones.find(name)
        if isinstance(row, Application):
            twin = backbones.find(row.torch_twin)
            assert not isinstance(twin, Application)
            # Keras' ResNets take BGR pixels and those of torchvision RGB; TensorFlow's MobileNetV2
            # was trained on -1..1 and timm's was not
            if "resnet" not in name and name != "mobilenetv2":
                assert twin.preprocessing == row.preprocessing

    @pytest.mark.parametrize(
        ("name", "repo", "licence", "preprocessing"),
        [
            ("resnet152", "timm/resnet152.tv_in1k", "BSD-3-Clause", "imagenet"),
            ("resnet101c", "timm/resnet101c.gluon_in1k", "Apache-2.0", "imagenet"),
            ("vgg19_bn", "timm/vgg19_bn.tv_in1k", "BSD-3-Clause", "imagenet"),
            ("xception71", "timm/xception71.tf_in1k", "Apache-2.0", "symmetric"),
            ("hrnet_w18_small_v1", "timm/hrnet_w18_small.ms_in1k", "MIT", "imagenet"),
            ("hrnet_w18_small_v2", "timm/hrnet_w18_small_v2.ms_in1k", "MIT", "imagenet"),
            ("mobilenetv2_timm", "timm/mobilenetv2_100.ra_in1k", "Apache-2.0", "imagenet"),
            (
                "mobilenetv3_small_timm",
                "timm/mobilenetv3_small_100.lamb_in1k",
                "Apache-2.0",
                "imagenet",
            ),
            (
                "mobilenetv3_large_timm",
                "timm/mobilenetv3_large_100.ra_in1k",
                "Apache-2.0",
                "imagenet",
            ),
            (
                "tf_mobilenetv3_large_minimalistic_timm",
                "timm/tf_mobilenetv3_large_minimal_100.in1k",
                "Apache-2.0",
                "symmetric",
            ),
            (
                "tf_mobilenetv3_small_timm",
                "timm/tf_mobilenetv3_small_100.in1k",
                "Apache-2.0",
                "symmetric",
            ),
            (
                "tf_efficientnetv2_b3_timm",
                "timm/tf_efficientnetv2_b3.in1k",
                "Apache-2.0",
                "imagenet",
            ),
            ("convnext_tiny_timm", "timm/convnext_tiny.fb_in1k", "Apache-2.0", "imagenet"),
            ("efficientnet_lite4", "timm/tf_efficientnet_lite4.in1k", "Apache-2.0", "symmetric"),
        ],
    )
    def test_imagenet_file_licence_and_pixels_are_those_that_timm_states(
        self, name, repo, licence, preprocessing
    ):
        row = backbones.find(name)
        assert (row.imagenet.repo, row.imagenet.licence) == (repo, licence)
        assert (row.imagenet.file, row.preprocessing) == ("model.safetensors", preprocessing)

    @pytest.mark.parametrize("stem", [None, *DEEP_STEMS])
    def test_openseg_pooling_rounds_even_sizes_up(self, stem):
        image = keras.Input((64, 97, 3))
        maps = resnet_maps(image, 50, width=4, deep_stem=stem, ceil_pool=True, output_stride=8)
        assert maps["stride_2"].shape[1:3] == (32, 49)
        assert maps["stride_4"].shape[1:3] == (17, 25)
        assert maps["stride_32"].shape[1:3] == (9, 13)


class TestDilation:
    @pytest.mark.parametrize(("name", "phases"), DILATED)
    def test_dilated_encoder_equals_the_strided_one_where_both_have_pixels(self, name, phases):
        """The pixels (step * i + phase) of the dilated map are the strided map, borders too.

        Squeeze and excitation takes its means over other pixels then, which is the one thing that
        differs; it is made a constant here.
        """
        image = RNG.uniform(-1, 1, (1, 64, 96, 3)).astype("float32")
        strided = without_squeeze(randomise(build(name)))
        if name == "keras_xception":
            # its shortcuts take the first of two pixels, and its poolings lie around the second
            without_last_shortcut(strided)
        expected = np.asarray(strided(image)["stride_32"])
        assert expected.std() > 0.1
        for output_stride, phase in phases.items():
            dilated = build(name, output_stride=output_stride)
            dilated.set_weights(strided.get_weights())
            step = 32 // output_stride
            found = np.asarray(dilated(image)["stride_32"])[:, phase::step, phase::step]
            assert relative_difference(found, expected) < 2e-6

    @pytest.mark.parametrize(
        "name",
        [
            "mobilenetv3_small_timm",
            pytest.param("mobilenetv3_small", marks=pytest.mark.slow),
        ],
    )
    def test_only_the_means_of_squeeze_and_excitation_differ_with_the_stride(self, name):
        image = RNG.uniform(-1, 1, (1, 64, 96, 3)).astype("float32")
        strided = randomise(build(name))
        dilated = build(name, output_stride=16)
        dilated.set_weights(strided.get_weights())
        coarse, fine = (np.asarray(model(image)["stride_32"]) for model in (strided, dilated))
        phase = dict(SAMPLES + LARGE_SAMPLES)[name][16]
        difference = relative_difference(fine[:, phase::2, phase::2], coarse)
        assert 1e-5 < difference < 1e-2

    def test_layer_normalization_without_negation_is_that_of_keras(self):
        x = RNG.normal(3, 2, (2, 5, 4, 6)).astype("float32")
        ours, theirs = ChannelNormalization(epsilon=1e-6), keras.layers.LayerNormalization()
        theirs.epsilon = 1e-6
        values = [RNG.uniform(0.5, 2, 6).astype("float32") for _ in range(2)]
        for layer in (ours, theirs):
            layer.build(x.shape)
            layer.set_weights(values)
        np.testing.assert_allclose(ours(x), theirs(x), rtol=1e-5, atol=1e-5)

    def test_rules_of_the_published_networks(self):
        danet = stage_dilations(50, 8)
        assert danet[2:] == [(1, 2, 2, 2, 2, 2), (2, 4, 4)]
        jfzhang95 = stage_dilations(50, 16, first_block="own", multi_grid=(1, 2, 4))
        assert jfzhang95[2:] == [(1,) * 6, (2, 4, 8)]
        assert stage_dilations(50, 8, first_block="own")[2:] == [(2,) * 6, (4, 4, 4)]
        assert stage_dilations(18) == [(1, 1)] * 4

    def test_wrong_rules_are_refused(self):
        with pytest.raises(ValueError, match="one factor for each of the 2 blocks"):
            build("resnet18", multi_grid=(1, 2, 4))
        with pytest.raises(ValueError, match="first_block must be one of"):
            build("resnet18", first_block="last")
        with pytest.raises(ValueError, match="needs a dilation"):
            build("resnet18", dilations=[(1, 1)] * 3)
        with pytest.raises(ValueError, match="cannot be dilated"):
            build("hrnet_w18_small_v1", output_stride=16)
        with pytest.raises(ValueError, match="Did you mean 'multi_grid'"):
            build("resnet18", multigrid=(1, 2))

    def test_application_saves_and_loads_dilated(self, tmp_path):
        model = build("mobilenetv3_small_minimalistic", (64, 64, 3), output_stride=8)
        model.save(tmp_path / "m.keras")
        loaded = keras.saving.load_model(tmp_path / "m.keras")
        image = RNG.uniform(-1, 1, (1, 64, 64, 3)).astype("float32")
        for stride, found in loaded(image).items():
            np.testing.assert_array_equal(found, model(image)[stride])


class TestWeights:
    def test_checkpoint_without_its_classifier_gives_the_same_maps(self, tmp_path):
        from safetensors.numpy import save_file

        model = randomise(build("resnet18"))
        save_file(state_dict(model), tmp_path / "model.safetensors")
        image = RNG.uniform(-1, 1, (1, 64, 96, 3)).astype("float32")
        for weights in (state_dict(model), tmp_path / "model.safetensors"):
            found = build("resnet18", weights=weights)(image)
            for stride, expected in model(image).items():
                np.testing.assert_array_equal(found[stride], expected)

    def test_checkpoint_of_another_network_is_refused(self):
        tensors = state_dict(build("resnet18"))
        with pytest.raises(ValueError, match="does not fit the model"):
            build("resnet34", weights=tensors)

    def test_keras_mobilenet_takes_pytorch_weights_as_its_twin(self):
        model = randomise(build("mobilenetv2_timm"))
        image = RNG.uniform(-1, 1, (1, 64, 96, 3)).astype("float32")
        found = build("mobilenetv2", weights=state_dict(model))(image)
        np.testing.assert_array_equal(found["stride_32"], model(image)["stride_32"])

    def test_application_takes_a_mapping_of_its_paths(self):
        model = randomise(build("mobilenetv3_small_minimalistic", alpha=0.75))
        tensors = {weight.path: np.asarray(weight) for weight in model.weights}
        found = build("mobilenetv3_small_minimalistic", weights=tensors, alpha=0.75)
        for weight in found.weights:
            np.testing.assert_array_equal(weight, tensors[weight.path])
        with pytest.raises(ValueError, match="not those of keras.applications.MobileNetV3Small"):
            build("mobilenetv3_small_minimalistic", weights={"conv/kernel": np.zeros(3)})

    @pytest.mark.parametrize(
        "name",
        ["resnet18", pytest.param("mobilenetv3_small_minimalistic", marks=pytest.mark.slow)],
    )
    def test_rgb_weights_fit_other_channels_such_that_grey_stays_grey(self, name):
        rgb = randomise(build(name))
        weights = (
            state_dict(rgb)
            if name == "resnet18"
            else {weight.path: np.asarray(weight) for weight in rgb.weights}
        )
        grey = RNG.uniform(-1, 1, (1, 64, 64, 1)).astype("float32")
        expected = rgb(np.repeat(grey, 3, -1))["stride_32"]
        for channels in (1, 6):
            other = build(name, (None, None, channels), weights=weights)
            found = other(np.repeat(grey, channels, -1))["stride_32"]
            assert relative_difference(found, expected) < 1e-4

    @pytest.mark.parametrize("file", ["m.weights.h5", pytest.param("m.h5", marks=pytest.mark.slow)])
    def test_application_takes_the_files_that_keras_writes(self, file, tmp_path):
        name, row = (
            "mobilenetv3_small_minimalistic",
            backbones.find("mobilenetv3_small_minimalistic"),
        )
        model = row.application(
            include_top=False, weights=None, input_shape=(32, 64, 3), alpha=0.35, **row.facts
        )
        randomise(model)
        model.save_weights(tmp_path / file) if "weights" in file else model.save(tmp_path / file)
        found = build(name, weights=tmp_path / file)
        image = RNG.uniform(-1, 1, (1, 32, 64, 3)).astype("float32")
        np.testing.assert_allclose(found(image)["stride_32"], model(image), rtol=1e-4, atol=1e-5)

    def test_missing_file_of_an_application_is_named(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"no weights file '.*m\.weights\.h5'"):
            build("mobilenetv3_small_minimalistic", weights=tmp_path / "m.weights.h5")

    def test_unreachable_download_of_keras_says_what_was_tried_and_what_to_do(self):
        def offline(weights, **arguments):
            if weights == "imagenet":
                raise Exception("URL fetch failure on https://host/m.h5: None -- no route to host")
            return keras.applications.MobileNetV3Small(weights=weights, **arguments)

        image = keras.Input((None, None, 3))
        message = (
            r"keras.applications.offline .*https://host/m.h5.*no route.*backbone_weights='path"
        )
        with pytest.raises(RuntimeError, match=message):
            application_maps(image, image, offline, {}, output_stride=32, weights="imagenet")

    def test_network_without_a_file_on_the_hub_names_the_way_out(self):
        with pytest.raises(ValueError, match="hub has no ImageNet weights.*keras_xception"):
            backbones.build("xception_timm", weights="imagenet")

    def test_first_kernel_is_summed_or_taken_in_turn(self):
        kernel = np.arange(6, dtype="float32").reshape(2, 3, 1, 1)
        assert fit_first_kernel(kernel, 1, axis=1).ravel().tolist() == [3, 12]
        five = fit_first_kernel(kernel, 5, axis=1)[1].ravel()
        np.testing.assert_allclose(five, np.array([3, 4, 5, 3, 4]) * 3 / 5)

    def test_imagenet_file_comes_from_the_hub(self, monkeypatch, tmp_path):
        from safetensors.numpy import save_file

        model = randomise(backbones.build("resnet18"))
        save_file(state_dict(model), tmp_path / "model.safetensors")
        asked = []

        def hf_hub_download(repo, file):
            asked.append((repo, file))
            return str(tmp_path / file)

        hub = types.SimpleNamespace(hf_hub_download=hf_hub_download)
        monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
        image = RNG.uniform(-1, 1, (1, 32, 32, 3)).astype("float32")
        found = backbones.build("resnet18", weights="imagenet")(image)
        np.testing.assert_array_equal(found["stride_32"], model(image)["stride_32"])
        assert asked == [("timm/resnet18.tv_in1k", "model.safetensors")]

    def test_unreachable_hub_says_what_was_tried_and_what_to_do(self, monkeypatch):
        def hf_hub_download(repo, file):
            raise OSError("no route to host")

        hub = types.SimpleNamespace(hf_hub_download=hf_hub_download)
        monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
        message = (
            r"huggingface.co/timm/resnet18.tv_in1k.*no route to host.*pass its path as weights"
        )
        with pytest.raises(RuntimeError, match=message):
            build("resnet18", weights="imagenet")
        monkeypatch.setitem(sys.modules, "huggingface_hub", None)
        with pytest.raises(ImportError, match=r"pip install huggingface_hub"):
            build("resnet18", weights="imagenet")


class TestSources:
    def test_torchvision_mobilenet_is_timms_under_other_names(self):
        model = randomise(build("mobilenetv2_timm"))
        image = RNG.uniform(-1, 1, (1, 64, 96, 3)).astype("float32")
        ours = {name: array for name, array in state_dict(model).items() if "fc" not in name}
        theirs = {_in_torchvision(name): array for name, array in ours.items()}
        assert "features.1.conv.0.0.weight" in theirs and "features.18.1.bias" in theirs
        found = convert(theirs, "torchvision", image.shape[1:])(image)
        np.testing.assert_array_equal(found["features"], model(image)["stride_32"])

    @pytest.mark.parametrize(
        ("name", "deep_stem", "source"),
        [
            pytest.param("resnet34", None, "torchvision", marks=pytest.mark.slow),
            ("resnet50", "timm", "timm"),
        ],
    )
    def test_resnet_of_any_depth_and_stem_is_recognised(self, name, deep_stem, source):
        tensors = state_dict(build(name, deep_stem=deep_stem))
        assert convert(tensors, source, output_stride=8).name == name

    def test_unknown_depths_are_refused(self):
        tensors = state_dict(build("vgg16_bn"))
        del tensors["features.40.weight"]
        with pytest.raises(ValueError, match="No VGG of"):
            convert(tensors, "timm")


def _in_torchvision(name):
    for pattern, ours in names_from_torchvision():
        if name.startswith(ours):
            return pattern.replace("^", "").replace("\\", "").replace("(?=[a-z])", "") + (
                name.removeprefix(ours)
            )
    return name


EXPORTED = [name for name in ENCODERS if not name.startswith("hrnet")]  # it has no dilations


@pytest.mark.slow
class TestExport:
    """Single encoders on a device, dilated: built-in operators, no batches in between."""

    SHAPE = (64, 96, 3)

    @pytest.mark.parametrize("output_stride", [8, 16])
    @pytest.mark.parametrize("name", EXPORTED)
    def test_float32_file_has_dilated_convolutions_and_equals_keras(
        self, name, output_stride, tmp_path
    ):
        model, deployed = self.single(name, output_stride)
        path = tmp_path / "m.tflite"
        path.write_bytes(tflite_graph(deployed, self.network("tflite"), [], as_float32))
        report = audit(path)
        assert report.problems == ()
        assert not any("BATCH_ND" in operator for operator in report.operators)
        # VGG16 has no convolution behind the pooling that loses its stride at 16
        wanted = (name, output_stride) != ("vgg16_bn", 16)
        assert (dilated_convolutions(path.read_bytes()) > 0) == wanted
        image = self.pixels()
        assert relative_difference(run_tflite(path, image), np.asarray(model(image))) < 1e-4

    @pytest.mark.parametrize("name", EXPORTED)
    def test_int8_file_is_near_keras(self, name, tmp_path):
        model, deployed = self.single(name, 16)
        path, image = tmp_path / "m.tflite", self.pixels()
        path.write_bytes(
            tflite_graph(deployed, self.network("tflite", "int8"), [image[0]], as_int8)
        )
        report = audit(path)
        assert report.problems == ()
        # Keras' layer normalization negates, which is why ConvNeXt in timm's layout has its own
        allowed = {"NEG"} if name == "convnext_tiny" else set()
        assert {island.split()[0] for island in report.islands} == allowed
        expected = np.asarray(model(image))
        noise = np.square(run_tflite(path, image) - expected).mean()
        assert 10 * np.log10(expected.var() / noise) > 15

    @pytest.mark.parametrize("name", EXPORTED)
    def test_onnx_file_equals_keras(self, name, tmp_path):
        onnxruntime = pytest.importorskip("onnxruntime")
        model, deployed = self.single(name, 16)
        network, image = self.network("onnx"), self.pixels()
        session = onnxruntime.InferenceSession(
            onnx_file(float_graph(deployed, network), network, [], onnx_float32)
        )
        (found,) = session.run(None, {session.get_inputs()[0].name: image})
        assert relative_difference(found, np.asarray(model(image))) < 1e-4

    def single(self, name, output_stride):
        """(encoder with the last map alone, its copy for the device)."""
        preprocessing = backbones.find(name).preprocessing
        encoder = build(name, self.SHAPE, output_stride=output_stride, preprocessing=preprocessing)
        model = randomise(keras.Model(encoder.input, encoder.output["stride_32"]))
        return model, deployed_model(model, self.SHAPE)

    def pixels(self):
        return np.random.default_rng(1).uniform(0, 255, (1, *self.SHAPE)).astype("float32")

    def network(self, format, quantize=None):
        """What converters read of a network to export."""
        return types.SimpleNamespace(
            options=ExportOptions(format=format, quantize=quantize, head="logits"),
            card=ModelCard(ClassTable.numbered(3)),
            from_logits=True,
        )


def run_tflite(path, image):
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def dilated_convolutions(content):
    graph = schema.ModelT.InitFromPackedBuf(content).subgraphs[0]
    options = (operator.builtinOptions for operator in graph.operators)
    return sum(getattr(option, "dilationHFactor", 1) > 1 for option in options)
