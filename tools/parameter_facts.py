"""Trainable parameters of reference implementations, and the options that give the same network
here.

Every count was measured: the reference was built from its public code and counted, not copied from
a paper.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from keras_seg import models

NO_WEIGHTS = {"backbone_weights": None}


@dataclass(frozen=True, eq=False)
class Reference:
    """A network of a public repository.

    Attributes:
        network: name in the registry, or "part_locator" for that builder.
        configuration: which configuration, in words.
        expected: number of trainable parameters; None for a default of ours without a reference.
        num_classes: number of classes.
        channels: number of channels of the image.
        options: options of our builder.
        level: U-Net++ only: pruned to this level.
        with_averages: the reference count includes moving averages.
    """

    network: str
    configuration: str
    expected: int | None
    num_classes: int
    channels: int = 3
    options: Mapping = field(default_factory=dict)
    level: int | None = None
    with_averages: bool = False


def _unet() -> list[Reference]:
    narrow = (32, 64, 128, 256, 512)
    plain = {"variant": {"norm": False, "use_bias": True}}
    with_both = {"variant": {"norm": True, "use_bias": True}}
    nested = {
        "widths": narrow,
        "decoder_widths": (256, 128, 64, 32),
        "upsampling": "bilinear",
        **with_both,
    }
    rows = [
        ("the paper's, valid padding", 31_030_658, 2, 1, {"padding": "valid"}),
        ("milesial, transposed", 31_037_698, 2, 3, {}),
        ("milesial, bilinear", 17_262_977, 1, 3, {"upsampling": "bilinear"}),
        ("mateuszbuda, 32 channels", 7_763_041, 1, 3, {"widths": narrow}),
        ("nikhilroxtomar", 31_043_521, 1, 3, with_both),
        ("4uiiurz1 UNet", 7_852_578, 2, 3, nested),
        ("MrGiovanni, 32 channels", 7_759_521, 1, 1, {"widths": narrow} | plain),
        (
            "MrGiovanni, wide",
            9_282_246,
            1,
            1,
            {"widths": (35, 70, 140, 280, 560)} | plain,
        ),
    ]
    smp = {"variant": {"head_kernel": 3}} | NO_WEIGHTS
    rows += [
        (f"smp, {name}", count, 1, 3, {"backbone": name} | smp)
        for name, count in (
            ("resnet18", 14_328_209),
            ("resnet34", 24_436_369),
            ("resnet50", 32_521_105),
        )
    ]
    return [Reference("unet", *row) for row in rows]


def _unetplusplus() -> list[Reference]:
    heads = {"deep_supervision": True}
    theirs = {"upsampling": "bilinear", "variant": {"norm": True, "use_bias": True}}
    rows = [
        ("MrGiovanni", 9_041_601, 1, 1, {}),
        ("MrGiovanni, four heads", 9_041_700, 1, 1, heads),
        ("MrGiovanni, four heads, RGB", 9_042_276, 1, 3, heads),
        ("4uiiurz1, four heads", 9_163_428, 1, 3, theirs | heads),
        ("4uiiurz1, one head", 9_162_819, 3, 1, theirs),
    ]
    smp = {"variant": {"head_kernel": 3}} | NO_WEIGHTS
    rows += [
        (f"smp, {name}", count, 1, 3, {"backbone": name} | smp)
        for name, count in (
            ("resnet18", 15_970_449),
            ("resnet34", 26_078_609),
            ("resnet50", 48_985_745),
        )
    ]
    pruned = [
        (f"MrGiovanni, pruned to level {level}", count, 1, 1, heads, level)
        for level, count in ((1, 100_961), (2, 511_105), (3, 2_204_961), (4, 9_041_601))
    ]
    return [Reference("unetplusplus", *row) for row in [*rows, *pruned]]


def _resunets() -> list[Reference]:
    rishikksh20 = {"shortcut_kernel": 3, "shortcut_norm": "units"}
    learned = {"variant": rishikksh20, "upsampling": "transposed"}
    wide = (32, 64, 128, 256, 512)
    plus = {
        "widths": wide,
        "squeeze_ratio": 16,
        "aspp_rates": (6, 12, 18),
        "variant": rishikksh20
        | {"squeeze_excite": "before_strided", "attention": "single", "aspp_merge": "concat"},
    }
    before = {"variant": {"squeeze_excite": "before", "shortcut_norm": "none"}}
    normed = {"variant": {"shortcut_norm": "all"}}
    narrow = {"widths": (16, 32, 64, 128)}
    rows = [
        ("resunet", "nikhilroxtomar", 8_220_993, 1, 3, {}),
        ("resunet", "DuFanXin", 8_223_809, 1, 3, normed),
        ("resunet", "rishikksh20", 13_043_009, 1, 3, learned),
        ("resunet", "rishikksh20, narrow", 817_937, 1, 1, learned | narrow),
        ("resunetplusplus", "DebeshJha", 4_062_993, 1, 3, {}),
        ("resunetplusplus", "DebeshJha, 32 channels", 16_228_001, 1, 3, {"widths": wide}),
        ("resunetplusplus", "rishikksh20", 14_482_564, 1, 3, plus),
    ]
    counted = [
        ("resunet", "nikhilroxtomar, TensorFlow", 8_227_393, 1, 3, {}),
        ("resunet", "DuFanXin", 8_233_025, 1, 3, normed),
        ("resunet", "DuFanXin, grey", 8_231_745, 1, 1, normed),
        ("resunetplusplus", "DebeshJha", 4_070_385, 1, 3, {}),
        ("resunetplusplus", "DebeshJha, 32 channels", 16_242_785, 1, 3, {"widths": wide}),
        ("resunetplusplus", "nikhilroxtomar, TensorFlow", 4_092_657, 1, 3, before),
    ]
    return [
        *(Reference(*row) for row in rows),
        *(Reference(*row, with_averages=True) for row in counted),
    ]


def _index_networks() -> list[Reference]:
    segnets = {11: 29_449_355, 12: 29_449_932, 19: 29_453_971, 21: 29_455_125, 37: 29_464_357}
    deconvnets = [
        ("the authors'", 251_805_653, 21, {}),
        ("fc6 and fc7 of 1024", 81_917_909, 21, {"fc": 1024}),
        ("fc6 and fc7 of 128", 35_921_540, 4, {"fc": 128}),
        ("without fc6 and fc7", 29_481_429, 21, {"fc": 0}),
        ("Jasonlee1995", 251_804_613, 5, {}),
    ]
    return [
        *(
            Reference("segnet", f"the authors', {classes} classes", count, classes)
            for classes, count in segnets.items()
        ),
        Reference("segnet_basic", "the authors', 11 classes", 1_416_587, 11),
        Reference("segnet_basic", "the authors', 12 classes", 1_416_652, 12),
        *(
            Reference("deconvnet", words, count, classes, 3, options)
            for words, count, classes, options in deconvnets
        ),
    ]


def _grids() -> list[Reference]:
    three = (32, 64, 96)
    daigo = {
        "features": three,
        "upsampling": "bilinear",
        "variant": {
            "norm": False,
            "nonlinearity": "prelu_shared",
            "stem": "residual",
            "head": "residual",
        },
    }
    niklaus = {
        "features": three,
        "upsampling": "bilinear",
        "variant": {
            "norm": False,
            "nonlinearity": "prelu",
            "use_bias": False,
            "stem": "rows",
            "head": "shortcut",
        },
    }
    stn = {"form": "stn"}
    return [
        Reference("gridnet", "Fourure", 13_181_097, 19),
        Reference(
            "gridnet", "Fourure, 126", 13_073_253, 19, 3, {"features": (16, 32, 64, 126, 256)}
        ),
        Reference("gridnet", "Fourure, 16 to 64", 809_769, 19, 3, {"features": (16, 32, 64)}),
        Reference("gridnet", "Fourure, 8 to 32", 203_157, 5, 3, {"features": (8, 16, 32)}),
        Reference("gridnet", "daigo0927, 5 outputs", 2_247_946, 5, 3, daigo),
        Reference("gridnet", "daigo0927, 19 outputs", 2_259_076, 19, 3, daigo),
        Reference("gridnet", "niklaus, the grid", 2_243_936, 3, 32, niklaus),
        Reference("icnn", "Theano release, 9 labels", 447_729, 9),
        Reference("icnn", "Theano release, 4 labels", 428_254, 4),
        Reference("icnn", "Theano release, 2 labels", 422_732, 2),
        Reference("icnn", "STN-iCNN, stage 1", 559_931, 9, 3, stn),
        Reference("part_locator", "STN-iCNN, SelectNet", 5_172, 9, 9),
    ]


def _context_networks() -> list[Reference]:
    def on(name, **options):
        return {"backbone": name} | NO_WEIGHTS | options

    bias = {"transform_bias": True}
    deep = {"backbone_options": {"deep_stem": "danet"}}
    heads = {"auxiliary_head": True}
    hrnets = {
        "hrnet_w18_small_v1": (1_540_819, 3_842_278),
        "hrnet_w18_small_v2": (3_939_579, 6_379_278),
        "hrnet_w18": (9_641_119, 12_080_818),
        "hrnet_w32": (29_546_515, 32_953_894),
        "hrnet_w48": (65_859_379, 70_372_678),
    }
    danets = {
        "resnet50, 7x7 stem": (47_462_651, on("resnet50")),
        "resnet101, 7x7 stem": (66_454_779, on("resnet101")),
        "resnet50, deep stem": (47_586_427, on("resnet50", **deep)),
        "resnet101, deep stem": (66_578_555, on("resnet101", **deep)),
    }
    jfzhang95 = {"variant": "jfzhang95"}
    aligned = {"backbone_options": {"jfzhang95": True}}
    deeplabs = {
        "jfzhang95, resnet101": (59_344_309, on("resnet101", **jfzhang95)),
        "jfzhang95, Xception": (54_705_317, on("xception65", **jfzhang95, **aligned)),
        "VainF, resnet50": (39_761_845, on("resnet50", variant="vainf")),
        "VainF, resnet101": (58_753_973, on("resnet101", variant="vainf")),
    }
    return [
        *(Reference("hrnet", name, count, 19, 3, on(name)) for name, (count, _) in hrnets.items()),
        *(
            Reference("ocrnet", name, count, 19, 3, on(name) | heads)
            for name, (_, count) in hrnets.items()
        ),
        Reference(
            "ocrnet",
            "openseg, resnet101, deep stem",
            57_988_838,
            19,
            3,
            on("resnet101", variant=bias | {"deep_stem": "openseg", "ceil_pool": True}) | heads,
        ),
        Reference(
            "ocrnet",
            "openseg, hrnet_w48",
            74_522_182,
            19,
            3,
            on("hrnet_w48", variant=bias | {"auxiliary_kernel": 3}) | heads,
        ),
        *(
            Reference("danet", words, count, 19, 3, options | heads)
            for words, (count, options) in danets.items()
        ),
        *(
            Reference("deeplabv3plus", words, count, 21, 3, options)
            for words, (count, options) in deeplabs.items()
        ),
    ]


def _defaults() -> list[Reference]:
    """Every builder with its default options."""
    with_encoder = {"danet", "deeplabv3plus", "hrnet", "ocrnet"}
    return [
        Reference(name, "default", None, 21, 3, NO_WEIGHTS if name in with_encoder else {})
        for name in models.list_models()
    ]


REFERENCES = (
    *_defaults(),
    *_unet(),
    *_unetplusplus(),
    *_resunets(),
    *_index_networks(),
    *_grids(),
    *_context_networks(),
)
REPOSITORIES = {
    "the authors' SegNet": "alexgkendall/SegNet-Tutorial",
    "the authors' DeconvNet": "HyeonwooNoh/DeconvNet",
    "milesial": "milesial/Pytorch-UNet",
    "mateuszbuda": "mateuszbuda/brain-segmentation-pytorch",
    "nikhilroxtomar": "nikhilroxtomar/Semantic-Segmentation-Architecture",
    "4uiiurz1": "4uiiurz1/pytorch-nested-unet",
    "smp": "qubvel-org/segmentation_models.pytorch",
    "MrGiovanni": "MrGiovanni/UNetPlusPlus, the authors' of U-Net++",
    "DuFanXin": "DuFanXin/deep_residual_unet",
    "rishikksh20": "rishikksh20/ResUnet",
    "DebeshJha": "DebeshJha/ResUNetPlusPlus, the authors' of ResUNet++",
    "Jasonlee1995": "Jasonlee1995/DeconvNet",
    "Fourure": "Fourure/GridNet, the authors' of GridNet",
    "daigo0927": "daigo0927/GridNet",
    "niklaus": "sniklaus/softmax-splatting",
    "Theano release": "bloodmage/Twostep-helen-face-parsing",
    "STN-iCNN": "aod321/STN-iCNN",
    "HRNet and OCR": "HRNet/HRNet-Semantic-Segmentation",
    "openseg": "openseg-group/openseg.pytorch",
    "DANet": "junfu1115/DANet",
    "jfzhang95": "jfzhang95/pytorch-deeplab-xception",
    "VainF": "VainF/DeepLabV3Plus-Pytorch",
}
