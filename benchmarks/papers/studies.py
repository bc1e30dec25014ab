"""The studies: what each paper claims, and the trainings that test it.

A study compares variants of one idea. All variants of a study have the same images, number of
steps, batch, crop, optimizer and seeds; they differ in what `Variant` says. Variants with equal
recipes in several studies are trained once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CAMVID, NUCLEI, ISBI, FACES = "camvid", "dsb2018_nuclei", "isbi2012", "builtin:faces"
PLAIN = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0}


@dataclass(frozen=True)
class Variant:
    """One side of a comparison.

    Attributes:
        name: name of the row, unique in its study.
        recipe: entries of the recipe that differ from those of the study.
        network: function of `benchmarks.papers.networks` that changes the network.
        data: function of `benchmarks.papers.object_crops` that makes the training data.
        initial, teacher: name of another variant of the study, whose model the training starts from
            or learns from.
        extra: further measurements of the trained model, names in `benchmarks.papers.measuring`.
        against: name of the variant that the difference is to; None for the first of the study.
        only_a_step: the training is needed by another variant and has no row.
    """

    name: str
    recipe: Mapping[str, Any] = field(default_factory=dict)
    network: str | None = None
    data: str | None = None
    initial: str | None = None
    teacher: str | None = None
    extra: tuple[str, ...] = ()
    against: str | None = None
    only_a_step: bool = False


@dataclass(frozen=True)
class Study:
    """One idea of a paper, and how it is measured here.

    Attributes:
        idea: the idea, in one phrase.
        paper: the paper.
        claim: what the paper states, with the place.
        data: name of the data set.
        recipe: entries of the recipe that all variants share.
        variants: the compared trainings, the baseline first.
        metrics: names in `benchmarks.papers.measuring`; the first decides.
        seeds: number of trainings of each variant.
        minutes: estimate for one seed of all variants on two cores.
        note: what is done differently than in the paper.
    """

    idea: str
    paper: str
    claim: str
    data: str
    recipe: Mapping[str, Any]
    variants: tuple[Variant, ...]
    metrics: tuple[str, ...]
    seeds: int
    minutes: int
    note: str = ""


def steps(epochs: int, per_epoch: int) -> dict[str, int]:
    return {"epochs": epochs, "steps_per_epoch": per_epoch}


def unet(first: int) -> dict[str, Any]:
    """A U-Net by the channels of its first stage."""
    return {"model": "unet", "model_options": {"widths": [first * 2**i for i in range(5)]}}


BASIS = {"loss": "cross_entropy+dice", "optimizer": "adam", "learning_rate": 1e-3}
ON_NUCLEI = {
    **BASIS,
    **steps(5, 120),
    "crop": [128, 128],
    "batch_size": 4,
    "augmentation": {"flip_vertical": True, "scale": [0.6, 1.6], "rotation": 180},
}
ON_ISBI = {
    **BASIS,
    **steps(10, 80),
    **unet(16),
    "loss": "cross_entropy",
    "channels": 1,
    "crop": [256, 256],
    "batch_size": 2,
    "augmentation": {"flip_vertical": True, "scale": [0.9, 1.1], "rotation": 180},
}
ON_CAMVID = {
    **BASIS,
    "resize": [240, 320],
    "crop": [240, 320],
    "batch_size": 8,
    "augmentation": {"scale": [0.75, 1.5]},
}
SMALL_CAMVID = {**ON_CAMVID, "resize": [176, 240], "crop": [176, 240], "batch_size": 4}
WIDTHS = [16, 32, 64, 128, 256]
PARAMETERS = "The channels are a quarter of the paper's."
FINE_TUNING = {
    "model": "deeplabv3plus",
    "model_options": {"backbone": "efficientnet_lite0", "backbone_weights": "imagenet"},
    "loss": "cross_entropy+dice",
    "optimizer": "adamw",
    "weight_decay": 1e-4,
    "optimizer_options": {"head_rate": 4.0},
    "learning_rate": 5e-4,
    "schedule_options": {"warmup_epochs": 0.5},
}
STUDENT = {
    "model": "deeplabv3plus",
    "model_options": {
        "backbone": "mobilenetv2",
        "backbone_weights": None,
        "backbone_options": {"alpha": 0.35},
        "channels": 64,
    },
    "optimizer_options": {},
    "learning_rate": 2e-3,
}
MEDIAN_FREQUENCY = {"name": "cross_entropy", "class_weights": "median_frequency"}

STUDIES: dict[str, Study] = {
    "resunetplusplus": Study(
        idea="ResUNet++: residual units, squeeze and excitation, attention gates and ASPP",
        paper="arXiv:1911.07067",
        claim="Kvasir-SEG mIoU 79.3 against 43.3 of U-Net (Table I; U-Net's figure from memory)",
        data=NUCLEI,
        recipe=ON_NUCLEI,
        variants=(
            Variant("U-Net of as many parameters", unet(23)),
            Variant(
                "ResUNet++",
                {"model": "resunetplusplus", "model_options": {"widths": WIDTHS}},
            ),
        ),
        metrics=("miou", "foreground_iou"),
        seeds=3,
        minutes=21,
        note="Nuclei instead of polyps.",
    ),
    "unetplusplus": Study(
        idea="U-Net++: nested dense skips and deep supervision",
        paper="arXiv:1807.10165",
        claim="IoU of nuclei 92.6 against 90.8 of U-Net and 90.9 of a wide U-Net (Table 3, from "
        "memory); on average +3.9 over U-Net and +3.4 over wide U-Net (abstract)",
        data=NUCLEI,
        recipe=ON_NUCLEI,
        variants=(
            Variant("U-Net", unet(16)),
            Variant(
                "wide U-Net",
                {"model": "unet", "model_options": {"widths": [18, 35, 70, 140, 280]}},
            ),
            Variant("U-Net++", {"model": "unetplusplus", "model_options": {"widths": WIDTHS}}),
            Variant(
                "U-Net++, deep supervision",
                {
                    "model": "unetplusplus",
                    "model_options": {"widths": WIDTHS, "deep_supervision": True},
                },
                extra=("pruned",),
            ),
        ),
        metrics=("foreground_iou", "miou"),
        seeds=3,
        minutes=23,
        note="Half of the paper's channels, so that its wide U-Net has 1.09 times those of U-Net.",
    ),
    "segnet": Study(
        idea="SegNet-Basic: up-sampling by pooling indices",
        paper="arXiv:1511.00561",
        claim="CamVid test mIoU 47.7 and BF 35.8 against 43.3 and 20.8 with bilinear up-sampling "
        "(Table 1, median-frequency balancing; the bilinear row from memory)",
        data=CAMVID,
        recipe={
            **SMALL_CAMVID,
            **steps(10, 90),
            "model": "segnet_basic",
            "model_options": {"widths": [32] * 4},
            "loss": MEDIAN_FREQUENCY,
        },
        variants=(
            Variant("bilinear up-sampling", network="bilinear_upsampling"),
            Variant("pooling indices"),
        ),
        metrics=("miou", "boundary_f1", "class_accuracy"),
        seeds=3,
        minutes=42,
        note="Half of the channels. The bilinear network keeps the decoder's convolutions; the "
        "paper's has none and 0.6 of 1.4 M parameters.",
    ),
    "heads": Study(
        idea="Context heads on one encoder: ASPP, dual attention, OCR",
        paper="arXiv:1802.02611, 1809.02983, 1909.11065",
        claim="Cityscapes val: dual attention 76.3 against 70.0 of a dilated FCN (ResNet-50); OCR "
        "79.6 against 75.8 (ResNet-101); ablation tables, from memory. ASPP: no figure against a "
        "plain head in this paper",
        data=CAMVID,
        recipe={
            **ON_CAMVID,
            **steps(10, 50),
            "model": "danet",
            "model_options": {
                "backbone": "efficientnet_lite0",
                "backbone_weights": "imagenet",
                "backbone_options": {"with_head": False},
                "output_stride": 16,
                "multi_grid": None,
            },
            "learning_rate": 5e-4,
        },
        variants=(
            Variant("plain head", network="plain_head"),
            Variant("ASPP", network="aspp_head"),
            Variant("dual attention"),
            Variant("OCR", network="ocr_head"),
        ),
        metrics=("miou", "boundary_f1"),
        seeds=3,
        minutes=44,
        note="EfficientNet-Lite0 with ImageNet weights at output stride 16. Every head has 80 "
        "channels. OCR trains its regions with a second loss of weight 0.4; the others have none.",
    ),
    "isbi": Study(
        idea="U-Net: border weights and elastic deformation",
        paper="arXiv:1505.04597",
        claim="ISBI 2012 test: pixel error 0.0611, Rand error 0.0382 with both (Table 1); no "
        "figure without them",
        data=ISBI,
        recipe=ON_ISBI,
        variants=(
            Variant("neither"),
            Variant("border weights", {"border_weights": True}),
            Variant(
                "elastic deformation",
                {"augmentation": {**ON_ISBI["augmentation"], "elastic": 5.0}},
            ),
            Variant(
                "both",
                {
                    "border_weights": True,
                    "augmentation": {**ON_ISBI["augmentation"], "elastic": 5.0},
                },
            ),
        ),
        metrics=("pixel_error", "rand_error", "pixel_error_views", "miou"),
        seeds=3,
        minutes=34,
        note="20 slices for training and 5 for validation. Displacements of 5 pixels in crops of "
        "256, where the paper has 10 in tiles of 512. " + PARAMETERS,
    ),
    "resunet": Study(
        idea="ResUNet: residual units at a quarter of U-Net's parameters",
        paper="arXiv:1711.10684",
        claim="Massachusetts roads: break-even point 91.9 against 90.5 of U-Net (Table I; U-Net's "
        "figure from memory)",
        data=NUCLEI,
        recipe=ON_NUCLEI,
        variants=(
            Variant("U-Net of as many parameters", unet(8)),
            Variant("U-Net of four times as many", unet(16)),
            Variant(
                "ResUNet", {"model": "resunet", "model_options": {"widths": [16, 32, 64, 128]}}
            ),
        ),
        metrics=("miou", "foreground_iou"),
        seeds=3,
        minutes=9,
        note="Nuclei instead of roads. " + PARAMETERS,
    ),
    "hrnet": Study(
        idea="HRNetV2: the head reads all four resolutions",
        paper="arXiv:1908.07919",
        claim="V2 above V1 on Cityscapes and PASCAL-Context (a figure of the paper; no number "
        "known here)",
        data=CAMVID,
        recipe={
            **SMALL_CAMVID,
            **steps(10, 60),
            "model": "hrnet",
            "model_options": {"backbone": "hrnet_w18_small_v1", "backbone_weights": None},
        },
        variants=(
            Variant(
                "V1 head",
                {
                    "model_options": {
                        "backbone": "hrnet_w18_small_v1",
                        "backbone_weights": None,
                        "head": "v1",
                    }
                },
            ),
            Variant("V2 head"),
        ),
        metrics=("miou", "boundary_f1"),
        seeds=3,
        minutes=14,
        note="From random values, where the paper starts from ImageNet.",
    ),
    "gridnet": Study(
        idea="GridNet: total dropout",
        paper="arXiv:1707.07958",
        claim="Named as necessary so that the network uses its lower rows; no figure known here",
        data=CAMVID,
        recipe={
            **SMALL_CAMVID,
            **steps(10, 60),
            "model": "gridnet",
            "model_options": {"features": [8, 16, 32, 64, 128]},
        },
        variants=(
            Variant(
                "without",
                {"model_options": {"features": [8, 16, 32, 64, 128], "dropout": 0.0}},
            ),
            Variant("total dropout of 0.1"),
        ),
        metrics=("miou",),
        seeds=2,
        minutes=22,
        note="Half of the channels.",
    ),
    "icnn": Study(
        idea="iCNN: interlinks between the resolutions",
        paper="arXiv:1806.02479",
        claim="Helen: better than earlier methods; no figure without interlinks",
        data=FACES,
        recipe={
            **BASIS,
            **steps(10, 50),
            "model": "icnn",
            "resize": [64, 64],
            "crop": [64, 64],
            "batch_size": 16,
            "loss": "cross_entropy",
            "augmentation": {"flip_horizontal": False, "scale": [0.9, 1.2], "rotation": 15},
        },
        variants=(Variant("without", network="without_interlinks"), Variant("three interlinks")),
        metrics=("miou",),
        seeds=3,
        minutes=7,
        note="Drawn faces. Without interlinks the neighbours' maps are 0 until the final merge; "
        "the number of parameters is equal.",
    ),
    "deconvnet": Study(
        idea="DeconvNet: first crops of single objects, then whole scenes",
        paper="arXiv:1505.04366",
        claim="Two stages are described as necessary; no figure without the first",
        data=NUCLEI,
        recipe={
            **BASIS,
            **steps(5, 160),
            "model": "deconvnet",
            "model_options": {
                "widths": [[8, 8], [16, 16], [32] * 3, [64] * 3, [64] * 3],
                "fc": 0,
            },
            "loss": "cross_entropy",
            "crop": [64, 64],
            "batch_size": 16,
            "augmentation": {"flip_vertical": True, "scale": [0.6, 1.6], "rotation": 180},
        },
        variants=(
            Variant("one stage"),
            Variant(
                "first stage",
                {
                    **steps(2, 160),
                    "augmentation": {"flip_vertical": True, "scale": [1.0, 1.0]},
                },
                data="single_objects",
                only_a_step=True,
            ),
            Variant("two stages", steps(3, 160), initial="first stage"),
        ),
        metrics=("miou", "foreground_iou"),
        seeds=3,
        minutes=9,
        note="An eighth of the channels, no fully connected layers; both sides have 800 steps.",
    ),
    "recipes": Study(
        idea="Training recipes: averaged weights, larger crops, class balance, views, a teacher",
        paper="various",
        claim="no single paper; what each brings on CamVid",
        data=CAMVID,
        recipe={**ON_CAMVID, **steps(8, 50), "resize": None, **FINE_TUNING},
        variants=(
            Variant("as the recipe says", extra=("views",)),
            Variant("averaged weights", {"optimizer_options": {"head_rate": 4.0, "ema": 0.99}}),
            Variant("crops of 360x480", {"crop": [360, 480], "batch_size": 4}),
            Variant("images with rare classes more often", {"balance": True}),
            Variant("median-frequency class weights", {"loss": MEDIAN_FREQUENCY}),
            Variant("statistics recomputed", {"recalibrate": True}),
            Variant("small network", STUDENT),
            Variant(
                "small network, taught",
                STUDENT,
                teacher="as the recipe says",
                against="small network",
            ),
        ),
        metrics=("miou", "boundary_f1"),
        seeds=1,
        minutes=100,
        note="DeepLabV3+ on EfficientNet-Lite0 with ImageNet weights, crops of 240x320.",
    ),
}
"""The studies in the order in which they are trained, the largest claims first."""
